"""VGG in torch alone is torchvision's, to the last bit."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from ctstyle.encoders.network import build, cut, trunk
from ctstyle.encoders.weights import random
from ctstyle.run.fit import he_initialise
from ctstyle.study.encoders import ENCODERS, UnknownEncoder

FORMS = [(name, batch_norm) for name in ("vgg16", "vgg19") for batch_norm in (False, True)]


def torchvisions(name: str, batch_norm: bool) -> nn.Module:
    """torchvision's network without its classifier, on the device "meta"."""
    with torch.device("meta"):
        network = getattr(torchvision.models, f"{name}_bn" if batch_norm else name)(weights=None)
    network.avgpool, network.classifier = nn.Identity(), nn.Identity()
    return network


@pytest.mark.parametrize(("name", "batch_norm"), FORMS)
def test_tensors_have_torchvisions_names_shapes_and_order(name, batch_norm):
    ours, theirs = (
        each.state_dict() for each in (trunk(ENCODERS[name], batch_norm=batch_norm), torchvisions(name, batch_norm))
    )
    assert [(key, value.shape) for key, value in ours.items()] == [(key, value.shape) for key, value in theirs.items()]
    assert all(value.is_meta for value in ours.values())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("name", "batch_norm"), FORMS)
def test_maps_and_slopes_are_torchvisions_at_every_relu(name, batch_norm, training):
    spec = ENCODERS[name]
    theirs = torchvisions(name, batch_norm).to_empty(device="cpu")
    he_initialise(theirs, seed=0)
    ours = trunk(spec, batch_norm=batch_norm).to_empty(device="cpu")
    ours.load_state_dict(theirs.state_dict())
    relus = [path for path, module in theirs.named_modules() if isinstance(module, nn.ReLU)]
    taps = [tap.name for tap in spec.taps]
    readers = (
        create_feature_extractor(theirs, dict(zip(relus, taps, strict=True))).train(training),
        cut(ours, spec, taps).train(training),
    )
    images = torch.rand(2, 3, 48, 32, generator=torch.Generator().manual_seed(1)).requires_grad_()
    expected, found = (reader(images) for reader in readers)
    assert list(found) == taps
    assert all(torch.equal(found[tap], expected[tap]) for tap in taps)
    slopes = [
        torch.autograd.grad(sum(m.square().mean() for m in maps.values()), images)[0] for maps in (expected, found)
    ]
    assert torch.equal(*slopes)


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
    assert part.features[5] is network.features[5]
    assert sorted(cut(part, spec, ["relu1_1"]).state_dict()) == ["features.0.bias", "features.0.weight"]
    with pytest.raises(ValueError, match="relu3_1"):
        cut(part, spec, ["relu1_1", "relu3_1"])
    with pytest.raises(UnknownEncoder, match="relu9_9"):
        cut(network, spec, ["relu9_9"])
