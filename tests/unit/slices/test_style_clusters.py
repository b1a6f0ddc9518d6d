"""Styles are found on training scans alone, named in a fixed order, and agree with what made them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from ctstyle.slices.cluster import NoStyles, agreement, cluster, standardised
from ctstyle.study.data import MEASURED, NUMERIC_TAGS, TEXT_TAGS, ClusterSettings

GROUPS = ("soft", "sharp", "lowdose")


def table(counts=(5, 8, 3), spread=1.0, seed=0) -> tuple[pd.DataFrame, pd.Series]:
    """A feature table of three well separated groups, and the group of each scan as its hint."""
    rng = np.random.default_rng(seed)
    rows, hints = {}, {}
    for group, (count, centre) in enumerate(zip(counts, (0.0, 40.0, -40.0))):
        for i in range(count):
            scan = f"{GROUPS[group]}{i}"
            rows[scan] = {key: centre + spread * rng.standard_normal() for key in MEASURED}
            rows[scan] |= dict.fromkeys(NUMERIC_TAGS, np.nan) | dict.fromkeys(TEXT_TAGS, "")
            rows[scan] |= {"kernel": GROUPS[group], "kvp": 80.0 + 20 * group}
            hints[scan] = GROUPS[group]
    return pd.DataFrame.from_dict(rows, orient="index"), pd.Series(hints)


def find(frame, hints, *, training=None, labelled=None, **settings):
    settings = {"features": MEASURED} | settings
    training = list(frame.index) if training is None else training
    labelled = training if labelled is None else labelled
    return cluster(frame, training, ClusterSettings(**{"k": 3, **settings}), hints=hints, labelled=labelled)


@pytest.mark.parametrize("method", ["kmeans", "gaussian"])
@pytest.mark.parametrize("columns", [MEASURED, ("kernel",), ("kvp",)])
def test_separate_groups_are_found_and_ordered_by_size(method, columns):
    frame, hints = table()
    found = find(frame, hints, method=method, features=columns)
    assert found.agreement == 1
    assert found.style[["sharp0", "soft0", "lowdose0"]].tolist() == ["s1", "s2", "s3"]
    assert set(found.style) == {"s1", "s2", "s3"}


def test_other_scans_get_the_nearest_style_and_move_nothing():
    frame, hints = table()
    training = [scan for scan in frame.index if not scan.endswith("0")]
    found = find(frame, hints, training=training)
    assert found.agreement == 1
    far = frame.copy()
    far.loc["soft0", list(MEASURED)] = 1e4
    moved = find(far, hints, training=training)
    assert moved.style.drop("soft0").equals(found.style.drop("soft0"))


def test_the_order_of_the_rows_does_not_matter():
    frame, hints = table()
    shuffled = frame.sample(frac=1, random_state=3)
    assert find(shuffled, hints).style.sort_index().equals(find(frame, hints).style.sort_index())


@pytest.mark.parametrize(("source", "first"), [("auto", "sharp"), ("lowdose", "lowdose"), ("soft2", "soft")])
def test_the_source_style_is_s1(source, first):
    frame, hints = table()
    found = find(frame, hints, source=source)
    assert set(found.style.index[found.style == "s1"]) == {scan for scan in frame.index if scan.startswith(first)}


def test_auto_looks_for_labelled_scans():
    frame, hints = table()
    labelled = [scan for scan in frame.index if not scan.startswith("sharp")]
    assert find(frame, hints, labelled=labelled).style["soft0"] == "s1"


def test_agreement_is_the_adjusted_rand_index_over_hinted_scans():
    style = pd.Series({"a": "s1", "b": "s1", "c": "s2", "d": "s2", "e": "s3"})
    hints = pd.Series({"a": "x", "b": "y", "c": "y", "d": "y", "e": ""})
    assert agreement(style, hints) == pytest.approx(adjusted_rand_score([0, 1, 1, 1], [0, 0, 1, 1]))
    assert np.isnan(agreement(style, pd.Series({"a": "x"})))


def test_standardising_uses_training_scans_and_survives_constants_and_unknowns():
    frame, _ = table()
    frame["kvp"] = frame["kvp"].where(frame.index != "soft1")
    frame["exposure_mas"] = 100.0
    training = [scan for scan in frame.index if scan != "lowdose0"]
    points = standardised(frame, training, ("hu_q50", "kvp", "exposure_mas", "kernel"))
    assert np.isfinite(points.to_numpy()).all()
    assert points.loc[training, "hu_q50"].mean() == pytest.approx(0, abs=1e-12)
    assert points.loc[training, "hu_q50"].std(ddof=0) == pytest.approx(1)
    assert (points["exposure_mas"] == 0).all() and points.loc["soft1", "kvp"] == 0


def test_impossible_styles_are_refused():
    frame, hints = table()
    with pytest.raises(NoStyles, match="at most 2"):
        find(frame, hints, k=3, training=["soft0", "sharp0"])
    with pytest.raises(NoStyles, match="at most 0"):
        find(frame, hints, k=1, training=[])
    with pytest.raises(NoStyles, match="no labelled training scan"):
        find(frame, hints, source="soft", labelled=["sharp1"])
    with pytest.raises(NoStyles, match="unknown"):
        find(frame, hints, source="nothing like it")
