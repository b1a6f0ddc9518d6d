"""The test gallery: complete, with true targets, styles from training patients alone."""

import numpy as np
import pytest

from ctstyle.styles.run import open_run
from ctstyle.transfer.gallery import gather, single_styles
from ctstyle.transfer.gallery import test_pairs as gallery_pairs
from tests.synthetic_run import write_run, write_split


@pytest.fixture
def run(tmp_path):
    paths, sheet = write_run(tmp_path)
    write_split(sheet, tmp_path / "split.tsv")
    return open_run(paths, tmp_path / "split.tsv")


def test_every_source_slice_of_test_patients_meets_every_other_style_and_itself(run):
    rows = gallery_pairs(run, seed=0)
    content = {(f"p{p}-a", k) for p in (6, 7) for k in range(4)}
    for kind, styles in (("transfer", {"s2", "s3"}), ("identity", {"s1"})):
        of_kind = rows[rows["kind"] == kind]
        assert set(of_kind["target_style"]) == styles
        for style in styles:
            of_style = of_kind[of_kind["target_style"] == style]
            assert set(zip(of_style["content_scan"], of_style["content_index"])) == content
            assert len(of_style) == len(content)
    assert rows["index"].tolist() == list(range(len(rows)))


def test_styles_come_from_training_patients_at_the_content_s_level(run):
    rows = gallery_pairs(run, seed=0)
    transfer = rows[rows["kind"] == "transfer"]
    assert set(transfer["style_scan"]) == {"p3-b", "p4-c"}
    assert (transfer["style_index"] == transfer["content_index"]).all()
    identity = rows[rows["kind"] == "identity"]
    assert (identity["style_scan"] == identity["content_scan"]).all()


def test_the_true_target_is_the_same_slice_of_the_same_patient_in_the_target_style(run):
    rows = gallery_pairs(run, seed=0)
    letter = {"s1": "a", "s2": "b", "s3": "c"}
    for row in rows.itertuples():
        assert row.target_scan == f"{row.patient}-{letter[row.target_style]}"
        assert row.target_index == row.content_index
    no_scan = run.take(np.flatnonzero(run.rows["scan"] != "p6-b"))
    lost = gallery_pairs(no_scan, seed=0)
    lost = lost[(lost["patient"] == "p6") & (lost["target_style"] == "s2")]
    assert (lost["target_scan"] == "").all() and (lost["target_index"] == -1).all() and len(lost) == 4


def test_single_styles_take_the_real_scan_one_slice_a_style_and_the_blend_s_steps(run):
    rows = single_styles(run, [0, 0.5, 1])
    assert set(rows["content_scan"]) == {"real"} and rows["content_index"].nunique() == 1
    singles, blend = (rows[rows["kind"] == kind] for kind in ("single", "blend"))
    assert singles["target_style"].tolist() == ["s2", "s3"]
    assert blend["alpha"].tolist() == [0, 0.5, 1] and set(blend["target_style"]) == {"s3"}


def test_gathered_slices_are_those_named(run):
    rows = gallery_pairs(run, seed=0)
    got = gather(run, rows["style_scan"], rows["style_index"])
    for image, row in zip(got, rows.itertuples()):
        assert np.array_equal(image, run.select(scan=row.style_scan, index=row.style_index).hu()[0])
