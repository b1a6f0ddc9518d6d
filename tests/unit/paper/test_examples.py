"""What the figures show is picked by rule: one grey scale a style, other patients a row, matching masks and targets."""

import numpy as np
import pytest

from ctstyle.paper.examples import grey_scales, segmentation_examples, style_examples, transfer_examples
from ctstyle.slices.window import Window
from ctstyle.styles.run import open_run
from ctstyle.transfer.gallery import single_styles
from ctstyle.transfer.gallery import test_pairs as gallery_pairs
from tests.synthetic_run import write_run, write_split


@pytest.fixture
def made(tmp_path):
    paths, sheet = write_run(tmp_path)
    split = write_split(sheet, tmp_path / "split.tsv")
    return open_run(paths, tmp_path / "split.tsv"), split


def test_grey_scales_show_the_same_patients_in_every_style(made):
    run, _ = made
    examples, values, scans = grey_scales(run, Window(-250, 750))
    assert set(examples) == set(values) == {"s1", "s2", "s3"}
    for style, letter in (("s1", "a"), ("s2", "b"), ("s3", "c")):
        for k, patient in enumerate(("p6", "p7")):
            assert np.array_equal(examples[style][k], run.select(scan=f"{patient}-{letter}", index=3).hu()[0])
    assert np.median(values["s2"]) > np.median(values["s1"])
    assert set(scans.columns) == {"scan", "patient", "style", "kvp", "kernel", "grey_values"}
    assert len(scans) == run.rows["scan"].nunique()


def test_rows_of_figure_5_are_other_patients_with_their_true_targets(made):
    run, _ = made
    rows = gallery_pairs(run, seed=0)
    generated = np.arange(len(rows), dtype=np.int16)[:, None, None] * np.ones((1, 32, 32), np.int16)
    first, second = transfer_examples(run, {"ours": generated}, {"ours": rows})
    assert (first.target_style, second.target_style) == ("s2", "s3")
    assert np.array_equal(first.content, run.select(scan="p6-a", index=3).hu()[0])
    assert np.array_equal(first.target, run.select(scan="p6-b", index=3).hu()[0])
    assert np.array_equal(second.target, run.select(scan="p7-c", index=3).hu()[0])
    row = rows[(rows["content_scan"] == "p6-a") & (rows["content_index"] == 3) & (rows["target_style"] == "s2")]
    assert (first.generated["ours"] == row["index"].item()).all()


def test_figure_6_has_each_model_s_output_under_its_style(made):
    run, _ = made
    rows = single_styles(run, [0, 1])
    generated = np.arange(len(rows), dtype=np.int16)[:, None, None] * np.ones((1, 32, 32), np.int16)
    content, targets, outputs, blends, alphas = style_examples(run, {"ours": generated}, {"ours": rows})
    assert np.array_equal(content, run.select(scan="real", index=3).hu()[0])
    assert {style: int(hu[0, 0]) for style, hu in outputs["ours"].items()} == {"s2": 0, "s3": 1}
    assert np.array_equal(targets["s3"], run.select(scan="p4-c", index=3).hu()[0])
    assert blends["ours"][:, 0, 0].tolist() == [2, 3] and alphas == [0, 1]


def test_figure_7_shows_every_style_and_the_real_scan_with_matching_masks(made):
    run, split = made
    test = run.select(side="test")
    masks = {"plain": (test.labels() > 0).astype(np.uint8)}
    examples = segmentation_examples(test, split, masks)
    labels = [example.label for example in examples]
    assert labels == ["s1, in style", "s2, out of style", "s3, out of style", "real, real", "real, real"]
    for example in examples:
        assert np.array_equal(example.predictions["plain"], example.reference) and example.reference.any()
