"""The contextual loss (Mechrez et al. 2018): how alike two sets of feature vectors are, blind to place."""

from typing import Any

import torch
from torch import Tensor

from ctstyle.errors import CTStyleError
from ctstyle.study.comparison import DISTANCE_GUARD
from ctstyle.transfer.streamed import contextual_similarity, unit_rows

STREAM_FROM = 512
"""From so many points on the similarity is streamed in blocks of rows; below, the dense matrices are as fast."""


def contextual_loss(
    generated: Tensor,
    target: Tensor,
    *,
    bandwidth: float = 0.5,
    eps: float = DISTANCE_GUARD,
    generated_xy: Tensor | None = None,
    target_xy: Tensor | None = None,
    spatial_weight: float = 0.0,
) -> Tensor:
    """-log CX per sample (method.md, 3; Mechrez 2018, eq. 1 to 5).

    `generated` is `[B, C, N]` and `target` `[B, C, M]`: features g_i and x_j. Both are centred by the mean of the
    sample's targets and normalised along channels; d_ij = 1 - cos, clamped at 0; d~_ij = d_ij / (min_k d_ik + eps);
    w_ij = exp((1 - d~_ij) / bandwidth); CX_ij = w_ij / sum_k w_ik; CX = mean_j max_i CX_ij. The maximum is over the
    generated features for each target, so that total collapse costs ln M. Returns `[B]`; no sample sees another.

    With `spatial_weight` above 0 the distance is d_ij + spatial_weight * |p_i - p_j|^2, p in [0, 1] across the image,
    `[2, N]` and `[2, M]` (CoBi; Zhang et al. 2019): features then look for their like near their own place.

    From `STREAM_FROM` points on no N x M matrix is kept (`streamed`); a target that needs a gradient takes the dense
    form. Half precision is widened to float32, also under autocast. Raises CTStyleError where there is nothing to
    compare.
    """
    if not generated.shape[2] or not target.shape[2]:
        raise CTStyleError(
            "the contextual loss has nothing to compare",
            where="points of a feature map",
            found=f"{generated.shape[2]} generated and {target.shape[2]} targets",
            expected="at least one of each",
            fix="Leave out slices whose body holds no feature position, or take a tap of a smaller stride.",
        )
    with torch.autocast(generated.device.type, enabled=False):
        if generated.dtype in (torch.float16, torch.bfloat16):  # eps does not stand fewer digits
            generated, target = generated.float(), target.float()
        mean = target.mean(dim=2, keepdim=True)
        if max(generated.shape[2], target.shape[2]) < STREAM_FROM or target.requires_grad:
            apart = None
            if spatial_weight > 0:
                apart = spatial_weight * (generated_xy[:, :, None] - target_xy[:, None, :]).square().sum(dim=0)
            made, wanted = (unit_rows(vectors, mean) for vectors in (generated, target))
            similarity = _DenseSimilarity.apply(made, wanted, apart, bandwidth, eps)
        else:
            similarities = []
            for pair in zip(generated, target, mean):
                made, wanted = (unit_rows(vectors, pair[2]) for vectors in pair[:2])
                if spatial_weight > 0:
                    made, wanted = _with_places(made, wanted, generated_xy, target_xy, spatial_weight)
                similarities.append(contextual_similarity(made, wanted, bandwidth=bandwidth, eps=eps))
            similarity = torch.stack(similarities)
        return -similarity.log()


class _DenseSimilarity(torch.autograd.Function):
    """CX per sample `[B]` of unit rows `[B, N, C]` and `[B, M, C]`; `apart` `[N, M]` is added to their distance.

    Written out, the backward pass makes half the matrices that autograd would.
    """

    @staticmethod
    def forward(ctx: Any, made: Tensor, wanted: Tensor, apart: Tensor | None, bandwidth: float, eps: float) -> Tensor:
        """The similarity; keeps the distances and their softmax."""
        distance = torch.baddbmm(made.new_ones(1), made, wanted.transpose(1, 2), alpha=-1).clamp_(min=0)
        if apart is not None:
            distance += apart
        least, nearest = distance.min(dim=2, keepdim=True)
        reach = least + eps
        # a softmax over the targets is w_ij / sum_k w_ik, without overflow
        share = torch.softmax(distance * (-1 / (bandwidth * reach)), dim=2)
        best, winner = share.max(dim=1, keepdim=True)
        ctx.save_for_backward(made, wanted, distance, nearest, reach, share, best, winner)
        ctx.bandwidth = bandwidth
        return best.mean(dim=(1, 2))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """c_ij is the gradient of the softmax's argument -d_ij / (r_i bandwidth); it reaches d_ij, and r_i by way of
        the nearest target."""
        made, wanted, distance, nearest, reach, share, best, winner = ctx.saved_tensors
        pull = best * (upstream / wanted.shape[1])[:, None, None]
        total = torch.zeros_like(reach).scatter_add_(1, winner.transpose(1, 2), pull.transpose(1, 2))
        slope = (share * -total).scatter_add_(1, winner, pull)
        through_reach = -torch.linalg.vecdot(slope, distance).unsqueeze(2) / reach
        slope = slope.scatter_add_(2, nearest, through_reach).mul_(1 / (ctx.bandwidth * reach))
        with torch.autocast(slope.device.type, enabled=False):
            of_made = torch.bmm(slope, wanted) if ctx.needs_input_grad[0] else None
            of_wanted = torch.bmm(slope.transpose(1, 2), made) if ctx.needs_input_grad[1] else None
        return of_made, of_wanted, None, None, None


def _with_places(
    made: Tensor, wanted: Tensor, made_xy: Tensor, wanted_xy: Tensor, weight: float
) -> tuple[Tensor, Tensor]:
    """Rows with four more channels each, whose product is -weight |p - p'|^2 = weight (2 p p' - p^2 - p'^2)."""
    here, there = (place.to(made.dtype).t() for place in (made_xy, wanted_xy))
    squares = [-weight * place.square().sum(dim=1, keepdim=True) for place in (here, there)]
    more = torch.cat([made, 2 * weight * here, squares[0], torch.ones_like(squares[0])], dim=1)
    return more, torch.cat([wanted, there, torch.ones_like(squares[1]), squares[1]], dim=1)
