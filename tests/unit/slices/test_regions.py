"""Regions of a scan: what is scored keeps its distance from what lends its style."""

import numpy as np
import pandas as pd
import pytest

from ctstyle.slices.split import NoRegions, bounds, can_lend, regions
from ctstyle.study.data import RegionSettings


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("every_mm", [1.0, 5.0, 7.3])
def test_scored_slices_keep_the_gap_whatever_the_spacing(share, every_mm):
    positions = np.arange(-340, -9, every_mm)
    lent_to, scored_from = bounds(
        np.random.default_rng(0).permutation(positions), RegionSettings(share=share, gap_mm=30)
    )
    lent, scored = positions[positions <= lent_to], positions[positions >= scored_from]
    assert scored.min() - lent.max() >= 30 > scored.min() - lent.max() - every_mm
    assert np.ptp(lent) <= share * np.ptp(positions) < np.ptp(lent) + every_mm


def test_a_scan_too_short_lends_nothing():
    settings = RegionSettings(share=0.25, gap_mm=30)
    assert bounds([], settings) is None and bounds([3.0], settings) is None
    assert bounds(np.arange(0, 80, 5.0), settings) is None  # 7 of 16 would be left
    assert bounds(np.arange(0, 160, 5.0), settings) == (35.0, 65.0)


def test_slices_are_told_apart_by_the_bounds_of_their_scan():
    rows = pd.DataFrame({"position_mm": [0, 10, 20, 0, 20], "lent_to_mm": ["5"] * 3 + [""] * 2})
    rows["scored_from_mm"] = ["15"] * 3 + [""] * 2
    assert regions(rows).tolist() == ["lent", "gap", "scored", "scored", "scored"]
    with pytest.raises(NoRegions, match="lent_to_mm"):
        regions(rows.drop(columns="lent_to_mm"))
    with pytest.raises(NoRegions, match=r"split\.tsv"):
        regions(rows.assign(lent_to_mm="far"))


def test_a_cohort_for_testing_alone_is_known_from_the_sheet():
    scans = pd.DataFrame({"cohort": ["a", "a", "b"], "split_hint": ["train", "test", "test"]})
    assert can_lend(scans, "axial") and not can_lend(scans, "sagittal")
    assert not can_lend(scans[scans["cohort"] == "a"], "axial")
    assert not can_lend(scans.assign(split_hint=""), "axial")
