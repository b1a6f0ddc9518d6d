"""One small chain: every knob reaches the slices, and plain, alpha 0 and a guard that refuses all are known cases."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from ctstyle.measures.structure import hu_error
from ctstyle.segment.ablation import measure
from ctstyle.slices.body import body_mask
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.analysis import AugmentSettings, GuardSettings, SegmentSettings, UNetSettings
from tests.synthetic_run import GREY, write_run, write_split

WINDOW = Window(-250, 750)
OPEN = GuardSettings(min_deviation_hu=0, min_body_iou=0, min_gradient_ssim=-1, max_style_ratio=1e9)
CLOSED = GuardSettings(min_deviation_hu=1e9)
SEGMENT = SegmentSettings(steps=2, batch=4, unet=UNetSettings(channels=(4, 8, 16), strides=(2, 2), residual_units=1))
CONTENTS, OTHERS = 12, 2
"""Slices of the source style of training patients, and the other styles."""


@pytest.fixture
def archive(tmp_path):
    paths, sheet = write_run(tmp_path)
    write_split(sheet, tmp_path / "split.tsv")
    return open_run(paths, tmp_path / "split.tsv")


def perfect(x, y, alpha, *, content_body, style_body, target_style):
    """The grey scales of the made run are lines: with alpha 1 this gives the true target."""
    lines = [GREY[{"s2": "b", "s3": "c"}[style]] for style in target_style]
    slope, shift = (torch.tensor([line[k] for line in lines]).view(-1, 1, 1, 1) for k in (0, 1))
    target = ((slope * (x * 1000 - 250) + shift + 250) / 1000).clamp(0, 1)
    return (1 - alpha) * x + alpha * target


def chain(archive, *, model=True, seed=0, guard=OPEN, **augment):
    network = SimpleNamespace(device=torch.device("cpu"), generate=perfect) if model else None
    settings = AugmentSettings(guard=guard, **augment)
    arm = "ours" if model else "plain"
    return measure(archive, network, arm=arm, augment=settings, segment=SEGMENT, window=WINDOW, seed=seed)


@pytest.mark.parametrize("per_content, expected", [(0.25, 6), (1, 24), (2, 48)])
def test_the_number_of_slices_is_the_one_asked_for(archive, per_content, expected):
    painted = chain(archive, per_content=per_content).painted
    assert len(painted) == painted["accepted"].sum() == per_content * CONTENTS * OTHERS == expected


def test_fewer_targets_leave_styles_out_and_keep_the_number(archive):
    one, both = chain(archive, targets=1).painted, chain(archive).painted
    assert set(one["target_style"]) == {"s2"} and set(both["target_style"]) == {"s2", "s3"}
    assert len(one) == len(both)


def test_alpha_reaches_training_and_test_slices(archive):
    scores = {alpha: chain(archive, alpha=alpha).structure for alpha in (0.0, 0.5, 1.0)}
    error = {alpha: frame["hu_error_target"].mean() for alpha, frame in scores.items()}
    assert error[0.0] > error[0.5] > error[1.0] == pytest.approx(0, abs=1.5)
    assert error[0.5] == pytest.approx(error[0.0] / 2, abs=1.5)
    assert scores[0.0]["gradient_ssim"].min() > 0.999
    assert set(scores[1.0]["kind"]) == {"transfer"} and len(scores[1.0]) == 2 * 4 * OTHERS


def test_without_a_model_test_slices_stay_as_they_are(archive):
    plain = chain(archive, model=False)
    assert plain.painted.empty and set(plain.segmentation["arm"]) == {"plain"}
    first = plain.structure.iloc[0]
    content, target = (
        archive.select(scan=scan, index=index).hu()[0]
        for scan, index in ((first.content_scan, first.content_index), (first.target_scan, first.target_index))
    )
    assert first.hu_error_target == pytest.approx(hu_error(content, target, body_mask(content, WINDOW)))


def test_a_guard_that_refuses_all_leaves_the_plain_network(archive):
    counts = ["scan", "tp", "fp", "fn", "tn"]
    refused, plain, open_ = (
        chain(archive, guard=CLOSED),
        chain(archive, model=False),
        chain(archive),
    )
    assert len(refused.painted) == CONTENTS * OTHERS and refused.painted["accepted"].sum() == 0
    pd.testing.assert_frame_equal(refused.segmentation[counts], plain.segmentation[counts])
    assert not open_.history["loss"].equals(plain.history["loss"])


def test_the_tables_name_their_point(archive, tmp_path):
    paths = {name: tmp_path / f"{name}.tsv" for name in ("segmentation", "structure", "painted", "history")}
    chain(archive, seed=3).save("alpha-1", **paths)
    for name in ("segmentation", "structure", "painted"):
        frame = pd.read_csv(paths[name], sep="\t")
        assert (frame["point"] == "alpha-1").all() and (frame["arm"] == "ours").all() and (frame["seed"] == 3).all()
    assert len(pd.read_csv(paths["history"], sep="\t")) == SEGMENT.steps
