"""The U-Net and its loss beside MONAI's, from the same seed and with the same numbers."""

import pytest
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet as MonaiUNet
from monai.transforms import AdjustContrast

from ctstyle.segment.loss import dice_ce_loss
from ctstyle.segment.online import gamma
from ctstyle.segment.unet import build_unet
from ctstyle.study.analysis import UNetSettings

SHAPES = [
    UNetSettings(),
    UNetSettings(channels=(4, 8, 16), strides=(2, 2), residual_units=1, norm="instance"),
    UNetSettings(channels=(4, 6, 6, 8), strides=(2, 1, 2), residual_units=3, dropout=0.3),
    UNetSettings(channels=(3, 5), strides=(2,)),
]


def monai(settings, seed):
    """MONAI's network of these settings, drawn from `seed`."""
    torch.manual_seed(seed)
    return MonaiUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=2,
        channels=settings.channels,
        strides=settings.strides,
        num_res_units=settings.residual_units,
        norm=None if settings.norm == "none" else settings.norm,
        dropout=settings.dropout,
    )


@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_one_seed_gives_monais_network(settings):
    ours, theirs = build_unet(settings, seed=4), monai(settings, 4)
    count = sum(value.numel() for value in theirs.parameters())
    assert sum(value.numel() for value in ours.parameters()) == count
    images = torch.rand(3, 1, 32, 48)
    outputs, gradients = [], []
    for network in (ours, theirs):
        torch.manual_seed(9)  # dropout draws
        logits = network.train()(images)
        logits.square().mean().backward()
        outputs.append(logits.detach())
        gradients.append(torch.stack([value.grad.norm() for value in network.parameters()]).norm())
    assert outputs[0].shape == (3, 2, 32, 48)
    assert torch.equal(outputs[0], outputs[1])
    assert gradients[0] == pytest.approx(float(gradients[1]), rel=1e-5)


@pytest.mark.parametrize("foreground", [0.0, 0.1, 1.0])
def test_the_loss_and_its_gradient_are_monais(foreground):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 2, 16, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = (torch.rand(4, 1, 16, 16, generator=generator) < foreground).long()
    criterion = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    ours, theirs = dice_ce_loss(logits, labels), criterion(logits, labels)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    found, expected = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (ours, theirs))
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("inverted", [False, True])
def test_gamma_is_monais(inverted):
    image = torch.rand(24, 24, generator=torch.Generator().manual_seed(2)).numpy()
    expected = AdjustContrast(0.8, invert_image=inverted, retain_stats=True)(image)
    assert gamma(image, 0.8, inverted=inverted) == pytest.approx(expected.numpy(), abs=1e-6)
