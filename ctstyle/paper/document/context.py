"""Values the text needs that follow from config, code and tables: counts, names and true constants, never results."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ctstyle.cohorts import lidc0001, phantom, spine_mets, totalsegmentator, verse
from ctstyle.measures.columns import MEASURES, MODEL_LABELS
from ctstyle.paper.document.markup import shown
from ctstyle.paper.document.printed_table import PrintedTable
from ctstyle.paper.write import ABSENT, Cell
from ctstyle.study.ablations import QUESTIONS
from ctstyle.study.arms import ARM_LABELS
from ctstyle.study.comparison import DISTANCE_GUARD, VARIANCE_GUARD
from ctstyle.study.encoders import COMPARED, encoder_spec

LOSSES = {
    "ours": "contextual content loss",
    "adain": "MSE to the AdaIN target as content loss",
    "contextual": "two contextual losses, no style input, one model per target style",
    "cyclegan": "adversarial, cycle and identity losses, no style input, two generators per target style",
    "gatys": "content and Gram loss on the pixels of each slice, no training",
}
"""What each model is trained with, as captions say it."""

WEIGHTS = {
    "hed": "VGG16 convolutions of HED",
    "imagenet": "ImageNet weights",
    "domain": "weights trained here on this run's training slices",
    "random": "random weights, untrained",
    "file": "weights of a file",
}
PACKAGES = ("torch", "torchvision", "lpips", "scikit-learn", "scikit-image", "snakemake", "typst")
"""Packages whose versions the paper names."""
OUT_OF_STYLE = "Out of style"


def constants() -> dict[str, Any]:
    """Constants of the code that the text names."""
    return {
        "variance_guard": VARIANCE_GUARD,
        "distance_guard": DISTANCE_GUARD,
        "encoders": COMPARED,
        "lidc_licence": lidc0001.LICENCE,
        "lidc_attribution": lidc0001.ATTRIBUTION,
        "lidc_slices": lidc0001.SLICES,
        "phantom_licence": phantom.LICENCE,
        "collections": {
            name: {"attribution": module.COLLECTION.licence.attribution, "licence": module.COLLECTION.licence.name}
            for name, module in (("spine_mets", spine_mets), ("verse", verse), ("totalsegmentator", totalsegmentator))
        },
        "losses": LOSSES,
        "weights": WEIGHTS,
        "model_labels": MODEL_LABELS,
        "arm_labels": ARM_LABELS,
        "ablations": {name: question.title for name, question in QUESTIONS.items()},
    }


def installed_versions() -> dict[str, str]:
    """Python's version and that of every package of `PACKAGES`, as installed here."""
    return {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def true_name(weights: Path | str) -> str:
    """What weights really are, from the JSON file beside them."""
    return json.loads(Path(weights).read_text(encoding="utf-8"))["true_name"]


def derived(config: Mapping[str, Any], tables: Mapping[str, PrintedTable]) -> dict[str, Any]:
    """What follows from the config and the tables, by name."""
    main, transfer = config["encoders"]["main"], config["transfer"]
    spec, training = encoder_spec(main["name"]), transfer["training"]
    low, high = config["slices"]["window_hu"]
    seeds, unets = len(config["seeds"]), config["segment"]["seeds"] or config["seeds"]
    lists = transfer.get("layers", "registry")
    models = [f"{MODEL_LABELS.get(model, model)} ({LOSSES.get(model, model)})" for model in transfer["models"]]
    made = {
        "seeds": "one seed" if seeds == 1 else f"{seeds} seeds",
        "one_seed": seeds == 1,
        "unet_seeds": f"{len(unets)} seeds" if len(unets) > seeds else "",
        "encoders": len(COMPARED),
        "window_width": high - low,
        "confidence": 100 * config["paper"]["intervals"]["confidence"],
        "models": models,
        "losses": f"Models and losses: {'; '.join(models)}; style weight {shown(training['style_weight'])}.",
        "arms": [ARM_LABELS.get(arm, arm) for arm in config["segment"]["arms"]],
        "adain_tap": spec.adain_tap[transfer["warm_up"]["stride"]],
        "content_taps": _taps(training["content_taps"], lists, registry=spec.content_taps, deep=spec.deep_content_taps),
        "style_taps": _taps(training["style_taps"], lists, registry=spec.style_taps, deep=spec.style_taps),
        "gains": out_of_style_gains(tables["table2"]),
        "has_cis": any(
            "CIS" in text for text in (*tables["table1"].header, *(row[0].text for row in tables["table1"].rows))
        ),
    }
    if "phantom" in config["cohorts"]:
        patients = config["phantom"]
        made["phantom_train"] = sum(patients["train"].values())
        made["phantom_val"] = sum(patients["val"].values())
        made["scanners"] = scanner_table(patients["styles"])
    return made


def out_of_style_gains(table2: PrintedTable) -> list[dict[str, str]]:
    """Method and paired gain in foreground IoU of every arm, in Table 2's rows over all out-of-style scans."""
    gain = table2.column(MEASURES["foreground_iou_gain"].heading)
    domain, method = table2.column("Domain"), table2.column("Method")
    return [
        {"method": row[method].text, "gain": row[gain].text}
        for row in table2.rows
        if row[domain].text.startswith(OUT_OF_STYLE) and row[gain].text != ABSENT
    ]


def scanner_table(styles: Mapping[str, Mapping[str, Any] | None]) -> PrintedTable:
    """The scanner settings of the simulated grey scales as they stand in the config, one row per grey scale that is
    not left out (None).
    """
    shown = {name: style for name, style in styles.items() if style is not None}
    keys = list(dict.fromkeys(key for style in shown.values() for key in style))
    rows = [(Cell(name), *(Cell(_setting(key, style.get(key))) for key in keys)) for name, style in shown.items()]
    return PrintedTable(
        number="",
        title="The simulated grey scales and the scanner settings behind them",
        header=("Grey scale", *(key.replace("_", " ") for key in keys)),
        rows=tuple(rows),
        notes=(f"Keys and values of the config section phantom; {ABSENT}: the default.",),
    )


def _taps(named: list[str], lists: str, **known: tuple[str, ...]) -> list[str]:
    """The taps of a loss: those the config names, or those of a list of the registry."""
    return list(named or known.get(lists, ("those selected from the layer description",)))


def _setting(key: str, value: Any) -> str:
    if value is None:
        return ABSENT
    if key == "window":
        return f"level {shown(value[0])}, width {shown(value[1])}"
    return " to ".join(map(shown, value)) if isinstance(value, list | tuple) else shown(value)
