"""The test gallery: complete, with true targets, styles from training patients alone."""

import numpy as np
import pandas as pd
import pytest
import torch

from ctstyle.slices.body import body_mask
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.transfer.gallery import few_pairs, for_model, gather, save_stylised, single_styles, stylise_rows
from ctstyle.transfer.gallery import test_pairs as gallery_pairs
from tests.synthetic_run import write_run, write_split

WINDOW = Window(-250, 750)


class Negative:
    """A model that turns black into white, mixes the two by alpha, and remembers what it was asked for."""

    def __init__(self):
        self.device = torch.device("cpu")
        self.asked = []

    def generate(self, content, style, alpha, *, content_body, style_body, target_style):
        self.asked += [(alpha, name) for name in target_style]
        return (1 - alpha) * content + alpha * (1 - content)


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


def test_a_model_without_style_input_makes_no_identity_rows_and_no_blends(run):
    pairs, singles = gallery_pairs(run, seed=0), single_styles(run, [0, 1])
    assert set(for_model(pairs, identity=True, blends=False)["kind"]) == {"transfer", "identity"}
    assert set(for_model(singles, identity=False, blends=True)["kind"]) == {"single", "blend"}
    shuffled = pairs.sample(frac=1, random_state=0)
    kept = for_model(shuffled, identity=False, blends=False)
    assert kept["index"].tolist() == list(range(16)) == kept.index.tolist()  # 8 slices in 2 styles
    of_transfer = shuffled[shuffled["kind"] == "transfer"].drop(columns="index").reset_index(drop=True)
    pd.testing.assert_frame_equal(kept.drop(columns="index"), of_transfer)
    pd.testing.assert_frame_equal(for_model(singles, identity=False, blends=False), singles[:2])


def test_few_pairs_are_the_fullest_slice_of_each_patient_with_the_styles_in_turn(run):
    pairs = gallery_pairs(run, seed=0)
    few = few_pairs(pairs, run)
    assert few["patient"].tolist() == ["p6", "p7"] and few["target_style"].tolist() == ["s2", "s3"]
    assert few["index"].tolist() == [0, 1] and list(few.columns) == list(pairs.columns)
    assert few["content_index"].tolist() == [3, 3]  # the squares of the synthetic run grow with the slice
    known = pairs.drop(columns="index").to_dict("records")
    assert all(row in known for row in few.drop(columns="index").to_dict("records"))


def test_few_pairs_follow_the_vertebra_not_the_order(run):
    smaller = run.rows["foreground_px"].where(run.rows["scan"] != "p6-a", 100 - run.rows["index"])
    turned = run.take(range(len(run.rows)))
    turned.rows["foreground_px"] = smaller
    few = few_pairs(gallery_pairs(turned, seed=0), turned)
    assert dict(zip(few["content_scan"], few["content_index"])) == {"p6-a": 0, "p7-a": 3}


def negative(hu: np.ndarray) -> np.ndarray:
    """The slices with black and white exchanged inside the body: a grey value v of [-250, 750] becomes 500 - v."""
    return np.where(body_mask(hu, WINDOW), 500 - hu, hu)


def test_rows_are_stylised_in_their_order_by_their_own_alpha(run):
    model, rows = Negative(), single_styles(run, [0, 0.5, 1])
    made = stylise_rows(model, run, rows, WINDOW)
    content = gather(run, rows["content_scan"], rows["content_index"])
    assert made.dtype == np.int16 and made.shape == content.shape
    for number in (0, 1, 4):  # singles and the end of the blend
        assert np.abs(made[number] - negative(content[number])).max() <= 1
    assert np.abs(made[2] - content[2]).max() <= 1  # alpha 0
    inside = body_mask(content[3], WINDOW)
    assert np.abs(made[3][inside] - 250).max() <= 1  # half-way between v and 500 - v
    assert sorted(model.asked) == [(0, "s3"), (0.5, "s3"), (1, "s2"), (1, "s3"), (1, "s3")]


def test_saved_slices_and_rows_fit_each_other(run, tmp_path):
    wanted = {
        (tmp_path / f"{name}.hu.npy", tmp_path / f"{name}.tsv"): rows
        for name, rows in (("test", gallery_pairs(run, seed=0)), ("styles", single_styles(run, [0, 1])))
    }
    seconds = save_stylised(Negative(), run, wanted, WINDOW, identity=False, blends=False)
    assert 0 < seconds < 10
    for (hu_path, rows_path), rows in wanted.items():
        hu, kept = np.load(hu_path), pd.read_csv(rows_path, sep="\t")
        asked = rows[rows["kind"].isin(["transfer", "single"])]
        assert len(hu) == len(kept) == len(asked) and hu.dtype == np.int16
        assert kept["index"].tolist() == list(range(len(kept)))
        assert kept["content_scan"].tolist() == asked["content_scan"].tolist()
        for row in kept.itertuples():
            content = run.select(scan=row.content_scan, index=row.content_index).hu()[0]
            assert np.abs(hu[row.index] - negative(content)).max() <= 1


def test_a_model_with_style_input_saves_identity_rows_and_blends_too(run, tmp_path):
    wanted = {(tmp_path / "a.npy", tmp_path / "a.tsv"): single_styles(run, [0, 1])}
    save_stylised(Negative(), run, wanted, WINDOW, identity=True, blends=True)
    kept = pd.read_csv(tmp_path / "a.tsv", sep="\t")
    assert kept["kind"].tolist() == ["single", "single", "blend", "blend"] and len(np.load(tmp_path / "a.npy")) == 4
