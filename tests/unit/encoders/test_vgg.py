"""Taps of torchvision's VGG: the ReLUs, with batch norm too, and a cut network that shares the layers."""

import pytest
import torch
from torch import nn

from ctstyle.encoders.network import build, cut, trunk
from ctstyle.encoders.weights import random
from ctstyle.run.fit import he_initialise
from ctstyle.study.encoders import ENCODERS, UnknownEncoder


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_each_tap_is_the_relu_behind_its_convolution(name, batch_norm):
    spec = ENCODERS[name]
    network = trunk(spec, batch_norm=batch_norm).to_empty(device="cpu")
    he_initialise(network, seed=0)
    reader = cut(network, spec, [tap.name for tap in spec.taps]).eval()
    maps = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = []
    for layer in network.eval().features:
        maps = layer(maps)
        if isinstance(layer, nn.ReLU):
            expected.append(maps.clone())
    found = reader(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    assert list(found) == [tap.name for tap in spec.taps]
    assert all(torch.equal(one, other) for one, other in zip(found.values(), expected, strict=True))


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_reading_some_taps_gives_what_reading_all_gives(name):
    spec = ENCODERS[name]
    slices = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    encoder = build(name, random(name, seed=0).state)
    whole = encoder(slices, [tap.name for tap in spec.taps])
    for tap in spec.taps:
        assert torch.equal(encoder(slices, [tap.name])[tap.name], whole[tap.name])
    both = encoder(slices, ["relu3_1", "relu1_2"])
    assert list(both) == ["relu3_1", "relu1_2"] and torch.equal(both["relu1_2"], whole["relu1_2"])


def test_a_cut_vgg_ends_at_its_deepest_tap_and_shares_the_layers():
    spec = ENCODERS["vgg19"]
    network = trunk(spec)
    part = cut(network, spec, ["relu1_1", "relu2_1"])
    assert list(part.state_dict()) == [f"features.{n}.{kind}" for n in (0, 2, 5) for kind in ("weight", "bias")]
    assert part.get_submodule("features.5") is network.features[5]
    assert sorted(cut(part, spec, ["relu1_1"]).state_dict()) == ["features.0.bias", "features.0.weight"]
    with pytest.raises(ValueError):
        cut(part, spec, ["relu1_1", "relu3_1"])
    with pytest.raises(UnknownEncoder, match="relu9_9"):
        cut(network, spec, ["relu9_9"])
