"""The U-Net: its size, its independence of batch mates, its file, and the errors of a wrong one."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from ctstyle.segment.unet import UNetError, build_unet, load_unet, require_size, save_unet
from ctstyle.study.analysis import UNetSettings

SMALL = UNetSettings(channels=(4, 8, 16), strides=(2, 2), residual_units=1)


def test_the_default_has_the_parameters_it_says():
    assert sum(value.numel() for value in build_unet(UNetSettings(), seed=0).parameters()) == 1_625_161


@pytest.mark.parametrize(
    ("settings", "mean", "deviation"),
    [
        (UNetSettings(), -0.23757738910474777, 0.2635704565044083),
        (replace(SMALL, norm="instance"), 0.29422366320128884, 1.0197329394043468),
    ],
)
def test_a_seed_gives_the_network_it_always_gave(settings, mean, deviation):
    """Numbers of the network before it was MONAI's own, so that a seed of a paper stays a seed."""
    with torch.no_grad():
        logits = build_unet(settings, seed=4).eval()(torch.linspace(0, 1, 32 * 48).reshape(1, 1, 32, 48))[0].double()
    assert float(logits[0].mean()) == pytest.approx(mean, rel=1e-4)
    assert float(logits[1].std()) == pytest.approx(deviation, rel=1e-4)


@pytest.mark.parametrize("norm", ["none", "instance"])
def test_a_slice_does_not_depend_on_its_batch_mates(norm):
    network = build_unet(replace(SMALL, norm=norm), seed=0).train()
    images = torch.rand(3, 1, 32, 48)
    together = network(images)
    assert together.shape == (3, 2, 32, 48)
    assert torch.allclose(together[1:2], network(images[1:2]), atol=1e-5)


def test_instance_norm_and_nothing_else_takes_contrast_out_of_a_slice():
    image = torch.rand(1, 1, 32, 32)
    for norm in ("none", "instance"):
        network = build_unet(replace(SMALL, norm=norm), seed=0).eval()
        inner = [(network(x) - network(x).mean())[..., 8:-8, 8:-8] for x in (image, 0.3 * image)]
        relative = float((inner[0] - inner[1]).abs().max() / inner[0].abs().max())
        assert (relative < 0.4) == (norm == "instance")


def test_weights_come_from_the_seed_alone():
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one = build_unet(SMALL, seed=1)
    assert torch.rand(1) == before
    two, three = build_unet(SMALL, seed=1), build_unet(SMALL, seed=2)
    pairs = list(zip(one.parameters(), two.parameters(), three.parameters()))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


def test_the_file_alone_rebuilds_the_network(tmp_path):
    network = build_unet(SMALL, seed=3).eval()
    save_unet(network, SMALL, tmp_path / "unet.safetensors")
    loaded, settings = load_unet(tmp_path / "unet.safetensors")
    images = torch.rand(2, 1, 16, 16)
    assert settings == SMALL and not loaded.training
    assert torch.equal(loaded(images), network(images))


def test_a_file_that_is_no_unet_is_refused(tmp_path):
    path = tmp_path / "unet.safetensors"
    with pytest.raises(UNetError, match=r"unet\.safetensors"):
        load_unet(path)
    path.write_bytes(b"cut short")
    with pytest.raises(UNetError, match="no U-Net"):
        load_unet(path)
    save_file({"weight": torch.zeros(1)}, str(path))
    with pytest.raises(UNetError, match="no U-Net"):
        load_unet(path)


def test_sizes_and_levels_that_do_not_fit_are_refused():
    require_size(96, 64, UNetSettings())
    with pytest.raises(UNetError, match="multiples of 16"):
        require_size(96, 100, UNetSettings())
