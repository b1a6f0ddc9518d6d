"""Where a scan lends its grey scale and where it is tested: two ends of it, with a gap between them.

A transductive arm sees unlabelled slices of a test scan. What it is scored on lies at least a gap away from them, so
that no score is taken beside a slice that was seen; every arm is scored there, so that they can be compared.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ctstyle.errors import CTStyleError
from ctstyle.study.arms import ARMS
from ctstyle.study.data import RegionSettings

LENT, GAP, SCORED = "lent", "gap", "scored"
LENT_TO, SCORED_FROM = "lent_to_mm", "scored_from_mm"
"""Columns of the split table: the position of the last slice that lends its style, and of the first that is scored."""


class NoRegions(CTStyleError):
    """A scan whose slices cannot be told apart into lent and scored ones."""


def can_lend(scans: pd.DataFrame, orientation: str) -> bool:
    """Whether a cohort is there for testing alone, by the sheet (`cohort, split_hint`); only axial slices are lent."""
    only_tests = scans.groupby("cohort")["split_hint"].agg(lambda hints: set(hints) == {"test"})
    return orientation == "axial" and bool(only_tests.any())


def leave_out_lent(config: Mapping[str, Any], scans: pd.DataFrame) -> bool:
    """Take the arms whose styles test scans lend out of a config whose cohorts cannot lend; whether any was there."""
    asked = [config[section]["arms"] for section in ("segment", "exports")]
    lent = [(arms, arm) for arms in asked for arm in arms if ARMS[arm].lent]
    if not lent or can_lend(scans, config["slices"]["orientation"]):
        return False
    for arms, arm in lent:
        arms.remove(arm)
    return True


def bounds(positions_mm: Iterable[float], settings: RegionSettings) -> tuple[float, float] | None:
    """(last lent position, first scored position) of a scan's axial slices in mm, or None where it is too short.

    A scan lends slices if that leaves at least half of them to be scored.
    """
    positions = np.sort(np.asarray(list(positions_mm), float))
    if not len(positions):
        return None
    lent_to = positions[positions <= positions[0] + settings.share * np.ptp(positions)][-1]
    scored = positions[positions >= lent_to + settings.gap_mm]
    return (float(lent_to), float(scored[0])) if 2 * len(scored) >= len(positions) else None


def regions(rows: pd.DataFrame) -> np.ndarray:
    """LENT, GAP or SCORED for each slice; `rows` has `position_mm`, LENT_TO and SCORED_FROM (text, empty: all scored).

    Raises NoRegions for bounds that are not numbers.
    """
    try:
        lent_to, scored_from = (pd.to_numeric(rows[name].replace("", np.nan)) for name in (LENT_TO, SCORED_FROM))
    except (ValueError, KeyError) as error:
        raise NoRegions(
            "the split table has no bounds of its scans",
            where="styles/split.tsv",
            found=str(error),
            expected=f"positions in mm, or nothing, in the columns {LENT_TO} and {SCORED_FROM}",
            fix="Run the rule find_styles again.",
        ) from error
    position = rows["position_mm"].astype(float)
    # a scan without bounds is compared with NaN, which is neither below nor above
    return np.select([position <= lent_to, position < scored_from], [LENT, GAP], SCORED)
