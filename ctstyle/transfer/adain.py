"""Adaptive instance normalisation (Huang and Belongie 2017): the content's maps with the style's channel statistics.

Statistics are taken over the positions inside the body where a body mask is given. The share of air in a slice tells
how large the patient is and where the crop lies, not which grey scale was used, and air is the largest tissue: over the
whole slice a slim patient's style would arrive darker than a heavy one's.
"""

from typing import Any

import torch
from torch import Tensor

from ctstyle.encoders.network import positions_in_body
from ctstyle.study.comparison import VARIANCE_GUARD


def channel_statistics(maps: Tensor, body: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation `[B, C]` of feature maps `[B, C, H, W]`, per sample and channel.

    Over the positions inside `body`, a bool `[B, height, width]` mask of the slices, or over all where it is None. The
    deviation is sqrt(var + 1e-5): CT air makes constant channels common, and the gradient of a bare root is infinite
    there.
    """
    inside = maps.new_ones(len(maps), *maps.shape[2:]) if body is None else positions_in_body(body, maps.shape[2:])
    mean, variance = _MeanAndVariance.apply(maps, inside.flatten(1).to(maps.dtype))
    return mean, torch.sqrt(variance + VARIANCE_GUARD)


class _MeanAndVariance(torch.autograd.Function):
    """Mean and population variance `[B, C]` of maps `[B, C, H, W]` at the positions where `inside` `[B, H W]` is 1.

    dL/dx = inside (dL/dm + 2 (x - m) dL/dv) / n. Written out, because a chain of operations passes over the maps, the
    largest of a training step, three times as often.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(ctx: Any, maps: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps the centred maps. A product rounds more than `mean` would; what that leaves, `rest`, is added."""
        ctx.size, ctx.count = maps.shape[2:], inside.sum(dim=1)[:, None]
        share = (inside / ctx.count)[:, :, None]
        mean = torch.bmm(maps.flatten(2), share)
        centred = (maps.flatten(2) - mean).mul_(inside[:, None])
        ctx.save_for_backward(centred, share)
        rest = torch.bmm(centred, share)[..., 0]
        variance = (torch.linalg.vecdot(centred, centred) / ctx.count - rest.square()).clamp_(min=0)
        return mean[..., 0] + rest, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx: Any, of_mean: Tensor, of_variance: Tensor) -> tuple[Tensor, None]:
        """The gradient of the maps."""
        centred, share = ctx.saved_tensors
        gradient = centred * (of_variance * (2 / ctx.count))[..., None]
        return gradient.addcmul_(of_mean[..., None], share.transpose(1, 2)).unflatten(2, ctx.size), None


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
