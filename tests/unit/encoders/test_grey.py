"""One grey channel through the folded first convolution is three normalised channels through the network's own."""

import pytest
import torch
from torch import nn

from ctstyle.encoders.network import GreyConv2d, build, fold_first_convolution
from ctstyle.encoders.weights import random
from ctstyle.study.encoders import COMPARED

MEAN, STD = (torch.tensor(values, dtype=torch.float64) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def convolution(padding_mode="reflect", **options):
    torch.manual_seed(0)
    return nn.Conv2d(3, 5, padding_mode=padding_mode, dtype=torch.float64, **options)


@pytest.mark.parametrize(
    "options",
    [{"kernel_size": 3, "padding": 1}, {"kernel_size": 7, "padding": 3, "stride": 2, "bias": False}],
    ids=["vgg", "resnet"],
)
def test_the_folded_convolution_is_the_networks_own(options):
    own = convolution(**options)
    slices = torch.rand(2, 1, 16, 12, dtype=torch.float64, requires_grad=True)
    colour = (slices.expand(-1, 3, -1, -1) - MEAN.reshape(1, 3, 1, 1)) / STD.reshape(1, 3, 1, 1)
    expected = own(colour)
    found = GreyConv2d(own, MEAN, STD)(slices)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(maps.square().sum(), slices, retain_graph=True)[0] for maps in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-10)


def test_zero_padding_is_not_folded():
    network = nn.Sequential(convolution("zeros", kernel_size=3, padding=1))
    assert not fold_first_convolution(network, MEAN, STD)
    assert type(network[0]) is nn.Conv2d


@pytest.mark.parametrize("name", COMPARED)
def test_a_folded_encoder_keeps_names_and_weights(name):
    state = dict(random(name, seed=0).state)
    kept = build(name, state).network.state_dict()
    assert not any("grey" in key for key in kept)
    assert all(torch.equal(kept[key], state[key]) for key in kept if not key.endswith("num_batches_tracked"))


@pytest.mark.parametrize("name", COMPARED)
def test_encoders_with_and_without_the_fold_agree(monkeypatch, name):
    state = dict(random(name, seed=1).state)
    slices = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    folded = build(name, state)
    monkeypatch.setattr("ctstyle.encoders.network.fold_first_convolution", lambda *_: False)
    plain = build(name, state)
    taps = [tap.name for tap in folded.spec.taps]
    assert any(isinstance(module, GreyConv2d) for module in folded.modules())
    for tap, maps in folded(slices, taps).items():
        expected = plain(slices, taps)[tap]
        torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5 * float(expected.max()))
