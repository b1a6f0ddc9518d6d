"""Styles and split of a whole run, and the slices joined with them."""

from types import SimpleNamespace

import pytest

from ctstyle.slices.archive import Archive, ScanFiles, write_skipped
from ctstyle.slices.find import NothingLent, NoUsableScans, find_styles
from ctstyle.slices.run import open_run
from ctstyle.slices.split import NoSplit
from ctstyle.slices.window import Window
from ctstyle.study.data import ClusterSettings, RegionSettings, SplitSettings
from tests.synthetic_run import write_run, write_split

WINDOW, LENDING = Window(-250, 750), RegionSettings()


def _found(archive, sheet, k=3, lending=LENDING, **more):
    settings = {"clustering": ClusterSettings(k=k), "splitting": SplitSettings(), "lending": lending, "window": WINDOW}
    return find_styles(archive, sheet, **settings, **more)


def test_the_grey_scales_of_a_run_are_found_and_named_from_the_source(tmp_path):
    paths, sheet = write_run(tmp_path)
    found = _found(Archive.open(path for path in paths if path.name.endswith(".hu.npy")), sheet)
    assert found.agreement == 1
    style = found.styles.set_index("scan")["style"]
    assert style["p0-a"] == style["p6-a"] == "s1"
    assert {style["p3-b"], style["p4-c"]} == {"s2", "s3"}
    assert style["p7-b"] == style["p3-b"]


def test_no_patient_is_on_two_sides_and_hints_hold(tmp_path):
    paths, sheet = write_run(tmp_path)
    split = _found(Archive.open(path for path in paths if path.name.endswith(".hu.npy")), sheet).split
    assert (split.groupby("patient")["side"].nunique() == 1).all()
    assert split["side"].tolist() == sheet["split_hint"].tolist()


def test_only_a_cohort_that_trains_nothing_lends_its_style(tmp_path):
    paths, sheet = write_run(tmp_path)
    archive = Archive.open(path for path in paths if path.name.endswith(".hu.npy"))
    split = _found(archive, sheet, lending=SimpleNamespace(share=0.3, gap_mm=6)).split.set_index("scan")
    assert split.loc["real", ["lent_to_mm", "scored_from_mm"]].tolist() == ["0.0", "10.0"]
    assert (split.drop("real")[["lent_to_mm", "scored_from_mm"]] == "").all(axis=None)
    assert (_found(archive, sheet).split[["lent_to_mm", "scored_from_mm"]] == "").all(axis=None)  # 15 mm are too short


def test_a_run_whose_scans_are_too_short_to_lend_says_so_before_anything_is_trained(tmp_path):
    paths, sheet = write_run(tmp_path)
    archive = Archive.open(path for path in paths if path.name.endswith(".hu.npy"))
    with pytest.raises(NothingLent, match=r"30 mm beyond the 25% .* leave `transductive` out of `segment: arms`"):
        _found(archive, sheet, must_lend=True)
    assert (
        _found(archive, sheet, lending=SimpleNamespace(share=0.3, gap_mm=6), must_lend=True).split["lent_to_mm"].any()
    )


def test_a_split_without_a_test_scan_of_the_source_style_says_so_before_anything_is_trained(tmp_path):
    paths, sheet = write_run(tmp_path)
    archive = Archive.open(path for path in paths if path.name.endswith(".hu.npy"))
    tested = sheet["scan"].str.endswith("-a") & (sheet["split_hint"] == "test")
    assert tested.any()
    moved = sheet[~sheet["patient"].isin(sheet.loc[tested, "patient"])]
    with pytest.raises(NoSplit, match=r"in the source style.*s1: p0-a \(train\).*column split_hint"):
        _found(archive, moved)


def test_skipped_scans_have_no_row_and_only_skipped_scans_are_an_error(tmp_path):
    paths, sheet = write_run(tmp_path)
    skipped = ScanFiles.beside(tmp_path / "p2-a.hu.npy")
    write_skipped(
        skipped, scan="p2-a", patient="p2", cohort="made", reason="slice 7 is missing", size_px=32, spacing_mm=2.0
    )
    found = _found(Archive.open(path for path in paths if path.name.endswith(".hu.npy")), sheet)
    assert "p2-a" not in set(found.split["scan"]) and len(found.split) == len(sheet) - 1
    with pytest.raises(NoUsableScans, match="p2-a: slice 7 is missing"):
        _found(Archive.open([skipped.hu]), sheet)


def test_a_run_is_opened_with_styles_and_sides(tmp_path):
    paths, sheet = write_run(tmp_path)
    write_split(sheet, tmp_path / "split.tsv")
    run = open_run(paths, tmp_path / "split.tsv")
    assert len(run) == 4 * len(sheet)
    assert set(run.select(side="train", style="s2").rows["scan"]) == {"p3-b"}
    assert run.select(scan="real").rows["region"].tolist() == ["lent", "gap", "scored", "scored"]
    assert set(run.select(cohort="made").rows["region"]) == {"scored"}
