"""Layer scores against cases with a known answer."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from ctstyle.encoders.layers import content_score, layer_figure, layers, style_score
from ctstyle.encoders.network import build, tap_scales
from ctstyle.encoders.weights import random


@pytest.fixture(scope="module")
def encoder():
    return build("vgg16", random("vgg16", seed=0).state)


def test_content_score_is_one_where_pixels_are_linear_in_the_features_and_zero_where_unrelated():
    rng = np.random.default_rng(0)
    patches = rng.standard_normal((20, 64, 4))
    patients = [f"p{i // 2}" for i in range(20)]
    assert content_score(patches @ rng.standard_normal((4, 6)), patches, patients) == pytest.approx(1, abs=1e-2)
    assert content_score(rng.standard_normal((20, 64, 6)), patches, patients) == pytest.approx(0, abs=0.05)
    half = np.concatenate([patches[:, :, :2], np.zeros((20, 64, 2))], axis=2)
    assert content_score(half, patches, patients) == pytest.approx(0.5, abs=0.05)


def test_style_score_tells_separated_from_shuffled():
    rng = np.random.default_rng(1)
    styles = np.array(["s1", "s2", "s3"] * 20)
    patients = [f"p{i // 6}" for i in range(60)]
    noise = rng.standard_normal((60, 8))
    shift = np.array([{"s1": 0, "s2": 10, "s3": 20}[s] for s in styles])[:, None]
    assert style_score(noise + shift, styles, patients) == 1
    assert abs(style_score(noise, styles, patients)) < 0.3
    assert np.isnan(style_score(noise, ["s1"] * 60, patients))


def test_a_patient_is_never_its_own_reference():
    statistics = np.repeat(np.eye(4), 2, axis=0)
    # Each patient's slices are equal to each other and unlike everybody else's: knowing the patient tells the style.
    score = style_score(statistics, ["a", "a", "a", "a", "b", "b", "b", "b"], ["1", "1", "2", "2", "3", "3", "4", "4"])
    assert score < 1


def test_frame_falls_with_depth_and_names_each_tap(encoder):
    rng = np.random.default_rng(0)
    blurred = ndimage.gaussian_filter(rng.random((12, 64, 64)), (0, 1, 1))
    slices = ((blurred - blurred.min()) / np.ptp(blurred)).astype(np.float32)
    frame = layers(
        encoder,
        slices=slices,
        bodies=np.ones(slices.shape, bool),
        styles=["s1", "s2"] * 6,
        patients=list("abcdefghijkl"),
        weights="random",
        taps=["relu1_1", "relu3_1", "relu5_1"],
    )
    assert list(frame.columns) == [
        "encoder", "weights", "tap", "stride", "channels", "content_score", "style_score", "entropy",
    ]  # fmt: skip
    assert frame.tap.tolist() == ["relu1_1", "relu3_1", "relu5_1"] and frame.stride.tolist() == [1, 4, 16]
    assert frame.content_score.is_monotonic_decreasing and frame.content_score[0] > 0.95
    assert frame.entropy.between(0, 1).all()


def test_entropy_is_one_for_flat_and_low_for_peaky_maps(encoder):
    class Given(type(encoder)):
        def __init__(self, maps):
            super().__init__(encoder.spec, encoder.network, encoder.mean, encoder.std)
            self.maps = maps

        def forward(self, x, taps):
            return {tap: self.maps for tap in taps}

    flat, peaky = torch.ones(1, 64, 8, 8), torch.full((1, 64, 8, 8), 1e-9)
    peaky[0, 0, 0, 0] = 1
    given = dict(
        slices=np.random.default_rng(0).random((4, 8, 8)).astype(np.float32), bodies=np.ones((4, 8, 8), bool),
        styles=["s1"] * 4, patients=["a", "b", "c", "d"], weights="given", taps=["relu1_1"],
    )  # fmt: skip
    assert layers(Given(flat), **given).entropy[0] == pytest.approx(1)
    assert layers(Given(peaky), **given).entropy[0] < 0.01


def test_scales_are_mean_activations(encoder):
    slices = np.random.default_rng(3).random((5, 32, 32)).astype(np.float32)
    scales = tap_scales(encoder, slices, ("relu1_1", "relu4_1"), batch=2)
    maps = encoder(torch.from_numpy(slices)[:, None], ("relu1_1", "relu4_1"))
    for tap, scale in scales.items():
        assert scale == pytest.approx(float(maps[tap].mean()), rel=1e-5)


def test_figure_shows_every_tap_for_both_slices(encoder):
    content, style = np.random.default_rng(4).random((2, 32, 32)).astype(np.float32)
    figure = layer_figure(encoder, content, style, taps=("relu1_1", "relu2_1"), channels=3)
    assert len(figure.axes) == 2 * 2 * 5
    shown = [axis.images[0].get_array() for axis in figure.axes]
    assert np.array_equal(shown[0], content) and np.array_equal(shown[5], style)
    maps = encoder(torch.from_numpy(np.stack([content, style]))[:, None], ["relu2_1"])["relu2_1"]
    np.testing.assert_allclose(shown[11], maps[0].mean(0), rtol=1e-5)
    np.testing.assert_allclose(shown[16], maps[1].mean(0), rtol=1e-5)


def test_the_style_is_read_inside_the_body(encoder):
    slices = np.random.default_rng(5).random((8, 32, 32)).astype(np.float32)
    bodies = np.zeros(slices.shape, bool)
    bodies[:, :, :16] = True
    given = dict(styles=["s1", "s2"] * 4, patients=list("aabbccdd"), weights="random", taps=["relu1_1"])
    slices[1::2, :, 20:] *= 0.2  # the styles differ outside the bodies alone
    inside = layers(encoder, slices=slices, bodies=bodies, **given).style_score[0]
    everywhere = layers(encoder, slices=slices, bodies=np.ones_like(bodies), **given).style_score[0]
    assert everywhere == 1 and inside < 0.7
