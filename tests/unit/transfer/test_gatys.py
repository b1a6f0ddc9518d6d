"""Optimisation of the pixels: Gram matrices in float64, losses that fall, and slices that stay as they are."""

import dataclasses

import numpy as np
import pytest
import torch

from ctstyle.encoders.network import build, tap_scales
from ctstyle.encoders.weights import random
from ctstyle.errors import CTStyleError
from ctstyle.study.networks import GatysSettings
from ctstyle.transfer.gatys import gram, optimise, taps

SETTINGS = GatysSettings(steps=6, batch=2)


@pytest.fixture(scope="module")
def encoder():
    return build("vgg16", random("vgg16", seed=0).state)


@pytest.fixture(scope="module")
def data() -> dict:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] / 31.0
    content = np.stack([((x - 0.5) ** 2 + (y - 0.5) ** 2 < r) * 0.6 + 0.2 for r in (0.03, 0.1, 0.2)])
    bodies = np.zeros(content.shape, bool)
    bodies[:, 2:-2, 4:-4] = True
    style = (1 - content + 0.05 * rng.standard_normal(content.shape)).clip(0, 1)
    style_bodies = np.zeros(content.shape, bool)
    style_bodies[:, 8:, :] = True
    return {
        "content": content.astype(np.float32),
        "style": style.astype(np.float32),
        "bodies": bodies,
        "style_bodies": style_bodies,
    }


@pytest.fixture(scope="module")
def scales(encoder, data):
    return tap_scales(encoder, data["content"], [tap.name for tap in encoder.spec.taps])


def gram_in_float64(maps: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean of f f^T over the positions `inside` of maps `[C, H, W]`."""
    features = maps.astype(np.float64)[:, inside]
    return np.einsum("an,bn->ab", features, features) / features.shape[1]


def test_gram_matrix_is_the_mean_product_of_channels_inside_the_body():
    maps = torch.randn(2, 5, 6, 8, generator=torch.Generator().manual_seed(0))
    body = torch.zeros(2, 12, 16, dtype=torch.bool)
    body[0, :4], body[1, :, 6:] = True, True
    expected = [gram_in_float64(m, b[::2, ::2]) for m, b in zip(maps.numpy(), body.numpy())]
    np.testing.assert_allclose(gram(maps, body).numpy(), np.stack(expected), rtol=1e-4, atol=1e-5)
    # Doubled in size by repetition, a map keeps its matrix.
    large = maps.repeat_interleave(2, 2).repeat_interleave(2, 3)
    np.testing.assert_allclose(gram(large, body).numpy(), np.stack(expected), rtol=1e-4, atol=1e-5)


def test_history_starts_with_the_distance_of_the_two_slices(encoder, data, scales):
    _, history = optimise(encoder, **data, settings=dataclasses.replace(SETTINGS, steps=1), scales=scales)
    assert history.batch.tolist() == [0, 1] and list(history.columns) == ["batch", "step", "loss", "content", "style"]
    expected = []
    for number in range(3):
        total = 0.0
        for tap in encoder.spec.style_taps:
            grams = []
            for image, body in (("content", "bodies"), ("style", "style_bodies")):
                maps = encoder(torch.from_numpy(data[image][number])[None, None], [tap])[tap][0].numpy() / scales[tap]
                step = 32 // maps.shape[1]
                share = data[body][number].reshape(maps.shape[1], step, -1, step).mean(axis=(1, 3))
                grams.append(gram_in_float64(maps, share >= 0.5))
            total += np.mean((grams[0] - grams[1]) ** 2)
        expected.append(total)
    np.testing.assert_allclose(history["style"], [np.mean(expected[:2]), expected[2]], rtol=1e-3)
    np.testing.assert_allclose(history.content, 0, atol=1e-8)
    np.testing.assert_allclose(history.loss, history.content + SETTINGS.style_weight * history["style"], rtol=1e-5)


def test_style_falls_content_holds_back_and_air_stays(encoder, data, scales):
    settings = dataclasses.replace(SETTINGS, steps=25, batch=3)
    made, history = optimise(encoder, **data, settings=settings, scales=scales)
    assert history["style"].iloc[-1] < 0.4 * history["style"].iloc[0]
    assert made.dtype == np.float32 and made.shape == data["content"].shape and 0 <= made.min() <= made.max() <= 1
    assert np.array_equal(made[~data["bodies"]], data["content"][~data["bodies"]])
    assert np.abs(made - data["content"])[data["bodies"]].mean() > 0.02
    held = optimise(encoder, **data, settings=dataclasses.replace(settings, content_weight=1e4), scales=scales)[1]
    assert held.content.iloc[-1] < 0.5 * history.content.iloc[-1]


def test_a_slice_in_its_own_style_stays_as_it_is(encoder, data, scales):
    content, bodies = data["content"], data["bodies"]
    made, history = optimise(encoder, content, content, bodies, bodies, SETTINGS, scales=scales)
    np.testing.assert_allclose(made, content, atol=1e-4)
    assert history.loss.max() < 1e-8


def test_a_slice_does_not_depend_on_its_batch(encoder, data, scales):
    one, all_ = (
        optimise(encoder, **data, settings=dataclasses.replace(SETTINGS, steps=3, batch=batch), scales=scales)[0]
        for batch in (1, 3)
    )
    # Adam's first steps are signs: where a gradient is nearly zero, its rounding decides.
    assert np.abs(one - all_).mean() < 0.02 * np.abs(one - data["content"]).mean()


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 7},
        {"learning_rate": 0.01},
        {"content_weight": 10.0},
        {"style_weight": 0.01},
        {"content_tap": "relu2_1"},
        {"style_taps": ("relu1_1",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_the_result(encoder, data, scales, change):
    base = optimise(encoder, **data, settings=SETTINGS, scales=scales)[0]
    other = optimise(encoder, **data, settings=dataclasses.replace(SETTINGS, **change), scales=scales)[0]
    assert np.abs(base - other).max() > 1e-3


def test_default_taps_are_those_of_the_registry(encoder):
    assert taps(encoder, SETTINGS) == ("relu4_2", ("relu1_1", "relu2_1", "relu3_1", "relu4_1"))


def test_wrong_input_is_named(encoder, data, scales):
    for change, message in (
        ({"content": data["content"][:0]}, "content slices"),
        ({"style": data["style"][:2]}, "style slices.*expected 3 slices"),
        ({"bodies": data["bodies"][:2]}, "body masks: "),
        ({"style_bodies": data["bodies"][:2]}, "body masks of the style"),
        ({"scales": {"relu1_1": 1.0}}, "scales.*relu4_2"),
    ):
        with pytest.raises(CTStyleError, match=message):
            optimise(encoder, **{**data, "settings": SETTINGS, "scales": scales, **change})
