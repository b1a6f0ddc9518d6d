"""Contextual transformation: its style loss, its stages, resumption, files, and that every setting does something."""

import dataclasses

import numpy as np
import pytest
import torch

from ctstyle.encoders.network import build
from ctstyle.encoders.weights import random
from ctstyle.errors import CTStyleError
from ctstyle.run.device import place
from ctstyle.run.fit import he_initialise
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.study.networks import ContextualSettings, CRNSettings
from ctstyle.study.settings import build as build_settings
from ctstyle.transfer.apply import stylise
from ctstyle.transfer.contextual import CRN, ContextualTransformation, train_contextual
from ctstyle.transfer.decoder import Decoder
from ctstyle.transfer.features import Material
from ctstyle.transfer.generator import MODEL, Generator, WrongGenerator
from ctstyle.transfer.losses import contextual_map_loss
from tests.killed import killed_and_resumed

TINY = CRNSettings(channels=8)
SMALL = ContextualSettings(warm_up_steps=2, steps=2, batch=2, schedule="constant", crn=TINY)


@pytest.fixture(scope="module")
def encoder():
    return build("vgg16", random("vgg16", seed=0).state)


@pytest.fixture(scope="module")
def data() -> dict:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] / 31.0
    discs = [((x - 0.5) ** 2 + (y - 0.5) ** 2 < r) * 0.6 + 0.2 for r in np.linspace(0.02, 0.2, 6)]
    content = np.stack(discs).astype(np.float32)
    bodies = np.zeros(content.shape, bool)
    bodies[:, 2:-2, 4:-4] = True
    style = 1 - content + 0.05 * rng.standard_normal(content.shape)
    return {
        "content": content,
        "bodies": bodies,
        "style": style.clip(0, 1).astype(np.float32),
        "style_bodies": bodies[:, ::-1].copy(),
        "style_names": ["s2", "s3"] * 3,
    }


def weights_of(model: ContextualTransformation, style: str = "s2") -> torch.Tensor:
    network = model.networks[model.styles.index(style)]
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def small(encoder, data, targets=("s2",), seed=0, **change) -> ContextualTransformation:
    return train_contextual(
        encoder, dataclasses.replace(SMALL, **change), Material(**data), targets=targets, seed=seed
    )[0]


def reference(generated: np.ndarray, target: np.ndarray, bandwidth: float) -> float:
    """-log CX of `[C, N]` and `[C, M]` in float64 (method.md, 3)."""
    mean = target.mean(axis=1, keepdims=True)
    g, x = generated - mean, target - mean
    distance = 1 - (g / np.linalg.norm(g, axis=0)).T @ (x / np.linalg.norm(x, axis=0))
    w = np.exp((1 - distance / (distance.min(axis=1, keepdims=True) + 1e-5)) / bandwidth)
    return -np.log((w / w.sum(axis=1, keepdims=True)).max(axis=0).mean())


def test_style_loss_compares_each_body_with_the_other_however_large():
    generator = torch.Generator().manual_seed(0)
    made, wanted = ({"a": torch.randn(2, 5, 4, 4, generator=generator)} for _ in range(2))
    body, style_body = torch.zeros(2, 8, 8, dtype=torch.bool), torch.zeros(2, 8, 8, dtype=torch.bool)
    body[:, :4], style_body[:, 2:] = True, True
    inside = {"target_body": style_body, "rng": np.random.default_rng(0)}
    found = contextual_map_loss(made, wanted, body, layers=("a",), **inside)
    pairs = zip(made["a"].double().numpy(), wanted["a"].double().numpy())
    expected = [reference(g[:, :2].reshape(5, -1), x[:, 1:].reshape(5, -1), 0.5) for g, x in pairs]
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-4)
    # Two layers add up; with a cap on the points of a slice the loss is that of some of them.
    again = {"a": made["a"], "b": made["a"]}, {"a": wanted["a"], "b": wanted["a"]}
    double = contextual_map_loss(*again, body, layers=("a", "b"), **inside)
    assert float(double) == pytest.approx(2 * float(found), rel=1e-5)
    few = contextual_map_loss(made, wanted, body, layers=("a",), at_most=3, **inside)
    assert abs(float(few) - float(found)) > 1e-3


def test_a_style_starts_from_the_warmed_up_network(encoder, data):
    settings = dataclasses.replace(SMALL, warm_up_steps=60, steps=1)
    model, history = train_contextual(encoder, settings, Material(**data), targets=["s2"], seed=0)
    content = torch.from_numpy(data["content"])[:, None]
    with torch.no_grad():
        error = (model.generate(content, target_style=["s2"] * len(content)) - content).abs().mean()
    assert error < 0.4 * history.loss[0]


def test_the_warm_up_learns_the_slices_and_both_losses_of_a_style_are_its_loss(encoder, data):
    settings = dataclasses.replace(SMALL, warm_up_steps=60, steps=25, learning_rate=3e-3)
    model, history = train_contextual(encoder, settings, Material(**data), targets=["s3", "s2"], seed=0)
    assert list(history.columns) == ["stage", "step", "loss", "content", "style"]
    assert history.stage.tolist() == ["warm-up"] * 60 + ["s3"] * 25 + ["s2"] * 25
    assert history.step.tolist() == [*range(1, 61), *range(1, 26), *range(1, 26)]
    stages = {name: rows for name, rows in history.groupby("stage")}
    assert stages["warm-up"].loss.iloc[-5:].mean() < 0.4 * stages["warm-up"].loss.iloc[:3].mean()
    assert stages["warm-up"][["content", "style"]].isna().all(axis=None)
    for name in ("s2", "s3"):
        rows = stages[name]
        assert np.allclose(rows.loss, rows.content + settings.style_weight * rows["style"], rtol=1e-4)
        assert rows.loss.iloc[-5:].mean() < rows.loss.iloc[:5].mean()
    assert not torch.equal(weights_of(model, "s2"), weights_of(model, "s3")) and model.styles == ("s3", "s2")


def test_same_seed_same_networks_and_only_slices_of_the_target_are_seen(encoder, data):
    one = small(encoder, data)
    assert torch.equal(weights_of(one), weights_of(small(encoder, data)))
    assert not torch.equal(weights_of(one), weights_of(small(encoder, data, seed=1)))
    for first, same in ((1, True), (0, False)):
        style = data["style"].copy()
        style[first::2] = style[first::2] ** 2
        assert torch.equal(weights_of(one), weights_of(small(encoder, {**data, "style": style}))) is same
    # A later target does not change an earlier one.
    assert torch.equal(weights_of(one), weights_of(small(encoder, data, targets=("s2", "s3"))))


@pytest.mark.parametrize(
    "change",
    [
        {"warm_up_steps": 3},
        {"steps": 3},
        {"batch": 3},
        {"learning_rate": 1e-4},
        {"schedule": "cosine"},
        {"content_weight": 3.0},
        {"style_weight": 0.1},
        {"content_taps": ("relu3_2",)},
        {"stride": 8},
        {"stride": 3, "content_taps": ("relu3_2",), "style_taps": ("relu2_1",)},
        {"style_taps": ("relu2_1",)},
        {"bandwidth": 0.2},
        {"at_most_points": 16},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_the_result(encoder, data, change):
    assert not torch.equal(weights_of(small(encoder, data)), weights_of(small(encoder, data, **change)))


def test_settings_come_from_one_config_section():
    settings = build_settings(ContextualSettings, {"steps": 5, "style_taps": ["relu3_2"], "crn": {"channels": 512}})
    assert (settings.steps, settings.style_taps, settings.crn.channels) == (5, ("relu3_2",), 512)


def test_the_cache_only_saves_time(encoder, data):
    torch.testing.assert_close(weights_of(small(encoder, data)), weights_of(small(encoder, data, cache_mb=0)))


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_interrupted_in_any_stage_and_resumed_equals_uninterrupted(encoder, data, tmp_path, stop):
    kwargs = {"material": Material(**data), "targets": ["s2", "s3"], "seed": 0}
    whole, history = train_contextual(encoder, SMALL, **kwargs)
    resumed, resumed_history = killed_and_resumed(
        lambda checkpoint: train_contextual(encoder, SMALL, **kwargs, checkpoint=checkpoint), tmp_path, stop
    )
    for style in ("s2", "s3"):
        assert torch.equal(weights_of(resumed, style), weights_of(whole, style))
    assert resumed_history.equals(history)


@pytest.fixture(scope="module")
def model(encoder) -> ContextualTransformation:
    networks = {name: CRN(TINY, size_px=(32, 32)) for name in ("s2", "s.3")}
    for seed, network in enumerate(networks.values()):
        he_initialise(network, seed=seed)
    return place(ContextualTransformation(encoder, networks).eval(), torch.device("cpu"))


@torch.no_grad()
def test_each_row_takes_the_network_of_its_target_style(model):
    content = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    found = model.generate(content, target_style=["s.3", "s2", "s2", "s.3"])
    two, three = (network(content) for network in model.networks)
    expected = torch.stack([three[0], two[1], two[2], three[3]])
    torch.testing.assert_close(found, expected.clamp(0, 1), rtol=1e-4, atol=1e-5)
    assert expected.min() < 0 and expected.max() > 1 and (two - three).abs().mean() > 0.01


@torch.no_grad()
def test_it_stands_where_a_generator_stands(model):
    window, rng = Window(-250.0, 750.0), np.random.default_rng(0)
    hu = rng.uniform(-50, 500, (3, 32, 32))
    body = body_mask(hu, window)
    found = stylise(model, hu, hu, ["s2"] * 3, window=window)
    unit = torch.from_numpy(((hu + 250) / 1000).astype(np.float32))[:, None]
    expected = model.networks[0](unit).clamp(0, 1)[:, 0].numpy() * 1000.0 - 250
    assert body.mean() > 0.5
    np.testing.assert_allclose(found[body], expected[body], atol=0.05)


@torch.no_grad()
def test_what_it_cannot_do_is_refused(model):
    content = torch.zeros(2, 1, 32, 32)
    for kwargs, message in (
        ({"alpha": 0.5, "target_style": ["s2"] * 2}, "alpha.*found 0.5"),
        ({"target_style": ["s2", "s9"]}, r"s9.*s2 \| s\.3"),
        ({"target_style": ["s2"]}, "1 names for 2 slices"),
    ):
        with pytest.raises(CTStyleError, match=message):
            model.generate(content, **kwargs)
    with pytest.raises(CTStyleError, match="48 x 48 px, expected 32 x 32"):
        model.generate(torch.zeros(1, 1, 48, 48), target_style=["s2"])


@torch.no_grad()
def test_a_saved_model_is_the_same_and_other_files_are_refused(model, encoder, tmp_path):
    path = tmp_path / "generator.safetensors"
    model.save(path, weights="random")
    loaded = ContextualTransformation.load(path, encoder)
    content, targets = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)), ["s.3", "s2"]
    assert torch.equal(loaded.generate(content, target_style=targets), model.generate(content, target_style=targets))
    assert loaded.styles == model.styles and loaded.networks[0].settings == TINY and not loaded.training
    kept = MODEL.facts(path)
    assert (kept["kind"], kept["encoder"], kept["weights"]) == ("contextual", "vgg16", "random")
    other = build("densenet121", random("densenet121", seed=0).state)
    with pytest.raises(WrongGenerator, match="densenet121, expected vgg16"):
        ContextualTransformation.load(path, other)
    plain = tmp_path / "plain.safetensors"
    Generator(encoder, Decoder(stride=4, channels=256), adain_tap="relu3_1", scale=1.0).save(plain)
    with pytest.raises(WrongGenerator, match="not the file of a contextual transformation"):
        ContextualTransformation.load(plain, encoder)


def test_wrong_input_is_named(encoder, data):
    for change, targets, message in (
        ({"content": data["content"][:0]}, ["s2"], "content slices"),
        ({"style": data["style"][0]}, ["s2"], "style slices"),
        ({"bodies": data["bodies"][:2]}, ["s2"], "body masks: "),
        ({"style_bodies": data["bodies"][:2]}, ["s2"], "body masks of the style"),
        ({"style_names": ["s2"]}, ["s2"], "style names"),
        ({}, ["s4"], r"targets.*s4.*s2, s3"),
        ({}, [], "targets"),
        ({}, ["s2", "s2"], "targets.*each once"),
    ):
        with pytest.raises(CTStyleError, match=message):
            train_contextual(encoder, SMALL, Material(**{**data, **change}), targets=targets, seed=0)
    for change, message in (({"stride": 3}, r"stride.*found 3, expected 1 \| 2 \| 4 \| 8"),):
        with pytest.raises(CTStyleError, match=message):
            small(encoder, data, **change)
    with pytest.raises(CTStyleError, match="31 x 31 px"):
        small(encoder, {**data, "content": data["content"][:, 1:, 1:], "bodies": data["bodies"][:, 1:, 1:]})
