"""The figures and tables of the paper as data: what each needs, what it is called, and the function that makes it.

A new figure or table is one entry here and the function that the entry names. Paths and names are patterns: a field
like `{arm}` stands for every value of that axis (`axes`), or for the one value that it has.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from ctstyle.study import ablations
from ctstyle.study.arms import augmented_arms, unet_seeds
from ctstyle.study.comparison import trainings

METHOD, GREYS, TRANSFER, SEGMENTATION, ENCODERS, CLAIMS, COSTS = (
    "1 Method: Figures 1 to 3",
    "2 Grey scales: Figure 4",
    "3 Style transfer: Figures 5 and 6, Table 1",
    "4 Segmentation: Figure 7, Table 2",
    "5 Encoders and layers: Figures 8 and 9, Table 3",
    "6 Claims and errata",
    "7 Training curves, costs, environment",
)
"""Categories of Snakemake's report."""

SLICES = {"split": "<styles>/split.tsv", "slices": "<slices>.{part}"}
OUTPUTS = {file: f"<transfer>/{{model}}/seed{{first}}/test.{end}" for file, end in (("hu", "hu.npy"), ("rows", "tsv"))}
WEIGHTS = {"weights": "<encoders>/{main}.json", "trunk": "<encoders>/{trunk}.json"}
RUN = {"facts": "run facts", "intervals": "paper/intervals"}
COMPARED = {**RUN, "compared": "comparison facts"}
SEGMENTED = {"segmentation": "<metrics>/segmentation/{arm}-seed{unet_seed}.tsv"}
ABLATED = {
    name: f"<ablations>/{{ablated}}/seed{{seed}}/{name}.tsv" for name in ("segmentation", "structure", "painted")
}


@dataclass(frozen=True, kw_only=True)
class Output:
    """One figure or table.

    `name` is its file's name, a pattern where there is one for each value of an axis. `place` is the function that
    makes it ("module:function"). `inputs` maps the keys of its files to patterns, `settings` the keys of its params to
    places in the config ("paper/intervals"), to entries of `facts`, or to a pattern of the name's axes. `category`,
    `subcategory` and `labels` (by default `label`) are what Snakemake's report shows; its caption is in report/.
    """

    name: str
    place: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    category: str
    subcategory: str
    label: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def _figure(name: str, place: str, category: str, label: str = "", **about: Any) -> Output:
    about = {"subcategory": "Figures", "settings": {}, **about}
    about["settings"] = {"slices": "slices", **about["settings"]}
    return Output(name=name, place=f"ctstyle.paper.{place}", category=category, label=label, **about)


def _table(name: str, place: str, category: str, label: str, **about: Any) -> Output:
    about = {"subcategory": "Tables", **about}
    return Output(name=name, place=f"ctstyle.paper.{place}", category=category, label=label, **about)


def _of_encoders(name: str, trained: str, loss: str) -> Output:
    return _figure(
        name,
        "transfers:draw_encoders",
        ENCODERS,
        subcategory="Outputs of the encoders",
        labels={"outputs of": "the encoders", "loss": loss},
        inputs={
            **SLICES,
            "hu": f"<comparison>/{{{trained}}}/seed{{first}}/test.hu.npy",
            "rows": f"<comparison>/{{{trained}}}/seed{{first}}/test.tsv",
        },
        settings={"encoders": "comparison/encoders", "size_px": "comparison/size_px"},
    )


NETWORKS = {
    "encoder": "encoders/main/name",
    "stride": "transfer/warm_up/stride",
    "content_taps": "transfer/training/content_taps",
    "style_taps": "transfer/training/style_taps",
    "unet": "segment/training/unet",
}

FIGURES = (
    _figure("figure1", "architecture:draw_figure1", METHOD, "Figure 1: the whole system", settings=NETWORKS),
    _figure("figure2", "architecture:draw_figure2", METHOD, "Figure 2: style transfer network", settings=NETWORKS),
    _figure("figure3", "architecture:draw_figure3", METHOD, "Figure 3: segmentation network", settings=NETWORKS),
    _figure("figure4", "grey_scales:draw_figure4", GREYS, "Figure 4: the styles", inputs=SLICES),
    _figure(
        "figure5",
        "transfers:draw_figure5",
        TRANSFER,
        "Figure 5: outputs of the methods",
        inputs={**SLICES, **OUTPUTS},
        settings={"models": "transfer/models"},
    ),
    _figure(
        "figure6",
        "transfers:draw_figure6",
        TRANSFER,
        "Figure 6: several styles from single targets",
        inputs={
            **SLICES,
            "hu": "<transfer>/{model}/seed{first}/styles.hu.npy",
            "rows": "<transfer>/{model}/seed{first}/styles.tsv",
        },
        settings={"models": "transfer/models"},
    ),
    _figure(
        "figure7",
        "segmentations:draw_figure7",
        SEGMENTATION,
        "Figure 7: segmentations",
        inputs={**SLICES, "predictions": "<segmentation>/{arm}/seed{first_unet}/predictions.npy"},
        settings={"arms": "segment/arms"},
    ),
    _of_encoders("figure8", "of_mse", "MSE"),
    _of_encoders("figure9", "of_contextual", "contextual loss"),
    _figure(
        "ranks",
        "rank_plot:draw_ranks",
        SEGMENTATION,
        "ranks of the arms",
        inputs=SEGMENTED,
        settings={"intervals": "paper/intervals"},
    ),
    _figure(
        "style_space",
        "grey_scales:draw_style_space",
        GREYS,
        "style space",
        inputs={"styles": "<styles>/styles.tsv"},
        settings={"features": "styles/features"},
    ),
    _figure(
        "training",
        "curves:draw_training_curves",
        COSTS,
        "training curves",
        inputs={
            "warm_up": "<transfer>/warmup/{warm_up}/seed{seed}.history.tsv",
            "transfer": "<transfer>/{trained}/seed{seed}/history.tsv",
            "unet": "<segmentation>/{arm}/seed{unet_seed}/history.tsv",
        },
        settings={"models": "trained models", "arms": "segment/arms"},
    ),
    _figure(
        "sweep",
        "curves:draw_sweep",
        ENCODERS,
        "style weights",
        inputs={"sweep": "<comparison>/{of_sweep}/seed{seed}/scores.tsv"},
        settings={"intervals": "paper/intervals"},
    ),
    _figure(
        "layer_choice",
        "curves:draw_layer_choice",
        ENCODERS,
        "choice of layers",
        inputs={"layers": "<encoders>/{described}.layers.tsv", "taps": "<encoders>/{described}.taps.json"},
    ),
    _figure(
        "augmented_{made}-seed{first}",
        "segmentations:draw_augmented",
        SEGMENTATION,
        subcategory="Augmented slices",
        labels={"augmentation": "{made}"},
        inputs={
            "hu": "<augmented>/{made}/seed{first}.hu.npy",
            "labels": "<augmented>/{made}/seed{first}.labels.npy",
            "rows": "<augmented>/{made}/seed{first}.tsv",
        },
    ),
    _figure(
        "ablation_{question}",
        "ablations:draw_question",
        SEGMENTATION,
        "ablation: {title}",
        subcategory="What drives it",
        inputs=ABLATED,
        settings={"asked": "ablations asked", "question": "{question}"},
    ),
)

TABLES = (
    _table(
        "table1",
        "tables:make_table1",
        TRANSFER,
        "Table 1",
        inputs={
            "transfer": "<metrics>/transfer/{model}-seed{seed}.tsv",
            "diversity": "<metrics>/transfer/{model}-seed{seed}.diversity.tsv",
            "cis": "<metrics>/cis/{model}-seed{seed}.tsv",
            "classifier": "<metrics>/classifier/inception.json",
            **WEIGHTS,
        },
        settings={**RUN, "models": "transfer/models"},
    ),
    _table("table1_printed", "printed:make_table1", TRANSFER, "the paper's own Table 1"),
    _table("table2", "tables:make_table2", SEGMENTATION, "Table 2", inputs={**SEGMENTED, **WEIGHTS}, settings=RUN),
    _table("table2_printed", "printed:make_table2", SEGMENTATION, "the paper's own Table 2"),
    _table(
        "table3",
        "comparison:make_table3",
        ENCODERS,
        "Table 3",
        inputs={
            "scores": "<comparison>/{of_encoders}/seed{seed}/scores.tsv",
            "about": "<encoders>/{weights}.json",
            "layers": "<encoders>/{described}.layers.tsv",
            **WEIGHTS,
        },
        settings={**COMPARED, "stride": "transfer/warm_up/stride"},
    ),
    _table(
        "taps",
        "comparison:make_taps",
        ENCODERS,
        "taps of all encoders",
        inputs={"layers": "<encoders>/{described}.layers.tsv", **WEIGHTS},
        settings={"facts": "run facts"},
    ),
    _table(
        "sweep",
        "comparison:make_sweep",
        ENCODERS,
        "style weights",
        inputs={"sweep": "<comparison>/{of_sweep}/seed{seed}/scores.tsv", **WEIGHTS},
        settings=COMPARED,
    ),
    _table(
        "lists",
        "comparison:make_lists",
        ENCODERS,
        "layer lists",
        inputs={
            "lists": "<comparison>/{of_layers}/seed{seed}/scores.tsv",
            "taps": "<encoders>/{main}.taps.json",
            **WEIGHTS,
        },
        settings=COMPARED,
    ),
    _table(
        "tests",
        "tables:make_tests",
        SEGMENTATION,
        "tests, harm in style, patients needed",
        inputs={**SEGMENTED, **WEIGHTS},
        settings={**RUN, "margin_points": "paper/margin_points"},
    ),
    _table(
        "claims",
        "claims:make_claims",
        CLAIMS,
        "claims of the paper",
        inputs={
            **{name: f"<paper>/tables/{name}.csv" for name in ("table1", "table2", "table3", "sweep", "costs")},
            "layers": "<paper>/tables/lists.csv",
            "transfer": "<metrics>/transfer/ours-seed{seed}.tsv",
        },
    ),
    _table("errata", "printed:make_errata", CLAIMS, "errata of the paper"),
    _table(
        "costs",
        "comparison:make_costs",
        COSTS,
        "costs",
        inputs={
            "outputs": "<transfer>/{model}/seed{first}/test.cost.json",
            "warm_up": "<transfer>/warmup/{warm_up}/seed{first}.cost.json",
            "trainings": "<transfer>/{trained}/seed{first}/cost.json",
            "compared": "<comparison>/{of_encoders}/seed{seed}/cost.json",
        },
        settings={"models": "transfer/models", "trained": "trained models", "compared": "compared trainings"},
    ),
    _table(
        "ablations{asked}",
        "ablations:make_ablations",
        SEGMENTATION,
        "table of ablations",
        subcategory="What drives it",
        inputs={**ABLATED, **WEIGHTS},
        settings={"facts": "run facts", "small": "ablations scale", "asked": "ablations asked"},
    ),
)


def axes(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of every axis of a checked config: a list, or one text where a run has one value."""
    main, small, transfer, seeds = config["encoders"]["main"], config["comparison"], config["transfer"], config["seeds"]
    compared = trainings(small, main, transfer["training"]["style_weight"])
    asked = ablations.plan(config)
    unets, arms = unet_seeds(config["segment"]["seeds"], seeds), config["segment"]["arms"]
    weights = [f"{name}/{small['weights']}" for name in small["encoders"]]
    shown = _shown(compared)
    return {
        "part": ["hu.npy", "labels.npy", "tsv", "json"],
        "seed": seeds,
        "first": str(seeds[0]),
        "unet_seed": unets,
        "first_unet": str(unets[0]),
        "model": transfer["models"],
        "trained": trained_models(config),
        "arm": arms,
        "made": [arm for arm in arms if arm in augmented_arms()],
        "main": f"{main['name']}/{main['weights']}",
        "trunk": f"vgg16/{config['metrics']['lpips_trunk']}",
        "warm_up": f"{main['name']}-{main['weights']}-{config['slices']['size_px']}px",
        "weights": weights,
        "described": list(dict.fromkeys([f"{main['name']}/{main['weights']}", *weights])),
        **{f"of_{question}": training_paths(frame) for question, frame in compared.items()},
        "shown": training_paths(shown),
        "of_mse": training_paths(shown[shown["model"] == "adain"]),
        "of_contextual": training_paths(shown[shown["model"] == "ours"]),
        "ablated": [f"plain/{ablations.BASE}", *(f"{ablations.ARM}/{point}" for point in asked.asked)],
        "question": asked.questions,
        # no table of ablations where no question is asked
        "asked": [""] if asked.questions else [],
    }


def facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """What outputs are told of a run beyond sections of its config, by the names that `settings` use."""
    small, plan = config["comparison"], ablations.plan(config)
    compared = trainings(small, config["encoders"]["main"], config["transfer"]["training"]["style_weight"])
    criterion = {"difference": "difference of content score and style score", "content": "content score"}
    return {
        "run facts": run_facts(config),
        "comparison facts": {
            **{key: small[key] for key in ("weights", "size_px", "warm_up_steps", "steps")},
            "criterion": criterion[config["encoders"]["choice"]["content_by"]],
        },
        "trained models": trained_models(config),
        # in the order of their files
        "compared trainings": [one for one in compared["encoders"].to_dict("records") for _ in config["seeds"]],
        "shown trainings": _shown(compared).to_dict("records"),
        "ablations scale": plan.scale,
        "ablations asked": plan.frame.to_dict("records"),
    }


def run_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """What captions say about a run, as far as the config knows it."""
    transfer, slices = config["transfer"], config["slices"]
    return {
        "encoder": config["encoders"]["main"]["name"],
        "warm_up_steps": transfer["warm_up"]["steps"],
        "transfer_steps": transfer["training"]["steps"],
        "segmentation_steps": config["segment"]["training"]["steps"],
        "size_px": slices["size_px"],
        "spacing_mm": slices["spacing_mm"],
        "window_hu": slices["window_hu"],
        "cohorts": config["cohorts"],
        "seeds": len(config["seeds"]),
    }


def trained_models(config: Mapping[str, Any]) -> list[str]:
    """The models that are trained before they work; the optimisation is not."""
    return [model for model in config["transfer"]["models"] if model != "gatys"]


def _shown(compared: Mapping[str, Any]) -> Any:
    """The trainings that figures show: every encoder under both losses, as the paper smooths its maps."""
    return compared["encoders"].query("smoothing == smoothing.iloc[0]")


def training_paths(frame: Any) -> list[str]:
    """The folder of each training of the comparison (a frame of `comparison.trainings`)."""
    stem = "{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight:g}"
    return [stem.format(**one) for one in frame.to_dict("records")]


def plan(outputs: Sequence[Output], config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every output of a run by its file's name, as plain data for the rules.

    Each has `inputs` (a path, or a list of paths), `settings`, `place`, `category`, `subcategory` and `labels`.
    """
    known, told = axes(config), facts(config)
    planned = {}
    for output in outputs:
        for values in _bindings(output.name, known):
            bound = known | values
            texts = values | ({"title": ablations.QUESTIONS[values["question"]].title} if "question" in values else {})
            labels = output.labels or {"file": output.label}
            planned[output.name.format(**values)] = {
                "inputs": {key: fill(pattern, bound) for key, pattern in output.inputs.items()},
                "settings": {key: _setting(where, config, told, values) for key, where in output.settings.items()},
                "place": output.place,
                "category": output.category,
                "subcategory": output.subcategory,
                "labels": {key: text.format(**texts) for key, text in labels.items()},
            }
    return planned


def fill(pattern: str, known: Mapping[str, Any]) -> str | list[str]:
    """The paths of a pattern, in the order of its axes; one path where none of them has several values."""
    paths = [pattern.format(**values) for values in _bindings(pattern, known)]
    several = any(not isinstance(known[name], str) for name in re.findall(r"{(\w+)}", pattern))
    return paths if several else paths[0]


def _bindings(pattern: str, known: Mapping[str, Any]) -> list[dict[str, str]]:
    names = list(dict.fromkeys(re.findall(r"{(\w+)}", pattern)))
    values = [[known[name]] if isinstance(known[name], str) else known[name] for name in names]
    return [dict(zip(names, map(str, chosen))) for chosen in product(*values)]


def _setting(where: str, config: Mapping[str, Any], told: Mapping[str, Any], values: Mapping[str, str]) -> Any:
    if "{" in where:
        return where.format(**values)
    if where in told:
        return told[where]
    found: Any = config
    for key in where.split("/"):
        found = found[key]
    return found
