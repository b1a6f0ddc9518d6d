"""The registry against torchvision's own networks, read by hooks."""

import pytest
import torch
import torchvision
from torch import nn

from ctstyle.encoders.network import WrongArchitecture, build
from ctstyle.encoders.weights import random
from ctstyle.errors import CTStyleError
from ctstyle.study.encoders import COMPARED, ENCODERS, UnknownEncoder

SIDE = 64


def hooked_outputs(name: str, state: dict, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """The outputs of the tapped modules in torchvision's whole, unchanged network, copied as they come."""
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(weights=None).eval()
    network.load_state_dict(state, strict=False)
    seen = {}
    for tap in ENCODERS[name].taps:
        module = network.get_submodule(tap.module)
        module.register_forward_hook(lambda _m, _i, out, tap=tap: seen.__setitem__(tap.name, out.clone()))
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    with torch.no_grad():
        body = network.features if hasattr(network, "features") else nn.Sequential(*list(network.children())[:-1])
        body((images.repeat(1, 3, 1, 1) - mean) / std)
    return seen


@pytest.mark.parametrize("name", ENCODERS)
def test_taps_are_torchvisions_maps_with_the_registered_stride_and_channels(name):
    spec = ENCODERS[name]
    state = dict(random(name, seed=1).state)
    images = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    encoder = build(name, state, padding="zeros")
    maps = encoder(images, [tap.name for tap in spec.taps])
    expected = hooked_outputs(name, state, images)
    for tap in spec.taps:
        assert maps[tap.name].shape == (1, tap.channels, SIDE // tap.stride, SIDE // tap.stride)
        torch.testing.assert_close(maps[tap.name], expected[tap.name], rtol=1e-4, atol=1e-5)
        assert maps[tap.name].min() >= 0


@pytest.mark.parametrize("name", COMPARED)
def test_one_decoder_fits_all_six_at_strides_4_and_8(name):
    spec = ENCODERS[name]
    for stride, channels in ((4, 256), (8, 512)):
        tap = spec.tap(spec.adain_tap[stride])
        assert (tap.stride, tap.channels) == (stride, channels)
    assert spec.tap(spec.adain_tap[16]).stride == 16


@pytest.mark.parametrize("name", ENCODERS)
def test_loss_taps_have_the_strides_of_the_method(name):
    spec = ENCODERS[name]
    assert [spec.tap(tap).stride for tap in spec.content_taps] == [4, 8]
    assert [spec.tap(tap).stride for tap in spec.deep_content_taps] == [4, 8, 16]
    first = 1 if name.startswith("vgg") else 2
    assert [spec.tap(tap).stride for tap in spec.style_taps] == [first * 2**i for i in range(4)]


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_reflection_padding_draws_no_frame_around_a_flat_slice(name):
    state = random(name, seed=0).state
    flat = torch.full((1, 1, SIDE, SIDE), 0.02)
    for padding, framed in (("reflect", False), ("zeros", True)):
        for maps in build(name, state, padding=padding)(flat, ENCODERS[name].content_taps).values():
            spread = (maps - maps[:, :, 1:2, 1:2]).abs().max() / maps.max()
            assert (float(spread) > 0.1) is framed
    with pytest.raises(CTStyleError, match=r"padding.*wrap"):
        build(name, state, padding="wrap")


def test_computes_nothing_behind_the_deepest_tap():
    encoder = build("resnet50", random("resnet50", seed=0).state)
    called = []
    for path in ("layer1", "layer2.0.conv1", "layer3.0.conv1"):
        encoder.network.get_submodule(path).register_forward_hook(lambda *_, path=path: called.append(path))
    encoder(torch.rand(1, 1, SIDE, SIDE), ["stem", "layer2"])
    assert "layer2.0.conv1" in called and "layer3.0.conv1" not in called


def test_is_frozen_but_lets_gradients_through_to_the_slice():
    encoder = build("resnet50", random("resnet50", seed=0).state).train()
    statistics = encoder.network.bn1.running_mean.clone()
    slices = torch.rand(2, 1, SIDE, SIDE, requires_grad=True)
    encoder(slices, ["layer1"])["layer1"].sum().backward()
    assert slices.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert torch.equal(encoder.network.bn1.running_mean, statistics)
    alone = encoder(slices[:1], ["layer1"])["layer1"]
    torch.testing.assert_close(alone, encoder(slices, ["layer1"])["layer1"][:1], rtol=1e-4, atol=1e-4)


def test_weights_of_another_architecture_are_named():
    state = random("resnet50", seed=0).state
    with pytest.raises(WrongArchitecture, match=r"resnet101.*layer3\.10"):
        build("resnet101", state)
    with pytest.raises(WrongArchitecture, match="vgg19"):
        build("vgg19", state)
    narrow = dict(state, **{"conv1.weight": torch.zeros(32, 3, 7, 7)})
    with pytest.raises(WrongArchitecture, match=r"conv1.weight.*\(32, 3, 7, 7\).*\(64, 3, 7, 7\)"):
        build("resnet50", narrow)


def test_unknown_encoder_and_tap():
    with pytest.raises(UnknownEncoder, match=r"vgg91.*vgg19"):
        build("vgg91", {})
    with pytest.raises(UnknownEncoder, match="relu9_9"):
        build("vgg16", random("vgg16", seed=0).state)(torch.rand(1, 1, SIDE, SIDE), ["relu9_9"])
