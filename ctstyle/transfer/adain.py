"""Adaptive instance normalisation (Huang and Belongie 2017): the content's maps with the style's channel statistics.

Statistics are taken over the positions inside the body where a body mask is given. The share of air in a slice tells
how large the patient is and where the crop lies, not which grey scale was used, and air is the largest tissue: over the
whole slice a slim patient's style would arrive darker than a heavy one's.
"""

import torch
from torch import Tensor

from ctstyle.encoders.positions import positions_in_body
from ctstyle.transfer.guards import VARIANCE_GUARD

STATISTICS = ("body", "slice")
"""Where a model takes its channel statistics: inside the body masks, or over whole slices as the paper does."""


def channel_statistics(maps: Tensor, body: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation `[B, C]` of feature maps `[B, C, H, W]`, per sample and channel.

    Over the positions inside `body`, a bool `[B, height, width]` mask of the slices, or over all where it is None. The
    deviation is sqrt(var + 1e-5): CT air makes constant channels common, and the gradient of a bare root is infinite
    there.
    """
    if body is None:
        mean, variance = maps.mean(dim=(2, 3)), maps.var(dim=(2, 3), correction=0)
    else:
        inside = positions_in_body(body, maps.shape[2:])[:, None].to(maps.dtype)
        count = inside.sum(dim=(2, 3))
        mean = (maps * inside).sum(dim=(2, 3)) / count
        variance = ((maps - mean[..., None, None]).square() * inside).sum(dim=(2, 3)) / count
    return mean, torch.sqrt(variance + VARIANCE_GUARD)


def adain(
    content: Tensor, style: Tensor, *, content_body: Tensor | None = None, style_body: Tensor | None = None
) -> Tensor:
    """s(Y) (E(X) - m(X)) / s(X) + m(Y) for maps `[B, C, H, W]` (method.md, 3; sizes of the two may differ)."""
    return restyle(content, *channel_statistics(style, style_body), content_body)


def restyle(
    content: Tensor,
    mean: Tensor,
    deviation: Tensor,
    body: Tensor | None = None,
    *,
    own: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """`content` `[B, C, H, W]` with the channel mean and deviation `[B, C]` given; AdaIN where only statistics are.

    `own` are the statistics that the content has, where they are not those of its slices (of a whole volume, say).
    """
    own_mean, own_deviation = channel_statistics(content, body) if own is None else own
    normalised = (content - own_mean[..., None, None]) / own_deviation[..., None, None]
    return normalised * deviation[..., None, None] + mean[..., None, None]
