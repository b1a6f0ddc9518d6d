"""Vertebra masks against reference masks: counts per test scan first, scores from pooled counts (method.md, 6).

Foreground is any label above 0, so there are two classes and the class count stands beside every MIoU (method.md, 2).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctstyle.errors import CTStyleError
from ctstyle.slices.archive import Archive

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


SEGMENTATION_COLUMNS = [
    "arm",
    "seed",
    "added_slices",
    "scan",
    "patient",
    "cohort",
    "style",
    "domain",
    "slices",
    *COUNTS,
]
SOURCE_STYLE = "s1"


def domains(split: pd.DataFrame) -> pd.Series:
    """The domain of each scan, by scan: `real` | `in_style` | `out_of_style`.

    `split` has the columns `scan, cohort, style, side`. A scan of a cohort without any training scan is `real` (in the
    quick run the real CT beside the phantoms); else it is `in_style` where its style is the source style.
    """
    trained = set(split.loc[split["side"] == "train", "cohort"])
    in_style = np.where(split["style"] == SOURCE_STYLE, "in_style", "out_of_style")
    domain = np.where(split["cohort"].isin(trained), in_style, "real")
    return pd.Series(domain, index=split["scan"].to_numpy(), name="domain")


def score_arm(predictions: np.ndarray, archive: Archive, *, arm: str, seed: int, added_slices: int) -> pd.DataFrame:
    """`segmentation_frame` of one arm over the test scans that have a mask, on the slices of the region `scored`.

    `archive` holds all slices of the run with the columns `style`, `side` and `region`; `predictions` (uint8
    `[n, H, W]`) are of its test slices in their order.
    """
    test = archive.select(side="test")
    labels = test.labels()
    require_same_shape(predictions, labels, what=f"predictions of arm {arm}")
    masked = test.rows.groupby("scan")["foreground_px"].transform("sum") > 0
    chosen = np.flatnonzero(masked & (test.rows["region"] == "scored"))
    domain = domains(archive.rows.drop_duplicates("scan"))
    rows = test.rows.assign(domain=test.rows["scan"].map(domain)).iloc[chosen]
    return segmentation_frame(predictions[chosen], labels[chosen], rows, arm=arm, seed=seed, added_slices=added_slices)


def segmentation_frame(
    predictions: np.ndarray, labels: np.ndarray, rows: pd.DataFrame, *, arm: str, seed: int, added_slices: int
) -> pd.DataFrame:
    """Pooled confusion counts per test scan, one row each, ordered by scan.

    `predictions` and `labels` are uint8 `[n, H, W]`; `rows` has one row per slice in the same order, with `scan,
    patient, cohort, style, domain`; `added_slices` is how many the arm added to its training. Columns of the result:
    `SEGMENTATION_COLUMNS`.
    """
    require_same_shape(predictions, labels, what="predictions and labels")
    rows = rows.reset_index(drop=True)
    result = []
    for _, of_scan in rows.groupby("scan", sort=True):
        counts = confusion(predictions[of_scan.index], labels[of_scan.index])
        first = of_scan.iloc[0]
        about = {key: first[key] for key in ("scan", "patient", "cohort", "style", "domain")}
        result.append(
            {"arm": arm, "seed": seed, "added_slices": added_slices, **about, "slices": len(of_scan), **vars(counts)}
        )
    return pd.DataFrame(result, columns=SEGMENTATION_COLUMNS)
