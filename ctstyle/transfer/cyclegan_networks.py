"""The networks of CycleGAN (Zhu et al. 2017, appendix 7.2): ResNet generators and PatchGAN discriminators."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.errors import CTStyleError
from ctstyle.study.networks import DiscriminatorSettings, GeneratorSettings

DEVIATION = 0.02
"""Of the normal distribution that all convolutions are drawn from (the reference)."""


class ResNetGenerator(nn.Module):
    """Maps slices `[B, in_channels, H, W]` in [0, 1] to `[B, out_channels, H, W]` in [0, 1]; H and W multiples of 4.

    c7s1-k, d2k, d4k, R4k ..., u2k, uk, c7s1-1 with reflection padding, instance norm and ReLU, tanh at the end. On the
    way up the maps are doubled (nearest) and convolved in place of the reference's transposed convolution, with as many
    parameters: in a short training that draws a checkerboard (Odena et al. 2016).
    """

    def __init__(self, settings: GeneratorSettings, *, in_channels: int = 1, out_channels: int = 1):
        super().__init__()
        self.settings, width = settings, settings.channels
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, width, 7), *_normed(width)]
        for k in (width, 2 * width):
            layers += [nn.Conv2d(k, 2 * k, 3, stride=2, padding=1), *_normed(2 * k)]
        layers += [_Block(4 * width) for _ in range(settings.blocks)]
        for k in (4 * width, 2 * width):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(k, k // 2, 3, padding=1), *_normed(k // 2)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, slices: Tensor) -> Tensor:
        """The transformed slices; raises CTStyleError for sides that cannot be halved twice."""
        if slices.shape[2] % 4 or slices.shape[3] % 4 or min(slices.shape[2:]) < 8:
            raise CTStyleError(
                "slices of this size cannot be halved twice and doubled again",
                where="CycleGAN",
                found=f"{slices.shape[2]} x {slices.shape[3]} px",
                expected="multiples of 4, at least 8",
            )
        return (self.layers(2 * slices - 1) + 1) / 2


class PatchDiscriminator(nn.Module):
    """One number for each patch of slices `[B, in_channels, H, W]`: near 1 for real, near 0 for generated ones.

    4x4 convolutions with leaky ReLU 0.2 (`layers` of stride 2, doubling the channels up to eightfold, then two of
    stride 1), instance norm in all but the first and the last (PatchGAN, Isola et al. 2017).
    """

    def __init__(self, settings: DiscriminatorSettings, *, in_channels: int = 1):
        super().__init__()
        widths = [settings.channels * min(2**n, 8) for n in range(settings.layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for n, (k, wider) in enumerate(pairwise(widths), start=1):
            stride = 2 if n < settings.layers else 1
            layers += [nn.Conv2d(k, wider, 4, stride=stride, padding=1), nn.InstanceNorm2d(wider), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, slices: Tensor) -> Tensor:
        """Scores `[B, 1, h, w]`, not bounded."""
        return self.layers(2 * slices - 1)


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Fill a network anew, in place: normal weights with DEVIATION, biases zero (the reference).

    The numbers are the CPU's, whatever the network's device.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(DEVIATION * torch.randn(module.weight.shape, generator=generator))
                module.bias.zero_()


def adversarial_loss(scores: Tensor, real: bool) -> Tensor:
    """Least-squares loss of a discriminator's scores (Mao et al. 2017): mean of (score - 1)^2, or of score^2."""
    return F.mse_loss(scores, torch.full_like(scores, float(real)))


class _Block(nn.Module):
    """x + conv(relu(conv(x))), reflection padding, instance norm after both convolutions."""

    def __init__(self, width: int):
        super().__init__()
        first = (nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), *_normed(width))
        self.layers = nn.Sequential(*first, nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        return maps + self.layers(maps)


def _normed(width: int) -> tuple[nn.Module, ...]:
    return nn.InstanceNorm2d(width), nn.ReLU()
