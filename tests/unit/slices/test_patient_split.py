"""No patient is on two sides, whatever the sheet; shares, strata and hints are kept."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctstyle.slices.split import SIDES, NoSplit, split
from ctstyle.study.data import SplitSettings

scan_rows = st.lists(
    st.tuples(st.integers(0, 15), st.sampled_from(["a", "b", "c"])),
    min_size=2,
    max_size=40,
).filter(lambda rows: len({patient for patient, _ in rows}) > 1)


def sheet(rows, hints=None) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["patient", "group"])
    frame["patient"] = "p" + frame["patient"].astype(str)
    frame["scan"] = [f"scan{i}" for i in range(len(frame))]
    frame["split_hint"] = frame["patient"].map(hints or {}).fillna("")
    return frame


@settings(max_examples=50)
@given(scan_rows, st.integers(0, 50), st.floats(0, 0.4), st.floats(0.05, 0.5))
def test_no_patient_is_on_two_sides_and_none_is_lost(rows, seed, val, test):
    frame = sheet(rows)
    side = split(frame, SplitSettings(val=val, test=test, seed=seed))
    assert list(side.index) == list(frame["scan"])
    assert set(side) <= set(SIDES) and {"train", "test"} <= set(side)
    per_patient = pd.DataFrame({"patient": frame["patient"].to_numpy(), "side": side.to_numpy()})
    assert per_patient.groupby("patient")["side"].nunique().max() == 1


@given(scan_rows, st.integers(0, 50), st.sampled_from(SIDES))
def test_a_hint_wins_for_all_scans_of_its_patient(rows, seed, hint):
    first, second = sorted({patient for patient, _ in rows})[:2]
    other = {"train": "test", "test": "train", "val": "train"}[hint]
    frame = sheet(rows, {f"p{first}": hint, f"p{second}": other})
    if len(set(frame["patient"])) == 2 and hint == "val":
        return
    side = split(frame, SplitSettings(seed=seed))
    assert set(side[(frame["patient"] == f"p{first}").to_numpy()]) == {hint}
    assert set(side[(frame["patient"] == f"p{second}").to_numpy()]) == {other}


def test_a_hint_on_one_scan_holds_for_its_patient():
    frame = sheet([(0, "a"), (0, "a"), (1, "a"), (2, "a")])
    frame.loc[1, "split_hint"] = "test"
    assert split(frame, SplitSettings())[["scan0", "scan1"]].tolist() == ["test", "test"]


@settings(max_examples=40)
@given(st.integers(0, 100), st.lists(st.integers(4, 20), min_size=1, max_size=4))
def test_every_group_is_split_to_within_one_patient(seed, sizes):
    rows = [(100 * g + i, f"g{g}") for g, size in enumerate(sizes) for i in range(size)]
    frame = sheet(rows)
    frame["side"] = split(frame, SplitSettings(val=0.2, test=0.3, seed=seed)).to_numpy()
    for name, share in (("train", 0.5), ("val", 0.2), ("test", 0.3)):
        assert abs((frame["side"] == name).sum() - share * len(frame)) <= 1
        for g, size in enumerate(sizes):
            found = ((frame["group"] == f"g{g}") & (frame["side"] == name)).sum()
            assert abs(found - share * size) < 2


def test_the_seed_decides_and_the_order_of_the_sheet_does_not():
    frame = sheet([(i, "a") for i in range(12)])
    one = split(frame, SplitSettings(seed=1))
    assert one.equals(split(frame.sample(frac=1, random_state=0), SplitSettings(seed=1))[one.index])
    assert any(not one.equals(split(frame, SplitSettings(seed=seed))) for seed in range(2, 6))


def test_impossible_splits_are_refused():
    with pytest.raises(NoSplit, match="1 patient"):
        split(sheet([(0, "a"), (0, "b")]), SplitSettings())
    with pytest.raises(NoSplit, match="0 patient"):
        split(sheet([]), SplitSettings())
    with pytest.raises(NoSplit, match="train"):
        split(sheet([(0, "a"), (1, "a")], {"p0": "test", "p1": "test"}), SplitSettings())
    with pytest.raises(NoSplit, match="unknown split hint"):
        split(sheet([(0, "a"), (1, "a")], {"p0": "tests"}), SplitSettings())
    conflict = sheet([(0, "a"), (0, "a"), (1, "a")])
    conflict["split_hint"] = ["train", "test", ""]
    with pytest.raises(NoSplit, match="patient p0"):
        split(conflict, SplitSettings())
