"""Domain weights: learnt anatomy, blind to the grey scale, and VGG's batch norm folded exactly."""

import numpy as np
import pytest
import torch

from ctstyle.encoders.domain import (
    LevelledSlices,
    TooFewLevels,
    _Classifier,
    _plain_state,
    reduce_to,
    rotate,
    train_domain,
    vary_grey_scale,
)
from ctstyle.encoders.network import build
from ctstyle.run.fit import he_initialise
from ctstyle.study.encoders import ENCODERS
from ctstyle.study.networks import DomainSettings
from tests.killed import killed_and_resumed


def levelled(count: int, seed: int) -> LevelledSlices:
    """A bright wedge pointing up (rotation), narrow or wide (level), with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32] / 31.0
    levels = np.array([29, 30] * (count // 2))
    slices = [(np.abs(x - 0.5) < y * (0.12 if level == 29 else 0.45)) * 0.8 for level in levels]
    noisy = np.stack(slices) + 0.05 * rng.standard_normal((count, 32, 32))
    return LevelledSlices(noisy.clip(0, 1).astype(np.float32), levels)


def test_learns_level_and_rotation_of_unseen_slices():
    settings = DomainSettings(steps=24, batch=8, size_px=32)
    weights, history = train_domain("resnet50", levelled(24, 0), levelled(8, 1), settings, seed=0)
    accuracy = weights.heldout_accuracy
    assert accuracy["rotation"] > 0.8 > accuracy["rotation_chance"]
    assert accuracy["level"] > 0.8 > accuracy["level_chance"] == 0.5
    assert len(history) == weights.steps == 24 and history.loss.iloc[-5:].mean() < history.loss.iloc[:5].mean()
    build("resnet50", weights.state)


def test_same_seed_same_weights():
    settings = DomainSettings(steps=2, batch=4, size_px=32)
    runs = [train_domain("densenet121", levelled(8, 0), levelled(4, 1), settings, seed=s)[0].sha256 for s in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    settings = DomainSettings(steps=4, batch=4, size_px=32)

    def trained(checkpoint=None):
        return train_domain("resnet50", levelled(8, 0), levelled(4, 1), settings, seed=0, checkpoint=checkpoint)

    (whole, history), (resumed, rows) = trained(), killed_and_resumed(trained, tmp_path, stop=2)
    assert resumed.sha256 == whole.sha256 and rows.equals(history)


def test_vgg_batch_norm_is_folded_exactly():
    spec = ENCODERS["vgg16"]
    network = _Classifier(spec, 2)
    he_initialise(network, seed=0)
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        network.train()(images)
    network.eval()
    encoder = build("vgg16", _plain_state(spec, network.trunk), padding="zeros")
    with torch.no_grad():
        expected = network.features((images.expand(-1, 3, -1, -1) - network.mean) / network.std)["relu5_3"]
        found = encoder(images, ["relu5_3"])["relu5_3"]
    assert float(expected.std()) > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.max()))


def test_rotation_and_reduction_keep_the_anatomy():
    image = np.zeros((1, 8, 12), np.float32)
    image[0, 0, 2] = 1
    square = reduce_to(image, 4)
    assert square.shape == (1, 1, 4, 4) and square[0, 0, 0, 0] == 0.25
    turned = rotate(square.repeat(4, 1, 1, 1), torch.arange(4))
    assert [int(t.argmax()) for t in turned] == [0, 12, 15, 3]


def test_grey_scale_is_no_cue():
    rng = np.random.default_rng(0)
    bright, dark = torch.full((400, 1, 4, 4), 0.45), torch.full((400, 1, 4, 4), 0.55)
    bright_means, dark_means = (vary_grey_scale(x, rng).mean(dim=(1, 2, 3)) for x in (bright, dark))
    threshold = torch.cat([bright_means, dark_means]).median()
    told_apart = ((bright_means < threshold).float().mean() + (dark_means >= threshold).float().mean()) / 2
    assert told_apart < 0.75
    assert float(bright_means.std()) > 0.1


def test_one_level_is_refused():
    slices = LevelledSlices(np.zeros((4, 32, 32), np.float32), np.array([0, 30, 30, 30]))
    with pytest.raises(TooFewLevels, match="30"):
        train_domain("vgg16", slices, slices, DomainSettings(steps=1), seed=0)
