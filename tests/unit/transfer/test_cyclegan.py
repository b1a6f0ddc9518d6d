"""CycleGAN: networks against the published sizes, losses in closed form, pool, rate, resumption, and that it learns."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from ctstyle.encoders.network import build
from ctstyle.encoders.weights import random
from ctstyle.errors import CTStyleError
from ctstyle.run.device import place
from ctstyle.run.fit import in_parts
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.study.networks import CycleGANSettings, DiscriminatorSettings, GeneratorSettings
from ctstyle.study.settings import build as build_settings
from ctstyle.transfer import cyclegan
from ctstyle.transfer.apply import load_model, stylise
from ctstyle.transfer.cyclegan import (
    CycleGAN,
    ImagePool,
    PatchDiscriminator,
    ResNetGenerator,
    adversarial_loss,
    discriminator_loss,
    draw_weights,
    rate_factor,
    train_cyclegan,
)
from ctstyle.transfer.features import Material
from ctstyle.transfer.generator import MODEL, WrongGenerator
from tests.killed import killed_and_resumed

TINY = GeneratorSettings(channels=4, blocks=1)
SMALL = CycleGANSettings(steps=4, pool=1, generator=TINY, discriminator=DiscriminatorSettings(channels=4, layers=1))
SIDE = 16


@pytest.fixture(scope="module")
def data() -> dict:
    """Discs on a dark ground, and other discs with the grey values of two styles: brighter s2, inverted s3."""
    rng = np.random.default_rng(0)
    content, other = (_discs(rng, count=8) for _ in range(2))
    bodies = np.zeros(content.shape, bool)
    bodies[:, 1:-1, 2:-2] = True
    style = np.concatenate([0.25 + 0.7 * other[:4], 1 - other[4:]])
    return {
        "content": content,
        "bodies": bodies,
        "style": style.astype(np.float32),
        "style_bodies": bodies.copy(),
        "style_names": np.array(["s2"] * 4 + ["s3"] * 4),
    }


def _discs(rng: np.random.Generator, count: int, side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / (side - 1.0)
    made = []
    for _ in range(count):
        (a, b), radius = rng.uniform(0.3, 0.7, 2), rng.uniform(0.15, 0.35)
        made.append(0.2 + 0.5 * ((x - a) ** 2 + (y - b) ** 2 < radius**2))
    return np.stack(made).astype(np.float32)


def weights_of(model: CycleGAN, style: str = "s2") -> torch.Tensor:
    network = model.networks[model.styles.index(style)]
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def small(data, targets=("s2",), seed=0, **change) -> CycleGAN:
    return train_cyclegan(dataclasses.replace(SMALL, **change), Material(**data), targets=targets, seed=seed)[0]


def size_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_networks_have_as_many_parameters_as_the_published_ones():
    # junyanz/pytorch-CycleGAN-and-pix2pix prints 11.378 M for a generator (resnet_9blocks) and 2.765 M for a
    # discriminator (basic), both for RGB.
    generator = ResNetGenerator(GeneratorSettings(channels=64, blocks=9), in_channels=3, out_channels=3)
    discriminator = PatchDiscriminator(DiscriminatorSettings(channels=64, layers=3), in_channels=3)
    assert f"{size_of(generator) / 1e6:.3f} {size_of(discriminator) / 1e6:.3f}" == "11.378 2.765"


@pytest.mark.parametrize("layers, patch", [(1, 16), (2, 34), (3, 70)])
def test_a_discriminator_judges_patches_of_the_published_size(layers, patch):
    network = PatchDiscriminator(DiscriminatorSettings(channels=2, layers=layers))
    draw_weights(network, torch.Generator().manual_seed(0))
    without_norm = nn.Sequential(*(one for one in network.layers if not isinstance(one, nn.InstanceNorm2d)))
    slices = torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(1)).requires_grad_()
    scores = without_norm(slices)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    seen = slices.grad[0, 0].abs() > 0
    assert [int(seen.any(dim=axis).sum()) for axis in (0, 1)] == [patch, patch]
    assert network(slices).shape == scores.shape and scores.shape[2] > 1


@torch.no_grad()
def test_a_generator_keeps_the_size_and_stays_inside_the_window():
    network = ResNetGenerator(TINY)
    draw_weights(network, torch.Generator().manual_seed(0))
    slices = torch.rand(2, 1, 24, 32, generator=torch.Generator().manual_seed(1))
    made = network(slices)
    assert made.shape == slices.shape and 0 <= made.min() < made.max() <= 1
    torch.testing.assert_close(network(slices[1:]), made[1:])  # a slice does not depend on its batch
    for parameter in network.parameters():
        parameter.mul_(100)
    assert network(slices).min() >= 0 and network(slices).max() <= 1
    for wrong in ((18, 16), (4, 4)):
        with pytest.raises(CTStyleError, match=f"{wrong[0]} x {wrong[1]} px, expected multiples of 4"):
            network(torch.zeros(1, 1, *wrong))


def test_weights_are_drawn_as_the_reference_draws_them():
    network = ResNetGenerator(GeneratorSettings(channels=32, blocks=2))
    draw_weights(network, torch.Generator().manual_seed(0))
    of_block = network.layers[10].layers[1].weight.detach()
    assert float(of_block.mean()) == pytest.approx(0, abs=2e-4) and float(of_block.std()) == pytest.approx(
        0.02, rel=0.02
    )
    assert all(not one.bias.any() for one in network.modules() if isinstance(one, nn.Conv2d))
    again = ResNetGenerator(GeneratorSettings(channels=32, blocks=2))
    draw_weights(again, torch.Generator().manual_seed(0))
    assert torch.equal(again.layers[10].layers[1].weight, of_block)


def test_least_squares_losses_in_closed_form():
    scores = torch.tensor([[1.0, 0.0], [0.5, -1.0]])
    assert float(adversarial_loss(scores, True)) == pytest.approx((0 + 1 + 0.25 + 4) / 4)
    assert float(adversarial_loss(scores, False)) == pytest.approx((1 + 0 + 0.25 + 1) / 4)
    # A discriminator that tells nothing apart (0.5 for all) is at 0.25 a side, a perfect one at 0, a fooled one at 1.
    for real, old, expected in ((0.5, 0.5, 0.25), (1.0, 0.0, 0.0), (0.0, 1.0, 1.0)):
        sides = {f"real_{side}": torch.full((2, 1, 3, 3), real) for side in "xy"}
        sides |= {f"old_{side}": torch.full((2, 1, 3, 3), old) for side in "xy"}
        assert float(discriminator_loss(sides)) == pytest.approx(2 * expected)


def test_the_pool_fills_and_then_hands_on_old_slices_half_of_the_time():
    pool, rng, size, rounds = ImagePool(50), np.random.default_rng(0), 50, 4000
    handed = [float(pool.exchange(torch.full((1, 1, 1, 1), float(n)), rng)) for n in range(size + rounds)]
    assert handed[:size] == list(range(size)) and len(pool.kept) == size
    new = [float(n) == one for n, one in enumerate(handed)][size:]
    assert np.mean(new) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(rounds))
    # What leaves the full pool is replaced, so nothing leaves it twice, and nothing is lost or invented.
    later = handed[size:]
    assert len(set(later)) == len(later)
    assert set(later) | {float(one) for one in pool.kept} == set(range(size + rounds))
    # Each swap takes one of 50 by chance, so a slice waits for 50 swaps in the mean (geometric).
    waited = [n - one for n, one in enumerate(handed) if one != n]
    assert np.mean(waited) == pytest.approx(2 * size, rel=0.15)


def test_a_pool_of_none_hands_on_what_comes_and_a_kept_slice_has_no_gradient():
    slices, rng = torch.rand(3, 1, 2, 2, requires_grad=True), np.random.default_rng(0)
    assert torch.equal(ImagePool(0).exchange(slices, rng), slices)
    pool = ImagePool(5)
    assert not pool.exchange(slices, rng).requires_grad and not any(one.requires_grad for one in pool.kept)
    other = ImagePool(5)
    other.load_state_dict(pool.state_dict())
    assert torch.equal(torch.stack(other.kept), torch.stack(pool.kept))


def test_the_rate_stays_and_falls_linearly_as_the_reference_s():
    # The reference: 1 - max(0, epoch + 1 - n_epochs) / (n_epochs_decay + 1), with 100 epochs of each.
    found = [rate_factor(step, 200, 0.5) for step in range(200)]
    assert found == [1 - max(0, epoch + 1 - 100) / 101 for epoch in range(200)]
    assert (
        found[:100] == [1] * 100 and np.allclose(np.diff(found[99:]), -1 / 101) and found[-1] == pytest.approx(1 / 101)
    )
    assert rate_factor(9, 10, 1.0) == 1 and rate_factor(0, 10, 0.0) == pytest.approx(10 / 11)


def test_the_history_holds_the_losses_of_every_style(data):
    settings = dataclasses.replace(SMALL, cycle_weight=3.0, identity_weight=2.0)
    model, history = train_cyclegan(settings, Material(**data), targets=["s3", "s2"], seed=0)
    assert list(history.columns) == ["stage", "step", "loss", "adversarial", "cycle", "identity", "discriminators"]
    assert history.stage.tolist() == ["s3"] * 4 + ["s2"] * 4 and history.step.tolist() == [1, 2, 3, 4] * 2
    expected = history.adversarial + 3 * history.cycle + 2 * history.identity
    assert np.allclose(history.loss, expected, rtol=1e-5)
    # With first weights of 0.02 every score is near 0: (0 - 1)^2 for each generator, half of (0 - 1)^2 + 0 for each
    # discriminator.
    assert history.adversarial[0] == pytest.approx(2, abs=0.4) and history.discriminators[0] == pytest.approx(
        1, abs=0.2
    )
    assert model.styles == ("s3", "s2") and not torch.equal(weights_of(model, "s2"), weights_of(model, "s3"))
    assert not model.training


def test_it_learns_a_gain_and_an_offset_from_slices_that_are_no_pairs():
    rng, side = np.random.default_rng(0), 32
    content, other, unseen = (_discs(rng, count, side) for count in (16, 8, 6))
    bodies = np.ones((16, side, side), bool)
    material = Material(
        content=content,
        bodies=bodies,
        style=0.25 + 0.7 * other,
        style_bodies=bodies[:8],
        style_names=np.array(["s2"] * 8),
    )
    settings = CycleGANSettings(
        steps=100,
        learning_rate=1e-3,
        generator=GeneratorSettings(channels=8, blocks=1),
        discriminator=DiscriminatorSettings(channels=8, layers=1),
    )
    model, history = train_cyclegan(settings, material, targets=["s2"], seed=0)
    content = torch.from_numpy(unseen)[:, None]
    truth = 0.25 + 0.7 * content
    with torch.no_grad():
        made = model.generate(content, target_style=["s2"] * 6)
    before, after = ((one - truth).abs().mean() for one in (content, made))
    assert after < 0.5 * before
    assert history.cycle.iloc[-10:].mean() < 0.5 * history.cycle.iloc[0]


def test_same_seed_same_networks_and_only_slices_of_both_sides_are_seen(data):
    one = small(data)
    assert torch.equal(weights_of(one), weights_of(small(data)))
    assert not torch.equal(weights_of(one), weights_of(small(data, seed=1)))
    for rows, same in ((slice(4, 8), True), (slice(0, 4), False)):
        style = data["style"].copy()
        style[rows] = style[rows] ** 2
        assert torch.equal(weights_of(one), weights_of(small({**data, "style": style}))) is same
    assert not torch.equal(weights_of(one), weights_of(small({**data, "content": data["content"] ** 2})))
    # A later target does not change an earlier one, and nothing of an earlier one is left for a later one.
    both = small(data, targets=("s2", "s3"))
    assert torch.equal(weights_of(one), weights_of(both))
    style = data["style"].copy()
    style[:4] = style[:4] ** 2
    other = small({**data, "style": style}, targets=("s2", "s3"))
    assert torch.equal(weights_of(other, "s3"), weights_of(both, "s3")) and not torch.equal(
        weights_of(other), weights_of(both)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 5},
        {"batch": 2},
        {"learning_rate": 1e-3},
        {"constant_share": 0.0},
        {"cycle_weight": 1.0},
        {"identity_weight": 0.0},
        {"pool": 3},
        {"generator": GeneratorSettings(channels=6, blocks=1)},
        {"generator": GeneratorSettings(channels=4, blocks=2)},
        {"discriminator": DiscriminatorSettings(channels=6, layers=1)},
        {"discriminator": DiscriminatorSettings(channels=4, layers=2)},
    ],
    ids=str,
)
def test_every_setting_changes_the_result(data, change):
    steps = {"steps": 8} if "pool" in change else {}  # a pool shows only once it is full
    assert not torch.equal(weights_of(small(data, **steps)), weights_of(small(data, **steps, **change)))


def test_settings_come_from_one_config_section():
    settings = build_settings(
        CycleGANSettings, {"steps": 5, "generator": {"blocks": 9}, "discriminator": {"layers": 3}}
    )
    assert (settings.steps, settings.generator, settings.discriminator.layers) == (5, GeneratorSettings(blocks=9), 3)


@pytest.mark.parametrize("stop", [2, 4, 7])
def test_interrupted_anywhere_and_resumed_equals_uninterrupted(data, tmp_path, stop):
    kwargs = {"material": Material(**data), "targets": ["s2", "s3"], "seed": 0}
    whole, history = train_cyclegan(SMALL, **kwargs)
    resumed, resumed_history = killed_and_resumed(
        lambda checkpoint: train_cyclegan(SMALL, **kwargs, checkpoint=checkpoint), tmp_path, stop
    )
    for style in ("s2", "s3"):
        assert torch.equal(weights_of(resumed, style), weights_of(whole, style))
    assert resumed_history.equals(history)


def test_a_batch_in_parts_has_the_losses_of_the_whole_batch(data, monkeypatch):
    def losses() -> np.ndarray:
        settings = dataclasses.replace(SMALL, batch=4)
        return (
            train_cyclegan(settings, Material(**data), targets=["s2"], seed=0)[1]
            .drop(columns=["stage", "step"])
            .to_numpy()
        )

    whole = losses()
    monkeypatch.setattr(cyclegan, "in_parts", lambda forward, _, *batch: in_parts(forward, 3, *batch))
    parts = losses()
    np.testing.assert_allclose(parts[0, :4], whole[0, :4], rtol=1e-5)
    # Adam makes steps of the rounding noise in biases that instance norm takes out again, so later losses only agree.
    np.testing.assert_allclose(parts, whole, rtol=0.01)


@pytest.fixture(scope="module")
def model() -> CycleGAN:
    networks = {name: ResNetGenerator(TINY) for name in ("s2", "s.3")}
    for seed, network in enumerate(networks.values()):
        draw_weights(network, torch.Generator().manual_seed(seed))
        with torch.no_grad():
            network.layers[-2].weight.mul_(20)
    return place(CycleGAN(networks).eval(), torch.device("cpu"))


@pytest.fixture(scope="module")
def encoder():
    return build("vgg16", random("vgg16", seed=0).state)


@torch.no_grad()
def test_it_stands_where_a_generator_stands(model):
    window, rng = Window(-250.0, 750.0), np.random.default_rng(0)
    hu = rng.uniform(-50, 500, (3, 32, 32))
    found = stylise(model, hu, hu, ["s2", "s.3", "s2"], window=window)
    unit = torch.from_numpy(((hu + 250) / 1000).astype(np.float32))[:, None]
    two, three = (network(unit)[:, 0].numpy() * 1000.0 - 250 for network in model.networks)
    body, expected = body_mask(hu, window), np.stack([two[0], three[1], two[2]])
    assert body.mean() > 0.5 and abs(two - three).mean() > 1
    np.testing.assert_allclose(found[body], expected[body], atol=0.05)


@torch.no_grad()
def test_what_it_cannot_do_is_refused(model):
    content = torch.zeros(2, 1, 32, 32)
    for kwargs, message in (
        ({"alpha": 0.5, "target_style": ["s2"] * 2}, "alpha: CycleGAN cannot blend.*found 0.5"),
        ({"target_style": ["s2", "s9"]}, r"s9.*s2 \| s\.3"),
        ({"target_style": ["s2"]}, "1 names for 2 slices"),
    ):
        with pytest.raises(CTStyleError, match=message):
            model.generate(content, **kwargs)


@torch.no_grad()
def test_a_saved_model_is_the_same_and_holds_one_generator_for_each_style(model, encoder, tmp_path):
    path = tmp_path / "generator.safetensors"
    model.save(path, model="cyclegan")
    loaded = load_model(path, encoder)
    content, targets = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)), ["s.3", "s2"]
    assert isinstance(loaded, CycleGAN) and not loaded.training and loaded.styles == model.styles
    assert torch.equal(loaded.generate(content, target_style=targets), model.generate(content, target_style=targets))
    kept = MODEL.facts(path)
    assert kept["kind"] == "cyclegan" and "encoder" not in kept
    assert path.stat().st_size < 4 * 2 * size_of(ResNetGenerator(TINY)) + 5000
    load_model(path, build("densenet121", random("densenet121", seed=0).state))  # it needs no encoder
    model.save(path, kind="contextual")
    with pytest.raises(WrongGenerator, match="not the file of a CycleGAN"):
        CycleGAN.load(path, encoder)


def test_wrong_input_is_named(data):
    for change, targets, message in (
        ({"content": data["content"][:0]}, ["s2"], "content slices"),
        ({"style_names": ["s2"]}, ["s2"], "style names"),
        ({}, ["s4"], r"targets.*s4.*s2, s3"),
        ({}, ["s2", "s2"], "targets.*each once"),
    ):
        with pytest.raises(CTStyleError, match=message):
            train_cyclegan(SMALL, Material(**{**data, **change}), targets=targets, seed=0)
