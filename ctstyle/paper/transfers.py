"""Figures 5, 6, 8 and 9: what models made of test slices. Slices are HU `[H, W]`.

The shown slices are picked by a rule from the test side, never by eye or by score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ctstyle.measures.columns import ENCODER_LABELS, MODEL_LABELS, PaperInputError, in_order
from ctstyle.paper.drawing import (
    GAP,
    SCALE_ROOM,
    TOP,
    Look,
    Sheet,
    drawing,
    look_of,
    require_slices,
    require_some,
)
from ctstyle.paper.inputs import fullest_slice, read_arrays, read_frames
from ctstyle.slices.archive import Archive
from ctstyle.slices.run import open_run

SHORT_MODELS = {
    "ours": "Ours",
    "adain": "AdaIN",
    "contextual": "Contextual",
    "cyclegan": "CycleGAN",
    "gatys": "Gatys",
}
"""Titles of narrow columns; the captions say which method each is."""


@dataclass(frozen=True, kw_only=True)
class TransferExample:
    """One row of Figure 5: content X, style Y, what each model made of them, and X really scanned in Y's style.

    Slices are HU `[H, W]`; `generated` maps a model's name to its slice; `target` is None where no true target exists.
    """

    content: np.ndarray
    style: np.ndarray
    generated: Mapping[str, np.ndarray]
    target: np.ndarray | None
    source_style: str
    target_style: str


def draw_figure5(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """Figure 5 from the slices of a run and the outputs of its models."""
    archive = open_run(inputs.slices, inputs.split)
    return figure5(_examples(archive, inputs, settings["models"]), look_of(settings["slices"]))


def draw_encoders(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """Figure 8 or 9 from the outputs of the trainings with each encoder."""
    archive = open_run(inputs.slices, inputs.split).at_size(settings["size_px"])
    examples = _examples(archive, inputs, settings["encoders"])
    return figure5(examples, look_of(settings["slices"]), ENCODER_LABELS)


def draw_figure6(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """Figure 6 from the slices of a run and the outputs of its models in every style."""
    archive = open_run(inputs.slices, inputs.split)
    generated = read_arrays(settings["models"], inputs.hu)
    rows = dict(zip(settings["models"], read_frames(inputs.rows)))
    return figure6(*style_examples(archive, generated, rows), look_of(settings["slices"]))


def _examples(archive: Archive, inputs: Any, names: Sequence[str]) -> list[TransferExample]:
    return transfer_examples(archive, read_arrays(names, inputs.hu), dict(zip(names, read_frames(inputs.rows))))


def figure5(rows: Sequence[TransferExample], look: Look, labels: Mapping[str, str] = SHORT_MODELS) -> Figure:
    """Figures 5, 8 and 9, one row per target style: content X, style Y, each output, the true target where it exists.

    `labels` names and orders the outputs: models in Figure 5, encoders in Figures 8 and 9.
    """
    require_some("Figure 5", rows, "row")
    models = in_order({model for row in rows for model in row.generated}, labels)
    titles = ["Content X", "Style Y", *(labels.get(model, model) for model in models), "True target"]
    left = 4.0
    size = (look.width_mm - left - SCALE_ROOM - (len(titles) - 1) * GAP) / len(titles)
    height, width = require_slices("Figure 5", content=rows[0].content)
    tall = size * height / width
    with drawing():
        sheet = Sheet(look, TOP + len(rows) * (tall + GAP) + 1)
        sheet.titles(titles, left, size)
        for i, row in enumerate(rows):
            top = TOP + i * (tall + GAP)
            generated = [row.generated.get(model) for model in models]
            made = dict(zip(models, generated))
            require_slices(
                f"Figure 5, row {row.target_style}", content=row.content, style=row.style, target=row.target, **made
            )
            sheet.side_label(f"{row.source_style} to {row.target_style}", top + tall / 2)
            for column, hu in enumerate([row.content, row.style, *generated, row.target]):
                place = left + column * (size + GAP)
                if hu is None:
                    is_target = column == len(generated) + 2
                    sheet.empty(place, top, size, tall, "not scanned\nin this style" if is_target else "not made")
                else:
                    sheet.slice(place, top, size, hu, marks=column == 0)
            sheet.grey_scale(look.width_mm - SCALE_ROOM + 1.5, top + 2, tall - 3)
    return sheet.figure


def figure6(
    content: np.ndarray,
    targets: Mapping[str, np.ndarray],
    outputs: Mapping[str, Mapping[str, np.ndarray]],
    blends: Mapping[str, np.ndarray],
    alphas: Sequence[float],
    look: Look,
) -> Figure:
    """Figure 6, several styles from single targets: one X in every style by every model, and the blend towards one.

    `content` `[H, W]`, `targets[style]` the single slice each style is taken from, `outputs[model][style]` what the
    model made of X, `blends[model]` `[len(alphas), H, W]` X carried towards the last style by each of `alphas`
    (0 keeps X's own statistics, 1 takes the style's); all HU.
    """
    styles, models = sorted(targets), in_order(set(outputs), MODEL_LABELS)
    require_some("Figure 6", styles, "target style")
    require_some("Figure 6", models, "model")
    height, width = require_slices("Figure 6", content=content, **{f"target {s}": targets[s] for s in styles})
    left = 4.0
    columns = max(len(styles) + 1, 4)
    size = (look.width_mm - left - SCALE_ROOM - (columns - 1) * GAP) / columns
    size = min(size, 30.0)
    tall = size * height / width
    strips = in_order(set(blends), MODEL_LABELS)
    strip_size = min(size, (look.width_mm - left - SCALE_ROOM - (len(alphas) - 1) * GAP) / max(len(alphas), 1))
    strip_tall = strip_size * height / width
    strips_top = TOP + (len(models) + 1) * (tall + GAP) + TOP + 3
    with drawing():
        page = strips_top + len(strips) * (strip_tall + GAP) + 1 if strips else strips_top - TOP - 2
        sheet = Sheet(look, page)
        bar = left + (len(styles) + 1) * (size + GAP) + 0.5
        sheet.titles(["Content X", *(f"Style {style}" for style in styles)], left, size)
        for i, name in enumerate(["single targets Y", *(MODEL_LABELS.get(model, model) for model in models)]):
            top = TOP + i * (tall + GAP)
            sheet.side_label(name, top + tall / 2)
            shown = targets if i == 0 else outputs[models[i - 1]]
            if i == 0:
                sheet.slice(left, top, size, content, marks=True)
            for column, style in enumerate(styles, start=1):
                place = left + column * (size + GAP)
                if style in shown:
                    require_slices(f"Figure 6, {name}", content=content, **{style: shown[style]})
                    sheet.slice(place, top, size, shown[style])
                else:
                    sheet.empty(place, top, size, tall, "not made")
            sheet.grey_scale(bar, top + 2, tall - 3)
        if strips:
            sheet.text(left, strips_top - TOP - 1.5, f"Blend of X towards {styles[-1]}", weight="bold")
            sheet.titles([f"α = {alpha:g}" for alpha in alphas], left, strip_size, bottom=strips_top - 0.8, bold=False)
        for i, model in enumerate(strips):
            top = strips_top + i * (strip_tall + GAP)
            if len(blends[model]) != len(alphas):
                raise PaperInputError(
                    "a blend has not one slice per alpha",
                    where=f"Figure 6, {model}",
                    found=len(blends[model]),
                    expected=len(alphas),
                )
            sheet.side_label(MODEL_LABELS.get(model, model), top + strip_tall / 2)
            for column, hu in enumerate(blends[model]):
                sheet.slice(left + column * (strip_size + GAP), top, strip_size, hu, marks=column == 0)
            sheet.grey_scale(left + len(alphas) * (strip_size + GAP) + 0.5, top + 2, strip_tall - 3)
    return sheet.figure


def transfer_examples(
    archive: Archive, generated: Mapping[str, np.ndarray], rows: Mapping[str, pd.DataFrame]
) -> list[TransferExample]:
    """Figure 5's rows: one per target style, each of another test patient, with the slice that shows most vertebra.

    `generated[model]` int16 `[n, H, W]` and `rows[model]` (`test.tsv`) hold what each model made; the rows of the
    model that made most are shown, and a model that did not make a row has no panel there. Rows with a true target are
    preferred.
    """
    first = max(rows.values(), key=len)
    content = archive.rows[["scan", "index", "foreground_px"]].rename(
        columns={"scan": "content_scan", "index": "content_index"}
    )
    pairs = first[first["kind"] == "transfer"].merge(content, on=["content_scan", "content_index"], how="left")
    examples = []
    for number, style in enumerate(sorted(pairs["target_style"].unique())):
        of_style = pairs[pairs["target_style"] == style]
        with_target = of_style[of_style["target_index"] >= 0]
        candidates = with_target if len(with_target) else of_style
        patients = sorted(candidates["patient"].unique())
        patient = patients[number % len(patients)]
        row = candidates.loc[fullest_slice(candidates[candidates["patient"] == patient])]
        examples.append(
            TransferExample(
                content=_slice(archive, row["content_scan"], row["content_index"]),
                style=_slice(archive, row["style_scan"], row["style_index"]),
                generated=_made_of(row, generated, rows),
                target=_slice(archive, row["target_scan"], row["target_index"]) if row["target_index"] >= 0 else None,
                source_style=row["source_style"],
                target_style=style,
            )
        )
    return examples


def style_examples(
    archive: Archive, generated: Mapping[str, np.ndarray], rows: Mapping[str, pd.DataFrame]
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, dict[str, np.ndarray]], dict[str, np.ndarray], list[float]]:
    """Figure 6's content, single style slices, outputs by model and style, blends by model, and the blend's steps.

    `generated[model]` int16 `[n, H, W]` in the order of `rows[model]` (`styles.tsv`); a model without blends has none.
    """
    first = next(iter(rows.values()))
    singles = first[first["kind"] == "single"]
    content = _slice(archive, first["content_scan"].iloc[0], first["content_index"].iloc[0])
    targets = {row.target_style: _slice(archive, row.style_scan, row.style_index) for row in singles.itertuples()}
    outputs, blends, alphas = {}, {}, []
    for model, hu in generated.items():
        of_kind = {kind: rows[model][rows[model]["kind"] == kind] for kind in ("single", "blend")}
        outputs[model] = {
            style: hu[n] for style, n in zip(of_kind["single"]["target_style"], of_kind["single"]["index"])
        }
        if len(of_kind["blend"]):
            blends[model] = hu[of_kind["blend"]["index"].to_numpy()]
            alphas = of_kind["blend"]["alpha"].astype(float).tolist()
    return content, targets, outputs, blends, alphas


def _made_of(
    row: pd.Series, generated: Mapping[str, np.ndarray], rows: Mapping[str, pd.DataFrame]
) -> dict[str, np.ndarray]:
    """What each model made of one pair of content and style."""
    pair = ["content_scan", "content_index", "style_scan", "style_index"]
    made = {}
    for model, hu in generated.items():
        same = rows[model][(rows[model][pair] == row[pair]).all(axis=1)]
        if len(same):
            made[model] = hu[int(same["index"].iloc[0])]
    return made


def _slice(archive: Archive, scan: str, index: int | str) -> np.ndarray:
    return archive.select(scan=scan, index=int(index)).hu()[0]
