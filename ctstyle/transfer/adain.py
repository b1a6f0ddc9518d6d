"""Adaptive instance normalisation (Huang and Belongie 2017): the content's maps with the style's channel statistics."""

import torch
from torch import Tensor

VARIANCE_GUARD = 1e-5
"""Added to the variance under the root, so that the gradient of a constant channel is finite."""


def channel_statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation `[B, C]` of feature maps `[B, C, H, W]`, per sample and channel.

    The deviation is sqrt(var + 1e-5): CT air makes constant channels common, and the gradient of a bare root is
    infinite there.
    """
    mean = maps.mean(dim=(2, 3))
    variance = maps.var(dim=(2, 3), correction=0)
    return mean, torch.sqrt(variance + VARIANCE_GUARD)


def adain(content: Tensor, style: Tensor) -> Tensor:
    """s(Y) (E(X) - m(X)) / s(X) + m(Y) for maps `[B, C, H, W]` (method.md, 3; sizes of the two may differ)."""
    return restyle(content, *channel_statistics(style))


def restyle(content: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """`content` `[B, C, H, W]` with the channel mean and deviation `[B, C]` given; AdaIN where only statistics are."""
    own_mean, own_deviation = channel_statistics(content)
    normalised = (content - own_mean[..., None, None]) / own_deviation[..., None, None]
    return normalised * deviation[..., None, None] + mean[..., None, None]
