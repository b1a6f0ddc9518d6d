"""MixStyle: statistics as said, no gradient through them, and a network that is the plain one outside its training."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from ctstyle.errors import CTStyleError
from ctstyle.run.fit import in_parts
from ctstyle.segment.online import MixStyle, first_levels, mix_statistics
from ctstyle.segment.unet import build_unet, load_unet, save_unet
from ctstyle.study.analysis import UNetSettings

SMALL = UNetSettings(channels=(4, 8, 16), strides=(2, 2), residual_units=1)
ALWAYS = MixStyle(probability=1.0)
MATES = torch.tensor([2, 0, 1])


def maps(seed=0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    scale = torch.rand((3, 5, 1, 1), generator=rng) * 3 + 0.5
    return torch.randn((3, 5, 16, 12), generator=rng) * scale + scale.flip(0)


def test_mean_and_deviation_are_mixed_in_the_share_that_was_drawn():
    share = torch.tensor([0.2, 0.9, 0.5])[:, None, None, None]
    before, after = maps(), mix_statistics(maps(), MATES, share)
    for measure in (torch.mean, torch.std):
        own, got = (measure(each, dim=(2, 3), keepdim=True) for each in (before, after))
        assert torch.allclose(got, share * own + (1 - share) * own[MATES], atol=1e-4)
    assert torch.allclose(mix_statistics(before, MATES, torch.ones(3, 1, 1, 1)), before, atol=1e-5)


def test_nothing_of_its_own_is_adain_to_the_mate():
    before = maps().double()
    found = mix_statistics(before, MATES, torch.zeros(3, 1, 1, 1))
    mate = before[MATES]
    mean, deviation = mate.mean((2, 3), keepdim=True), mate.std((2, 3), keepdim=True, correction=0)
    expected = functional.instance_norm(before, eps=0) * deviation + mean
    assert torch.allclose(found.double(), expected, atol=1e-4)


def test_no_gradient_flows_through_the_statistics():
    values = maps().requires_grad_()
    mix_statistics(values, MATES, torch.zeros(3, 1, 1, 1)).sum().backward()
    deviation = values.detach().std((2, 3), keepdim=True)
    assert torch.allclose(values.grad, (deviation[MATES] / deviation).expand_as(values), rtol=1e-4)


def outputs(settings, seed=0, *, training=True, network=None):
    network = (network or build_unet(SMALL, seed=0)).train(training)
    images = (
        torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(9)) * torch.arange(1, 7)[:, None, None, None]
    )
    torch.manual_seed(seed)
    with settings.within(network), torch.no_grad():
        return network(images)


def test_it_acts_in_training_alone_and_leaves_the_network_as_it_was(tmp_path):
    network = build_unet(SMALL, seed=0)
    plain = outputs(MixStyle(probability=0.0), training=False)
    assert not torch.allclose(outputs(ALWAYS, network=network), plain, atol=1e-3)
    assert torch.equal(outputs(ALWAYS, training=False, network=network), plain)
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(network.train()(images), build_unet(SMALL, seed=0)(images)), "hooks are left"
    with ALWAYS.within(network):
        save_unet(network, SMALL, tmp_path / "unet.safetensors")
    loaded, settings = load_unet(tmp_path / "unet.safetensors")
    assert settings == SMALL and torch.equal(loaded(images), build_unet(SMALL, seed=0).eval()(images))


def test_draws_follow_torch_s_seed_and_every_setting_counts():
    first = outputs(ALWAYS)
    assert torch.equal(first, outputs(ALWAYS)) and not torch.equal(first, outputs(ALWAYS, seed=1))
    assert torch.equal(outputs(MixStyle(probability=0.0)), outputs(MixStyle(probability=0.0), seed=1))
    for other in (MixStyle(1.0, levels=1), MixStyle(1.0, alpha=5.0)):
        assert not torch.allclose(first, outputs(other))


def test_a_level_mixes_as_often_as_it_should():
    network = build_unet(SMALL, seed=0).train()
    (level,), images = first_levels(network, 1), torch.rand(2, 1, 4, 4)
    plain = level(images)
    with MixStyle(probability=0.5, alpha=50.0).within(network):
        torch.manual_seed(0)
        mixed = [not torch.allclose(level(images), plain, atol=1e-5) for _ in range(600)]
    # half of the batches, and of two slices that are shuffled half keep themselves as mates
    assert np.mean(mixed) == pytest.approx(0.25, abs=0.06)


def test_a_batch_in_parts_draws_the_same_when_its_activations_are_computed_again():
    images, found = torch.rand(4, 1, 16, 16) * torch.arange(1, 5)[:, None, None, None], []
    for recomputed in (True, False):
        network = build_unet(SMALL, seed=0).train()
        torch.manual_seed(3)
        with ALWAYS.within(network):
            if recomputed:
                in_parts(network, 2, images).square().mean().backward()
            else:
                torch.cat([network(images[:2]), network(images[2:])]).square().mean().backward()
        found.append(torch.cat([value.grad.flatten() for value in network.parameters()]))
    assert torch.allclose(*found, rtol=1e-4, atol=1e-7)


def test_levels_are_the_first_of_the_way_down():
    network = build_unet(UNetSettings(), seed=0)
    shapes = []
    for level in first_levels(network, 4):
        level.register_forward_hook(lambda _, __, made: shapes.append(tuple(made.shape[1:])))
    network(torch.zeros(1, 1, 96, 96))
    assert shapes == [(16, 48, 48), (32, 24, 24), (64, 12, 12), (128, 6, 6)]
    with pytest.raises(CTStyleError, match=r"segment: mixstyle: levels.*2 levels"):
        first_levels(build_unet(SMALL, seed=0), 3)
