"""What the figures show is picked by rule: one grey scale a style, other patients a row, matching masks and targets."""

import numpy as np
import pandas as pd
import pytest

from ctstyle.paper.grey_scales import grey_scales
from ctstyle.paper.inputs import read_frames
from ctstyle.paper.segmentations import augmented_examples, segmentation_examples
from ctstyle.paper.transfers import style_examples, transfer_examples
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.transfer.gallery import few_pairs, for_model, single_styles
from ctstyle.transfer.gallery import test_pairs as gallery_pairs
from tests.synthetic_run import write_run, write_split


def numbered(rows, start=0):
    """Slices that show the number of their row, from `start` on."""
    return (np.arange(len(rows)) + start).astype(np.int16)[:, None, None] * np.ones((1, 32, 32), np.int16)


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


def test_a_panel_is_the_models_own_row_and_a_model_without_the_row_has_none(made):
    run, _ = made
    rows = {"ours": gallery_pairs(run, seed=0)}
    rows["contextual"] = for_model(rows["ours"].iloc[::-1], identity=False, blends=False)  # its own numbers
    rows["gatys"] = few_pairs(rows["ours"], run)
    kept = (rows["gatys"]["target_style"] == "s3").to_numpy()
    rows["gatys"] = rows["gatys"][kept].assign(index=[0])
    generated = {model: numbered(rows[model], 1000 * k) for k, model in enumerate(rows)}
    first, second = transfer_examples(run, generated, rows)
    assert set(first.generated) == {"ours", "contextual"} and set(second.generated) == {"ours", "contextual", "gatys"}
    for example, content, style in ((first, "p6-a", "s2"), (second, "p7-a", "s3")):
        for model, hu in example.generated.items():
            of_model = rows[model]
            same = (of_model["content_scan"] == content) & (of_model["content_index"] == 3)
            row = of_model[same & (of_model["target_style"] == style)]
            assert (hu == generated[model][row["index"].item()]).all() and len(np.unique(hu)) == 1


def test_without_a_true_target_the_place_stays_empty_even_when_the_file_names_none(made, tmp_path):
    run, _ = made
    alone = run.take(np.flatnonzero(~run.rows["scan"].isin(["p6-b", "p6-c", "p7-b", "p7-c"])))
    rows = gallery_pairs(alone, seed=0)
    rows = rows[rows["kind"] == "transfer"]
    rows.to_csv(tmp_path / "test.tsv", sep="\t", index=False)
    (read,) = read_frames([tmp_path / "test.tsv"])
    for frame in (rows, read):  # a column without any text is read as numbers that are missing
        assert [one.target for one in transfer_examples(alone, {"ours": numbered(frame)}, {"ours": frame})] == [
            None
        ] * 2


def test_rows_with_a_true_target_come_first(made):
    run, _ = made
    rows = gallery_pairs(run.take(np.flatnonzero(run.rows["scan"] != "p6-b")), seed=0)
    first, _ = transfer_examples(run, {"ours": numbered(rows)}, {"ours": rows})
    assert np.array_equal(first.content, run.select(scan="p7-a", index=3).hu()[0])  # p6 was not scanned in s2
    assert np.array_equal(first.target, run.select(scan="p7-b", index=3).hu()[0])


def test_figure_6_has_each_model_s_output_under_its_style(made):
    run, _ = made
    rows = single_styles(run, [0, 1])
    generated = np.arange(len(rows), dtype=np.int16)[:, None, None] * np.ones((1, 32, 32), np.int16)
    content, targets, outputs, blends, alphas = style_examples(run, {"ours": generated}, {"ours": rows})
    assert np.array_equal(content, run.select(scan="real", index=3).hu()[0])
    assert {style: int(hu[0, 0]) for style, hu in outputs["ours"].items()} == {"s2": 0, "s3": 1}
    assert np.array_equal(targets["s3"], run.select(scan="p4-c", index=3).hu()[0])
    assert blends["ours"][:, 0, 0].tolist() == [2, 3] and alphas == [0, 1]


@pytest.mark.parametrize("models", [("ours", "contextual"), ("contextual", "ours")])
def test_a_model_without_blends_has_outputs_and_no_strip_whatever_the_order(made, models):
    run, _ = made
    everything = single_styles(run, [0, 0.5, 1])
    rows = {model: for_model(everything, identity=True, blends=model == "ours") for model in models}
    generated = {"ours": numbered(rows["ours"]), "contextual": numbered(rows["contextual"], 100)}
    _, targets, outputs, blends, alphas = style_examples(run, {model: generated[model] for model in models}, rows)
    assert set(targets) == {"s2", "s3"} and set(blends) == {"ours"}
    assert {style: int(hu[0, 0]) for style, hu in outputs["contextual"].items()} == {"s2": 100, "s3": 101}
    assert blends["ours"][:, 0, 0].tolist() == [2, 3, 4] and alphas == [0, 0.5, 1]


def augmented_rows(accepted, style="s2"):
    """Rows of an augmented archive: a refused slice has no place in the arrays."""
    places = np.cumsum(accepted) - 1
    return pd.DataFrame({"index": np.where(accepted, places, -1), "target_style": style, "accepted": accepted})


def test_added_slices_are_accepted_ones_spread_evenly_over_all_with_their_own_masks():
    rows = augmented_rows([1, 0] * 11)
    hu = numbered(rows[rows["accepted"] == 1])
    labels = (hu % 2 * 28).astype(np.uint8)  # odd slices are all vertebra
    (shown,) = augmented_examples(hu, labels, rows).values()
    assert [int(one[0, 0]) for one, _ in shown] == [0, 2, 4, 6, 8, 10]
    (shown,) = augmented_examples(hu[:5], labels[:5], rows[:10]).values()
    assert [int(one[0, 0]) for one, _ in shown] == [0, 1, 2, 3, 4]
    assert [bool(mask.all()) for _, mask in shown] == [False, True, False, True, False]
    assert all(mask.dtype == bool and mask.any() == mask.all() for _, mask in shown)


def test_added_slices_stand_under_their_own_style_and_a_refused_style_is_not_shown():
    rows = pd.concat([augmented_rows([1, 1, 0], "s3"), augmented_rows([0, 0], "s4"), augmented_rows([1], "s2")])
    rows.loc[rows["target_style"] == "s2", "index"] = 2
    hu = numbered(range(3))
    shown = augmented_examples(hu, np.zeros_like(hu), rows)
    assert {style: [int(one[0, 0]) for one, _ in pairs] for style, pairs in shown.items()} == {"s2": [2], "s3": [0, 1]}


def test_figure_7_shows_every_style_and_the_real_scan_with_matching_masks(made):
    run, split = made
    test = run.select(side="test")
    masks = {"plain": (test.labels() > 0).astype(np.uint8)}
    examples = segmentation_examples(test, split, masks)
    labels = [example.label for example in examples]
    assert labels == ["s1, in style", "s2, out of style", "s3, out of style", "real, real", "real, real"]
    for example in examples:
        assert np.array_equal(example.predictions["plain"], example.reference) and example.reference.any()
