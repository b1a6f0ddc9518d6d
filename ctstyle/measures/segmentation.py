"""Vertebra masks against reference masks: counts first, scores from pooled counts (method.md, 6).

Foreground is any label above 0, so there are two classes and the class count stands beside every MIoU (method.md, 2).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctstyle.errors import CTStyleError

CLASSES = 2
COUNTS = ["tp", "fp", "fn", "tn"]


class ShapeMismatch(CTStyleError):
    """Two arrays that must lie on the same pixels have different shapes."""


@dataclass(frozen=True)
class Counts:
    """Pixels by prediction and reference; the foreground is the positive class. Counts of disjoint slices add up."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)


def require_same_shape(first: np.ndarray, second: np.ndarray, *, what: str) -> None:
    """Raise ShapeMismatch unless both arrays have one shape; `what` names the pair in the message."""
    if first.shape != second.shape:
        raise ShapeMismatch(
            "these arrays do not lie on the same pixels",
            where=what,
            found=first.shape,
            expected=second.shape,
            fix="Both must come from the same slices of the same run.",
        )


def confusion(prediction: np.ndarray, labels: np.ndarray) -> Counts:
    """Confusion counts of label arrays of any one shape; foreground is `> 0` on both sides.

    Raises ShapeMismatch where the shapes differ.
    """
    require_same_shape(prediction, labels, what="prediction and labels")
    found, true = np.asarray(prediction) > 0, np.asarray(labels) > 0
    tp, positive, expected = (int(np.count_nonzero(a)) for a in (found & true, found, true))
    return Counts(tp=tp, fp=positive - tp, fn=expected - tp, tn=found.size - positive - expected + tp)


def scores(counts: Counts) -> dict[str, float]:
    """PA, MIoU with background, foreground IoU and Dice in [0, 1] from (pooled) counts.

    `pa` is the share of right pixels; `miou` the mean IoU of the two classes; a class that neither mask holds has no
    IoU and is left out of the mean; `foreground_iou` and `dice` are NaN where neither mask holds foreground. With two
    classes MIoU >= PA / 2 always holds where both are present (method.md, 2, erratum 2).
    """
    union = counts.tp + counts.fp + counts.fn
    background_union = counts.tn + counts.fp + counts.fn
    foreground = counts.tp / union if union else float("nan")
    background = counts.tn / background_union if background_union else float("nan")
    present = [value for value in (foreground, background) if value == value]
    total = union + counts.tn
    return {
        "pa": (counts.tp + counts.tn) / total if total else float("nan"),
        "miou": sum(present) / len(present) if present else float("nan"),
        "foreground_iou": foreground,
        "dice": 2 * counts.tp / (union + counts.tp) if union else float("nan"),
    }


def pooled_scores(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Scores of each group of rows, from the sum of their counts.

    `frame` has the columns `tp, fp, fn, tn` and those of `by` (for instance `["arm", "seed", "domain"]`, or with
    `"patient"` for scores per patient); the result has `by`, the summed counts, then `pa, miou, foreground_iou, dice`.
    """
    summed = frame.groupby(by, sort=True, dropna=False)[COUNTS].sum().reset_index()
    rows = [scores(Counts(*map(int, row))) for row in summed[COUNTS].itertuples(index=False)]
    columns = ["pa", "miou", "foreground_iou", "dice"]
    return pd.concat([summed, pd.DataFrame(rows, columns=columns, index=summed.index)], axis=1)


def hd95_mm(prediction: np.ndarray, labels: np.ndarray, *, spacing_mm: tuple[float, float]) -> np.ndarray:
    """95th percentile of the symmetric Hausdorff distance in mm per slice (MONAI), float64 `[n]`.

    `prediction` and `labels` are `[n, H, W]`, `spacing_mm` is (row, column). NaN where one side has no foreground: a
    distance to nothing is not defined, and Dice already tells of it.
    """
    import torch
    from monai.metrics import compute_hausdorff_distance

    require_same_shape(prediction, labels, what="prediction and labels")
    found, true = np.asarray(prediction) > 0, np.asarray(labels) > 0
    both = found.any(axis=(1, 2)) & true.any(axis=(1, 2))
    result = np.full(len(found), np.nan)
    if both.any():
        distances = compute_hausdorff_distance(
            torch.from_numpy(found[both][:, None]),
            torch.from_numpy(true[both][:, None]),
            include_background=True,
            percentile=95,
            spacing=list(spacing_mm),
        )
        result[both] = distances[:, 0].numpy()
    return result
