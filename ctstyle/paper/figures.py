"""Figures 4 to 7 of the paper, from arrays and frames. Slices are HU `[H, W]`, all in the one grey window of `Look`."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctstyle.paper.drawing import (
    PREDICTION_COLOUR,
    REFERENCE_COLOUR,
    STYLE_COLOURS,
    Look,
    Sheet,
    drawing,
    require_slices,
    require_some,
)
from ctstyle.paper.measures import MODEL_LABELS, PaperInputError, in_order
from ctstyle.study.arms import ARM_LABELS, ARMS

TOP, GAP, SCALE_ROOM = 5.5, 1.5, 10.0
ACQUISITION_COLUMNS = 24
MOST_ARMS = 8
"""Panels of arms side by side in Figure 7."""
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


@dataclass(frozen=True, kw_only=True)
class SegmentationExample:
    """One row of Figure 7: a test slice (HU), its reference mask and the mask of each arm (bool, all `[H, W]`)."""

    hu: np.ndarray
    reference: np.ndarray
    predictions: Mapping[str, np.ndarray]
    label: str


def figure4(
    examples: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    scans: pd.DataFrame,
    look: Look,
) -> Figure:
    """Figure 4, the grey-scale styles of the cohort: example slices, body histogram and acquisition of each style.

    `examples[style]` are slices `[n, H, W]` in HU (the first four are drawn), `values[style]` the HU of the style's
    body pixels (any shape), `scans` one row per scan with `scan, patient, style, kvp, kernel, grey_values`.
    """
    styles = sorted(examples)
    require_some("Figure 4", styles, "style")
    missing = [name for name in ("scan", "patient", "style", "kvp", "kernel", "grey_values") if name not in scans]
    if missing:
        raise PaperInputError("columns are missing", where="Figure 4, scans", found=list(scans), expected=missing)
    shown = min(4, min(len(examples[style]) for style in styles))
    require_some("Figure 4", range(shown), "example slice in each style")
    height, width = require_slices("Figure 4", **{f"style {s}": examples[s][0] for s in styles})
    label, histogram = 27.0, 40.0
    size = (look.width_mm - label - histogram - 6 - shown * GAP) / max(shown, 3)
    tall = size * height / width
    pitch = tall + 6.5
    with drawing():
        sheet = Sheet(look, 4 + len(styles) * pitch)
        shares = {style: _shares(values[style], look) for style in styles}
        highest = max(max(share.inside.max() for share in shares.values()), 1e-3)
        for row, style in enumerate(styles):
            top = 4 + row * pitch
            colour = STYLE_COLOURS[row % len(STYLE_COLOURS)]
            sheet.text(1, top, style, fontsize=9, weight="bold", color=colour)
            sheet.text(1, top + 4.5, _acquisition(scans[scans["style"] == style]), fontsize=5.5, linespacing=1.35)
            for i in range(shown):
                sheet.slice(label + i * (size + GAP), top, size, examples[style][i], marks=i == 0)
            axes = sheet.axes(look.width_mm - histogram, top, histogram - 4, tall - 2)
            share = shares[style]
            axes.stairs(share.inside, share.edges, fill=True, color=colour, alpha=0.35)
            axes.stairs(share.inside, share.edges, color=colour, linewidth=0.8)
            axes.set(xlim=look.window_hu, ylim=(0, 1.05 * highest), xticks=[])
            ends = f"≤ {look.window_hu[0]:g}: {share.below:.1f} %\n≥ {look.window_hu[1]:g}: {share.above:.1f} %"
            axes.text(0.99, 0.98, ends.replace("-", "−"), transform=axes.transAxes, ha="right", va="top", fontsize=5.5)
            axes.set_title("body pixels, % per bin" if row == 0 else "", fontsize=6, pad=2)
            axes.tick_params(length=1.5, pad=1, labelsize=5)
            _grey_ramp(sheet, look.width_mm - histogram, top + tall - 2, histogram - 4)
    return sheet.figure


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
        _titles(sheet, titles, left, size)
        for i, row in enumerate(rows):
            top = TOP + i * (tall + GAP)
            generated = [row.generated.get(model) for model in models]
            made = dict(zip(models, generated))
            require_slices(
                f"Figure 5, row {row.target_style}", content=row.content, style=row.style, target=row.target, **made
            )
            _side_label(sheet, f"{row.source_style} to {row.target_style}", top + tall / 2)
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
        _titles(sheet, ["Content X", *(f"Style {style}" for style in styles)], left, size)
        for i, name in enumerate(["single targets Y", *(MODEL_LABELS.get(model, model) for model in models)]):
            top = TOP + i * (tall + GAP)
            _side_label(sheet, name, top + tall / 2)
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
            _titles(
                sheet, [f"α = {alpha:g}" for alpha in alphas], left, strip_size, bottom=strips_top - 0.8, bold=False
            )
        for i, model in enumerate(strips):
            top = strips_top + i * (strip_tall + GAP)
            if len(blends[model]) != len(alphas):
                raise PaperInputError(
                    "a blend has not one slice per alpha",
                    where=f"Figure 6, {model}",
                    found=len(blends[model]),
                    expected=len(alphas),
                )
            _side_label(sheet, MODEL_LABELS.get(model, model), top + strip_tall / 2)
            for column, hu in enumerate(blends[model]):
                sheet.slice(left + column * (strip_size + GAP), top, strip_size, hu, marks=column == 0)
            sheet.grey_scale(left + len(alphas) * (strip_size + GAP) + 0.5, top + 2, strip_tall - 3)
    return sheet.figure


def figure7(rows: Sequence[SegmentationExample], look: Look) -> Figure:
    """Figure 7, segmentations: the slice, the reference, and each arm's contour over it with this slice's IoU.

    Reference and prediction are contours of two colours; in the prediction panels both are drawn, so that what is
    missed and what is invented can be seen. More than MOST_ARMS arms are shown in blocks, one below the other, each
    with all rows.
    """
    require_some("Figure 7", rows, "row")
    arms = in_order({arm for row in rows for arm in row.predictions}, ARM_LABELS)
    blocks = np.array_split(arms, -(-len(arms) // MOST_ARMS)) if arms else [[]]
    columns = 2 + min(len(arms), MOST_ARMS)
    left = 4.0
    size = (look.width_mm - left - SCALE_ROOM - (columns - 1) * GAP) / columns
    height, width = require_slices("Figure 7", slice=rows[0].hu)
    tall = size * height / width
    pitch = tall + 4.5
    deep = TOP + len(rows) * pitch
    for row in rows:
        require_slices(f"Figure 7, {row.label}", slice=row.hu, reference=row.reference, **row.predictions)
    with drawing():
        sheet = Sheet(look, len(blocks) * deep + 4)
        for number, block in enumerate(blocks):
            titles = ["Slice", "Reference", *(ARMS[arm].short if arm in ARMS else arm for arm in block)]
            _titles(sheet, titles, left, size, bottom=number * deep + TOP - 1.2)
            for i, row in enumerate(rows):
                _segmentations(sheet, row, block, left=left, top=number * deep + TOP + i * pitch, size=size)
        _key(sheet, left, len(blocks) * deep)
    return sheet.figure


def _segmentations(
    sheet: Sheet, row: SegmentationExample, arms: Sequence[str], *, left: float, top: float, size: float
) -> None:
    """One row of Figure 7: the slice, the reference, and a panel per arm."""
    tall = size * row.hu.shape[0] / row.hu.shape[1]
    _side_label(sheet, row.label, top + tall / 2, fontsize=6.5 if tall > 19 else 5.2)
    sheet.slice(left, top, size, row.hu, marks=True)
    axes = sheet.slice(left + size + GAP, top, size, row.hu)
    _contour(axes, row.reference, REFERENCE_COLOUR)
    for column, arm in enumerate(arms, start=2):
        place = left + column * (size + GAP)
        if arm not in row.predictions:
            sheet.empty(place, top, size, tall, "not run")
            continue
        axes = sheet.slice(place, top, size, row.hu)
        _contour(axes, row.reference, REFERENCE_COLOUR)
        _contour(axes, row.predictions[arm], PREDICTION_COLOUR)
        below = iou_text(row.predictions[arm], row.reference)
        sheet.text(place + size / 2, top + tall + 0.6, below, ha="center", fontsize=5.5)
    sheet.grey_scale(left + (2 + len(arms)) * (size + GAP), top + 2, tall - 3)


def augmented(rows: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]], look: Look) -> Figure:
    """Labelled slices that an arm adds to the training, one row per target style, with the contour of their masks.

    `rows[style]` holds pairs of a slice (HU `[H, W]`) and its mask (bool `[H, W]`).
    """
    require_some("augmented slices", list(rows), "target style with an accepted slice")
    columns = max(len(pairs) for pairs in rows.values())
    left = 4.0
    size = min((look.width_mm - left - SCALE_ROOM - (columns - 1) * GAP) / columns, 30.0)
    first = next(iter(rows.values()))[0][0]
    tall = size * first.shape[0] / first.shape[1]
    with drawing():
        sheet = Sheet(look, 2 + len(rows) * (tall + GAP))
        for number, (style, pairs) in enumerate(rows.items()):
            top = 1 + number * (tall + GAP)
            _side_label(sheet, style, top + tall / 2)
            for column, (hu, mask) in enumerate(pairs):
                axes = sheet.slice(left + column * (size + GAP), top, size, hu, marks=column == 0)
                _contour(axes, mask, REFERENCE_COLOUR)
            sheet.grey_scale(left + columns * (size + GAP) + 0.5, top + 2, tall - 3)
    return sheet.figure


@dataclass(frozen=True)
class _Shares:
    """Percent of a style's body pixels in 80 bins of the window, and at or beyond its two ends."""

    edges: np.ndarray
    inside: np.ndarray
    below: float
    above: float


def _shares(values: np.ndarray, look: Look) -> _Shares:
    """Lung and air below the window, and what an export cut off above it, would dwarf the tissues as end bins."""
    low, high = look.window_hu
    values = np.ravel(values)
    percent = 100 / max(values.size, 1)
    counts, edges = np.histogram(values[(values > low) & (values < high)], bins=80, range=(low, high))
    below, above = percent * np.count_nonzero(values <= low), percent * np.count_nonzero(values >= high)
    return _Shares(edges, percent * counts, below, above)


def _acquisition(scans: pd.DataFrame) -> str:
    lines = [f"{_counted(len(scans), 'scan')}, {_counted(scans['patient'].nunique(), 'patient')}"]
    for column, before, after in (("kvp", "", " kVp"), ("kernel", "kernel ", ""), ("grey_values", "", "")):
        counts = Counter(_named(value) for value in scans[column])
        shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        parts = [name if len(shown) == 1 else f"{name} ({count})" for name, count in shown[:3]]
        more = f", {len(shown) - 3} more" if len(shown) > 3 else ""
        lines += textwrap.wrap(f"{before}{', '.join(parts)}{more}{after}", ACQUISITION_COLUMNS)
    return "\n".join(lines)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _named(value: object) -> str:
    if pd.isna(value) or value == "":
        return "not stated"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _titles(
    sheet: Sheet, titles: Sequence[str], left: float, size: float, *, bottom: float = TOP - 1.2, bold: bool = True
) -> None:
    for column, title in enumerate(titles):
        middle = left + column * (size + GAP) + size / 2
        weight = "bold" if bold else "normal"
        sheet.text(middle, bottom, title, ha="center", va="bottom", weight=weight, fontsize=7 if size > 19 else 5.6)


def _side_label(sheet: Sheet, text: str, middle: float, *, fontsize: float = 6.5) -> None:
    sheet.text(0.4, middle, text, rotation=90, va="center", ha="left", fontsize=fontsize)


def _grey_ramp(sheet: Sheet, left: float, top: float, width: float) -> None:
    low, high = sheet.look.window_hu
    axes = sheet.axes(left, top, width, 1.8)
    ramp = np.linspace(low, high, 256)[None]
    axes.imshow(ramp, cmap="gray", vmin=low, vmax=high, aspect="auto", extent=(low, high, 0, 1))
    axes.set(yticks=[], xticks=[low, 0, (low + high) / 2, high] if low < 0 else [low, high])
    axes.tick_params(length=1.5, pad=1, labelsize=5)
    axes.set_xlabel("HU", fontsize=5, labelpad=0)


def _contour(axes: Axes, mask: np.ndarray, colour: str) -> None:
    padded = np.pad(np.asarray(mask, dtype=bool), 1)  # a mask that touches the border keeps a closed contour
    if padded.any():
        grid_y, grid_x = (np.arange(n) - 1 for n in padded.shape)
        axes.contour(grid_x, grid_y, padded, levels=[0.5], colors=[colour], linewidths=0.8)
        axes.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def iou_text(prediction: np.ndarray, reference: np.ndarray) -> str:
    """The foreground IoU of one slice, for the line below its panel."""
    union = np.logical_or(prediction, reference).sum()
    return f"IoU {np.logical_and(prediction, reference).sum() / union:.2f}" if union else "both empty"


def _key(sheet: Sheet, left: float, top: float) -> None:
    for place, name, colour in ((left, "reference", REFERENCE_COLOUR), (left + 22, "prediction", PREDICTION_COLOUR)):
        axes = sheet.axes(place, top + 0.8, 5, 0.8)
        axes.set_axis_off()
        axes.plot([0, 1], [0, 0], color=colour, linewidth=1.5)
        sheet.text(place + 6, top + 1.2, name, va="center", fontsize=6)
