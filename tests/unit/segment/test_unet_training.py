"""U-Net training: it learns, repeats itself, resumes, mixes its pools by half, and refuses what cannot be learnt."""

import math
from dataclasses import fields

import numpy as np
import pytest
import torch

from ctstyle.measures.segmentation import confusion, scores
from ctstyle.run.fit import step_rng
from ctstyle.segment.online import ONLINE, Intensity, MixStyle
from ctstyle.segment.train import NoTrainingSlices, Pool, rate, sample, train
from ctstyle.segment.unet import UNetError, predict
from ctstyle.slices.window import Window
from ctstyle.study.analysis import Change, GeometrySettings, SegmentSettings, UNetSettings
from tests.killed import killed_and_resumed

WINDOW = Window(-250, 750)
SMALL = UNetSettings(channels=(8, 16, 32), strides=(2, 2), residual_units=1)
QUICK = SegmentSettings(steps=120, batch=4, learning_rate=1e-2, unet=SMALL, validate_every=60)


def pool(count=16, size=32, grey=400, seed=0) -> Pool:
    """Slices with one bright disc (label 29) and one bright square of the same grey that is no vertebra."""
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 20, (count, size, size))
    labels = np.zeros(hu.shape, np.uint8)
    y, x = np.mgrid[:size, :size]
    for image, marks in zip(hu, labels):
        inside = (x - rng.integers(9, 23)) ** 2 + (y - rng.integers(8, 12)) ** 2 < 25
        image[inside] = marks[inside] = 29
        image[inside] = grey
        image[24:30, rng.integers(2, 20) :][:, :6] = grey
    return Pool(np.round(hu).astype(np.int16), labels)


def test_it_learns_a_shape_that_grey_alone_does_not_tell():
    network, history = train([pool()], WINDOW, QUICK, seed=0, validation=pool(seed=1))
    held_out = pool(seed=2)
    found = predict(network, held_out.hu, WINDOW)
    assert found.dtype == np.uint8 and set(np.unique(found)) <= {0, 1}
    assert scores(confusion(found, held_out.labels))["foreground_iou"] > 0.7
    assert list(history.columns) == ["step", "loss", "validation_iou"]
    assert history["step"].tolist() == list(range(1, 121))
    assert history["validation_iou"].notna().to_numpy().nonzero()[0].tolist() == [59, 119]
    assert history["loss"].tail(10).mean() < 0.5 * history["loss"].head(10).mean()


def weights(network) -> torch.Tensor:
    return torch.cat([value.detach().reshape(-1) for value in network.parameters()])


def test_the_same_seed_gives_the_same_network_and_another_seed_another():
    settings = SegmentSettings(steps=3, batch=4, unet=SMALL)
    one, two, three = (weights(train([pool()], WINDOW, settings, seed=seed)[0]) for seed in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, three)


@pytest.mark.parametrize("name", ONLINE)
def test_interrupted_and_resumed_equals_uninterrupted_whatever_changes_the_batches(tmp_path, name):
    settings, online = SegmentSettings(steps=6, batch=4, unet=SMALL), ONLINE[name]()

    def run(seed, checkpoint=None):
        return train([pool()], WINDOW, settings, seed=seed, online=online, checkpoint=checkpoint)

    whole, history = run(1)
    resumed, rows = killed_and_resumed(lambda checkpoint: run(1, checkpoint), tmp_path, stop=3)
    assert torch.equal(weights(resumed), weights(whole)) and rows.equals(history)
    assert not torch.equal(weights(run(2)[0]), weights(whole))


def test_a_change_comes_on_top_of_the_same_slices_moved_alike():
    settings = SegmentSettings(steps=3, batch=4, unet=SMALL)
    never = Change(0.0, (1.0, 1.0))
    off = {
        "intensity": Intensity(**{field.name: never for field in fields(Intensity)}),
        "mixstyle": MixStyle(probability=0.0),
    }
    plain = weights(train([pool()], WINDOW, settings, seed=1)[0])
    for name, change in off.items():
        assert torch.equal(weights(train([pool()], WINDOW, settings, seed=1, online=change)[0]), plain), name
    for name in ("intensity", "convolution", "mixstyle"):
        other = weights(train([pool()], WINDOW, settings, seed=1, online=ONLINE[name]())[0])
        assert not torch.equal(other, plain), name


def test_two_pools_share_each_batch_by_half():
    settings = SegmentSettings(batch=6, geometry=GeometrySettings(0, 0, 0, 0, 0))
    dark, bright = pool(count=3, seed=0), Pool(np.full((50, 32, 32), 750, np.int16), np.zeros((50, 32, 32), np.uint8))
    for step in range(5):
        images, labels = sample([dark, bright], WINDOW, settings, step_rng(0, step))
        assert images.shape == labels.shape == (6, 1, 32, 32)
        assert (images.amin((1, 2, 3)) > 0.99).sum() == 3
        assert set(labels.unique().tolist()) == {0, 1}


def test_what_does_not_divide_goes_to_the_pools_in_turn():
    settings = SegmentSettings(batch=3, geometry=GeometrySettings(0, 0, 0, 0, 0))
    dark, bright = pool(count=3), Pool(np.full((5, 32, 32), 750, np.int16), np.ones((5, 32, 32), np.uint8))
    shares = {
        int((sample([dark, bright], WINDOW, settings, step_rng(0, i))[0].amin((1, 2, 3)) > 0.99).sum())
        for i in range(20)
    }
    assert shares == {1, 2}


def test_the_rate_rises_then_falls_to_zero_by_half_a_cosine():
    settings = SegmentSettings(steps=200, learning_rate=1e-2)
    assert rate(0, settings) == pytest.approx(1e-3)
    assert rate(10, settings) == pytest.approx(1e-2)
    assert rate(105, settings) == pytest.approx(0.5e-2)
    assert rate(199, settings) == pytest.approx(1e-2 * 0.5 * (1 + math.cos(math.pi * 189 / 190)))
    assert rate(199, SegmentSettings(steps=200, learning_rate=1e-2, schedule="constant")) == 1e-2


def test_prediction_is_the_same_in_any_batch_and_empty_for_none():
    network, _ = train([pool()], WINDOW, SegmentSettings(steps=2, batch=4, unet=SMALL), seed=0)
    slices = pool(count=5, seed=4).hu
    assert np.array_equal(predict(network, slices, WINDOW, batch=2), predict(network, slices, WINDOW))
    assert predict(network, slices[:0], WINDOW).shape == (0, 32, 32)


def test_what_cannot_be_learnt_is_refused():
    empty = Pool(np.zeros((0, 32, 32), np.int16), np.zeros((0, 32, 32), np.uint8))
    with pytest.raises(NoTrainingSlices, match="16 slices, 0 slices"):
        train([pool(), empty], WINDOW, QUICK, seed=0)
    with pytest.raises(NoTrainingSlices, match="no pool"):
        train([], WINDOW, QUICK, seed=0)
    with pytest.raises(NoTrainingSlices, match="no training slice shows"):
        train([Pool(pool().hu, np.zeros_like(pool().labels))], WINDOW, QUICK, seed=0)
    with pytest.raises(UNetError, match="multiples of 4"):
        train([pool(size=34)], WINDOW, QUICK, seed=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_it_learns_on_the_gpu_as_well():
    network, _ = train([pool()], WINDOW, QUICK, seed=0, device="cuda")
    held_out = pool(seed=2)
    found = predict(network, held_out.hu, WINDOW, device="cuda")
    assert scores(confusion(found, held_out.labels))["foreground_iou"] > 0.7
