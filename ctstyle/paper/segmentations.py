"""Figure 7, the segmentations, and the labelled slices that arms add. Slices are HU `[H, W]`.

The shown slices are picked by a rule, never by eye or by score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ctstyle.measures.columns import in_order
from ctstyle.measures.segmentation import domains
from ctstyle.paper.drawing import (
    GAP,
    PREDICTION_COLOUR,
    REFERENCE_COLOUR,
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
from ctstyle.study.arms import ARM_LABELS, ARMS

MOST_ARMS = 8
"""Panels of arms side by side in Figure 7."""


SHOWN_SLICES = 6


@dataclass(frozen=True, kw_only=True)
class SegmentationExample:
    """One row of Figure 7: a test slice (HU), its reference mask and the mask of each arm (bool, all `[H, W]`)."""

    hu: np.ndarray
    reference: np.ndarray
    predictions: Mapping[str, np.ndarray]
    label: str


def draw_figure7(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """Figure 7 from the test slices of a run and the predictions of every arm."""
    test, (split,) = open_run(inputs.slices, inputs.split).select(side="test"), read_frames([inputs.split])
    predictions = read_arrays(settings["arms"], inputs.predictions)
    return figure7(segmentation_examples(test, split, predictions), look_of(settings["slices"]))


def draw_augmented(inputs: Any, settings: Mapping[str, Any]) -> Figure:
    """Slices of an arm from its archive of made slices."""
    (rows,) = read_frames([inputs.rows])
    examples = augmented_examples(np.load(inputs.hu), np.load(inputs.labels), rows)
    return augmented(examples, look_of(settings["slices"]))


def segmentation_examples(
    archive: Archive, split: pd.DataFrame, predictions: Mapping[str, np.ndarray]
) -> list[SegmentationExample]:
    """Figure 7's rows: the source style, every other style, and two slices of each real scan.

    `archive` is the test side in the order of `predictions[arm]` (uint8 `[n, H, W]`). Each style shows another patient
    and of it the slice with most vertebra; a real scan its slices at a third and two thirds of its scored height.
    """
    rows = archive.rows.assign(domain=domains(split)[archive.rows["scan"]].to_numpy())
    rows = rows[(rows["foreground_px"].astype(int) > 0) & (rows["region"] == "scored")]
    chosen: list[tuple[int, str]] = []
    for number, (style, of_style) in enumerate(rows[rows["domain"] != "real"].groupby("style", sort=True)):
        patients = sorted(of_style["patient"].unique())
        one = of_style[of_style["patient"] == patients[number % len(patients)]]
        kind = "in style" if one["domain"].iloc[0] == "in_style" else "out of style"
        chosen.append((fullest_slice(one), f"{style}, {kind}"))
    for scan, of_scan in rows[rows["domain"] == "real"].groupby("scan", sort=True):
        for third in (1, 2):
            chosen.append((of_scan.index[len(of_scan) * third // 3], f"{scan}, real"))
    hu, labels = archive.hu([i for i, _ in chosen]), archive.labels([i for i, _ in chosen])
    return [
        SegmentationExample(
            hu=hu[k],
            reference=labels[k] > 0,
            predictions={arm: masks[i] > 0 for arm, masks in predictions.items()},
            label=label,
        )
        for k, (i, label) in enumerate(chosen)
    ]


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
            sheet.titles(titles, left, size, bottom=number * deep + TOP - 1.2)
            for i, row in enumerate(rows):
                _segmentations(sheet, row, block, left=left, top=number * deep + TOP + i * pitch, size=size)
        _key(sheet, left, len(blocks) * deep)
    return sheet.figure


def _segmentations(
    sheet: Sheet, row: SegmentationExample, arms: Sequence[str], *, left: float, top: float, size: float
) -> None:
    """One row of Figure 7: the slice, the reference, and a panel per arm."""
    tall = size * row.hu.shape[0] / row.hu.shape[1]
    sheet.side_label(row.label, top + tall / 2, fontsize=6.5 if tall > 19 else 5.2)
    sheet.slice(left, top, size, row.hu, marks=True)
    axes = sheet.slice(left + size + GAP, top, size, row.hu)
    sheet.contour(axes, row.reference, REFERENCE_COLOUR)
    for column, arm in enumerate(arms, start=2):
        place = left + column * (size + GAP)
        if arm not in row.predictions:
            sheet.empty(place, top, size, tall, "not run")
            continue
        axes = sheet.slice(place, top, size, row.hu)
        sheet.contour(axes, row.reference, REFERENCE_COLOUR)
        sheet.contour(axes, row.predictions[arm], PREDICTION_COLOUR)
        below = iou_text(row.predictions[arm], row.reference)
        sheet.text(place + size / 2, top + tall + 0.6, below, ha="center", fontsize=5.5)
    sheet.grey_scale(left + (2 + len(arms)) * (size + GAP), top + 2, tall - 3)


def augmented_examples(
    hu: np.ndarray, labels: np.ndarray, rows: pd.DataFrame
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Accepted slices of an arm with their masks by target style, evenly over its rows; at most SHOWN_SLICES each."""
    accepted = rows[rows["accepted"] == 1]
    examples = {}
    for style, of_style in accepted.groupby("target_style", sort=True):
        places = np.linspace(0, len(of_style) - 1, min(SHOWN_SLICES, len(of_style))).round().astype(int)
        chosen = of_style["index"].to_numpy()[places]
        examples[style] = [(hu[n], labels[n] > 0) for n in chosen]
    return examples


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
            sheet.side_label(style, top + tall / 2)
            for column, (hu, mask) in enumerate(pairs):
                axes = sheet.slice(left + column * (size + GAP), top, size, hu, marks=column == 0)
                sheet.contour(axes, mask, REFERENCE_COLOUR)
            sheet.grey_scale(left + columns * (size + GAP) + 0.5, top + 2, tall - 3)
    return sheet.figure


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
