"""A U-Net of residual units (Ronneberger et al. 2015; Zhang et al. 2018; the form of MONAI's UNet), on torch alone.

MONAI's own is the reference it is tested against, weights and outputs; its import takes longer than that of torch and
would be paid by every U-Net of a study.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def convolution(inside: int, outside: int, *, stride: int, norm: bool, dropout: float, up: bool = False) -> nn.Module:
    """3x3 convolution (transposed where `up`), instance norm if asked for, dropout, PReLU with one slope."""
    if up:
        first = nn.ConvTranspose2d(inside, outside, 3, stride, padding=1, output_padding=stride - 1)
    else:
        first = nn.Conv2d(inside, outside, 3, stride, padding=1)
    return nn.Sequential(first, *([nn.InstanceNorm2d(outside)] if norm else []), nn.Dropout(dropout), nn.PReLU())


class ResidualUnit(nn.Module):
    """`units` convolutions with a short cut around them; the first takes the stride, and so does the short cut.

    With `bare` the last convolution has neither norm nor activation.
    """

    def __init__(self, inside: int, outside: int, *, stride: int, units: int, bare: bool = False, **how):
        super().__init__()
        steps = [
            convolution(inside if i == 0 else outside, outside, stride=stride if i == 0 else 1, **how)
            for i in range(units)
        ]
        if bare:
            steps[-1] = steps[-1][0]
        self.convolutions = nn.Sequential(*steps)
        if stride > 1:
            self.shortcut = nn.Conv2d(inside, outside, 3, stride, padding=1)
        elif inside != outside:
            self.shortcut = nn.Conv2d(inside, outside, 1)
        else:
            self.shortcut = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """`[B, inside, H, W]` to `[B, outside, H / stride, W / stride]`."""
        return self.convolutions(x) + self.shortcut(x)


class Level(nn.Module):
    """One level of the U-Net with all that lies below: down, what is below, and up from both side by side."""

    def __init__(self, down: nn.Module, below: nn.Module, up: nn.Module):
        super().__init__()
        self.down, self.below, self.up = down, below, up

    def forward(self, x: Tensor) -> Tensor:
        """Maps of this level's entry to maps of its exit, of the same size."""
        x = self.down(x)
        return self.up(torch.cat([x, self.below(x)], dim=1))


class UNet(nn.Module):
    """Float `[B, 1, H, W]` to logits `[B, classes, H, W]`; H and W are multiples of the product of `strides`.

    Level n has `channels[n]` maps, by `strides[n]` coarser than what enters it; the lowest does not stride. The weights
    are drawn from the lowest level to the top, as MONAI does, so that one seed gives both the same network.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        *,
        classes: int,
        units: int,
        norm: bool,
        dropout: float,
    ):
        super().__init__()
        how = {"norm": norm, "dropout": dropout}
        above = (1, *channels)
        block: nn.Module = ResidualUnit(channels[-2], channels[-1], stride=1, units=units, **how)
        for n in reversed(range(len(channels) - 1)):
            top = n == 0
            inside, outside = above[n], classes if top else above[n]
            below = channels[-1] if n == len(channels) - 2 else channels[n]
            down = ResidualUnit(inside, channels[n], stride=strides[n], units=units, **how)
            up = nn.Sequential(
                convolution(channels[n] + below, outside, stride=strides[n], up=True, **how),
                ResidualUnit(outside, outside, stride=1, units=1, bare=top, **how),
            )
            block = Level(down, block, up)
        self.top = block

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.top(x)

    def levels(self) -> Iterator[tuple[nn.Module, nn.Module | None]]:
        """The way down and the way up of each level, from the top; the lowest has no way up."""
        block = self.top
        while isinstance(block, Level):
            yield block.down, block.up
            block = block.below
        yield block, None
