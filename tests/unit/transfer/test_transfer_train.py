"""Training: losses fall, runs repeat, interruptions do not show, and every setting does something."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import softmax

from ctstyle.encoders.network import build
from ctstyle.encoders.plan import TapLists
from ctstyle.encoders.weights import random
from ctstyle.errors import CTStyleError
from ctstyle.study.networks import TransferSettings, WarmUpSettings
from ctstyle.transfer.features import FeatureCache, Material, scaled_maps, with_smoothing
from ctstyle.transfer.train import _windows, train, warm_up, with_layers
from tests.killed import killed_and_resumed

SMALL = TransferSettings(
    steps=2, batch=2, learning_rate=1e-3, schedule="inverse", identity_weight=0.0, style_tap_weights=()
)


@pytest.fixture(scope="module")
def encoder():
    return build("densenet121", random("densenet121", seed=0).state)


def disc_bodies(shape: tuple[int, int, int]) -> np.ndarray:
    bodies = np.zeros(shape, bool)
    bodies[:, 2:-2, 4:-4] = True
    return bodies


@pytest.fixture(scope="module")
def data() -> dict:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] / 31.0
    disc = [((x - 0.5) ** 2 + (y - 0.5) ** 2 < r) * 0.6 + 0.2 for r in np.linspace(0.02, 0.2, 6)]
    content = np.stack(disc).astype(np.float32)
    return {
        "content": content,
        "bodies": disc_bodies(content.shape),
        "style": (1 - content + 0.05 * rng.standard_normal(content.shape)).clip(0, 1).astype(np.float32),
        "style_bodies": disc_bodies(content.shape),
        "style_names": np.array(["s2", "s3"] * 3),
    }


@pytest.fixture(scope="module")
def start(encoder, data):
    return warm_up(encoder, data["content"], WarmUpSettings(steps=40, batch=4, window=0), seed=0)


def weights_of(generator) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in generator.decoder.parameters()])


def test_warm_up_learns_to_invert_the_encoder(start):
    _, history = start
    assert list(history.columns) == ["step", "l1"] and len(history) == 40
    assert history.l1.iloc[-5:].mean() < 0.5 * history.l1.iloc[:3].mean()


def test_same_seed_same_generator(encoder, data, start):
    settings = WarmUpSettings(steps=2, batch=2)
    one, two, three = (weights_of(warm_up(encoder, data["content"], settings, seed=s)[0]) for s in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, three)
    made = [weights_of(train(start[0], "ours", SMALL, Material(**data), seed=s)[0]) for s in (0, 0, 1)]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


@pytest.mark.parametrize(
    "change",
    [{"batch": 3}, {"learning_rate": 1e-3}, {"window": 0}, {"steps": 3}],
    ids=lambda change: next(iter(change)),
)
def test_every_warm_up_setting_changes_the_result(encoder, data, change):
    base = WarmUpSettings(steps=2, batch=2, window=4)
    one, two = (warm_up(encoder, data["content"], s, seed=0)[0] for s in (base, dataclasses.replace(base, **change)))
    assert not torch.equal(weights_of(one), weights_of(two))


def test_stride_chooses_tap_and_decoder(encoder, data):
    generator, _ = warm_up(encoder, data["content"], WarmUpSettings(steps=1, batch=1, stride=8), seed=0)
    assert (generator.adain_tap, generator.decoder.stride, generator.decoder.channels) == ("block2", 8, 512)


def test_windows_of_maps_and_image_show_the_same_place():
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(6.0), indexing="ij")
    maps = torch.stack([y, x])[None].repeat(5, 1, 1, 1)
    images = (y * 10 + x).repeat_interleave(4, 0).repeat_interleave(4, 1)[None, None].repeat(5, 1, 1, 1)
    cut, seen = _windows(maps, images, 3, np.random.default_rng(0))
    assert cut.shape == (5, 2, 3, 3) and seen.shape == (5, 1, 12, 12)
    assert torch.equal(seen[:, 0, ::4, ::4], cut[:, 0] * 10 + cut[:, 1])
    assert len({float(window[0, 0, 0]) for window in seen}) > 1
    assert _windows(maps, images, 7, np.random.default_rng(0))[0].shape == (5, 2, 7, 6)


@pytest.mark.parametrize("model", ["ours", "adain"])
def test_training_lowers_its_loss_and_leaves_the_start_alone(start, data, model):
    before = weights_of(start[0])
    settings = dataclasses.replace(SMALL, steps=10, batch=4)
    trained, history = train(start[0], model, settings, Material(**data), seed=0)
    assert list(history.columns) == ["step", "loss", "content", "style"]
    assert np.allclose(history.loss, history.content + settings.style_weight * history["style"], rtol=1e-4)
    assert history.loss.iloc[-3:].mean() < history.loss.iloc[:2].mean()
    assert torch.equal(weights_of(start[0]), before) and not torch.equal(weights_of(trained), before)
    assert not any(parameter.requires_grad for parameter in trained.encoder.parameters())


@pytest.mark.parametrize(
    "change",
    [
        {"batch": 3},
        {"learning_rate": 2e-3},
        {"learning_rate_decay": 1.0},
        {"schedule": "cosine"},
        {"style_weight": 1.0},
        {"content_taps": ("block1",)},
        {"style_taps": ("stem",)},
        {"style_tap_weights": (1.0, 2.0, 1.0, 1.0)},
        {"bandwidth": 0.2},
        {"content_target": "adain"},
        {"statistics": "slice"},
        {"points": "slice"},
        {"smoothing": "softmax"},
        {"identity_weight": 1.0},
        {"at_most_points": 16},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_the_result(start, data, change):
    base = weights_of(train(start[0], "ours", SMALL, Material(**data), seed=0)[0])
    other = weights_of(train(start[0], "ours", dataclasses.replace(SMALL, **change), Material(**data), seed=0)[0])
    assert not torch.equal(base, other)


def test_points_everywhere_are_those_of_a_body_that_fills_the_slice(start, data):
    everywhere = dataclasses.replace(SMALL, statistics="slice", points="slice")
    in_body = dataclasses.replace(SMALL, statistics="slice")
    filling = dict(data, bodies=np.ones_like(data["bodies"]))
    made = weights_of(train(start[0], "ours", everywhere, Material(**data), seed=0)[0])
    assert torch.equal(made, weights_of(train(start[0], "ours", in_body, Material(**filling), seed=0)[0]))
    assert not torch.equal(made, weights_of(train(start[0], "ours", in_body, Material(**data), seed=0)[0]))


def test_interrupted_and_resumed_equals_uninterrupted(start, data, tmp_path):
    settings = dataclasses.replace(SMALL, steps=4)
    whole, history = train(start[0], "ours", settings, Material(**data), seed=0)
    resumed, resumed_history = killed_and_resumed(
        lambda checkpoint: train(start[0], "ours", settings, Material(**data), seed=0, checkpoint=checkpoint),
        tmp_path,
        stop=2,
    )
    assert torch.equal(weights_of(resumed), weights_of(whole)) and resumed_history.equals(history)


def test_an_interrupted_warm_up_goes_on_bit_for_bit(encoder, data, tmp_path):
    def trained(checkpoint=None):
        return warm_up(encoder, data["content"], WarmUpSettings(steps=4, batch=2), seed=0, checkpoint=checkpoint)

    (whole, history), (resumed, rows) = trained(), killed_and_resumed(trained, tmp_path, stop=2)
    assert torch.equal(weights_of(resumed), weights_of(whole)) and rows.equals(history)


def test_cached_maps_are_the_encoders_and_the_limit_holds(encoder, data):
    scales = {"block1": 2.0, "stem": 0.5}
    plenty, none = (FeatureCache(encoder, data["content"], scales=scales, limit_bytes=n) for n in (1 << 24, 0))
    for _ in range(2):
        expected = encoder(torch.from_numpy(data["content"][[3, 1, 3]])[:, None], ["block1"])["block1"] / 2
        for cache in (plenty, none):
            torch.testing.assert_close(cache.maps([3, 1, 3], ["block1"])["block1"], expected, rtol=1e-4, atol=1e-5)
    calls = []
    encoder.network.features.norm0.register_forward_hook(lambda *_: calls.append(1))
    plenty.maps([1, 3], ["block1"])
    assert calls == []
    none.maps([1, 3], ["block1"])
    assert len(calls) == 2
    mean, deviation = none.statistics([2], ["stem"])["stem"]
    maps = encoder(torch.from_numpy(data["content"][[2]])[:, None], ["stem"])["stem"].double() / 0.5
    torch.testing.assert_close(mean.double(), maps.mean(dim=(2, 3)), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(deviation.double() ** 2, maps.var(dim=(2, 3), correction=0) + 1e-5, rtol=1e-3, atol=1e-7)
    bodies = np.zeros(data["content"].shape, bool)
    bodies[:, :, :16] = True
    half = FeatureCache(encoder, data["content"], scales=scales, bodies=bodies)
    mean, _ = half.statistics([2], ["stem"])["stem"]
    torch.testing.assert_close(mean.double(), maps[..., :8].mean(dim=(2, 3)), rtol=1e-4, atol=1e-6)


def test_smoothing_is_a_softmax_over_positions_and_channels_of_the_deep_taps(encoder, data):
    images = torch.from_numpy(data["content"][:2])[:, None]
    taps = with_smoothing(("stem", "block1", "block2"), encoder.spec)
    assert taps == ("stem", "block1", "block2~softmax")
    found = scaled_maps(encoder, images, taps, {"stem": 1.0, "block1": 2.0, "block2": 0.5})
    raw = encoder(images, ["block1", "block2"])
    assert torch.equal(found["block1"], raw["block1"] / 2)
    reference = softmax(raw["block2"].double().numpy().reshape(2, -1) / 0.5, axis=1)
    np.testing.assert_allclose(
        found["block2~softmax"].numpy().reshape(2, -1), reference * reference.shape[1], rtol=1e-3
    )


def test_wrong_input_is_named(encoder, start, data):
    with pytest.raises(CTStyleError, match=r"warm-up slices.*\(2, 30, 32\)"):
        warm_up(encoder, np.zeros((2, 30, 32), np.float32), WarmUpSettings(steps=1), seed=0)
    for model, settings, change, message in (
        ("yours", SMALL, {}, r"model.*ours \| adain"),
        ("ours", dataclasses.replace(SMALL, style_tap_weights=(1.0,)), {}, "style_tap_weights.*stem"),
        ("ours", SMALL, {"style": data["style"][:0], "style_names": np.array([])}, "style slices"),
        ("ours", SMALL, {"style_names": np.array(["s2"])}, "style names"),
        ("ours", SMALL, {"bodies": data["bodies"][:2]}, "body masks: "),
        ("ours", SMALL, {"style_bodies": data["bodies"][:2]}, "body masks of the style"),
    ):
        with pytest.raises(CTStyleError, match=message):
            train(start[0], model, settings, Material(**{**data, **change}), seed=0)


def test_nan_in_training_stops_it(start, data):
    broken = dict(data, content=np.full_like(data["content"], np.nan))
    with pytest.raises(CTStyleError, match="diverged"):
        train(start[0], "adain", SMALL, Material(**broken), seed=0)


def test_layer_lists_are_the_registrys_the_deep_ones_or_the_selected(encoder):
    lists = TapLists(content_taps=("block2",), style_taps=("stem", "block1"))
    assert with_layers(SMALL, "registry", encoder.spec) == SMALL
    deep = with_layers(SMALL, "deep", encoder.spec)
    assert max(encoder.spec.tap(tap).stride for tap in deep.content_taps) == 16 and deep.style_taps is None
    selected = with_layers(SMALL, "selected", encoder.spec, lists)
    assert selected == dataclasses.replace(SMALL, content_taps=("block2",), style_taps=("stem", "block1"))
    for layers in ("deep", "selected"):
        with pytest.raises(CTStyleError, match="both given and asked for"):
            with_layers(selected, layers, encoder.spec, lists)
    with pytest.raises(CTStyleError, match=r"registry \| deep \| selected"):
        with_layers(SMALL, "deepest", encoder.spec)
