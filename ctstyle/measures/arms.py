"""The metric table of an arm: predicted masks in, one row of pixel counts per test scan out."""

import numpy as np
import pandas as pd

from ctstyle.measures.segmentation import COUNTS, confusion, require_same_shape
from ctstyle.slices.archive import Archive

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
