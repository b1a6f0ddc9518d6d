"""The contextual similarity of two sets of vectors in memory that grows with their number, not its square.

The dense form keeps several N x M matrices for the backward pass. Here the rows pass in blocks: whole rows fit in one,
so its nearest target and its softmax come from a single pass, and the largest share of each target is carried along.
Only rows that hold a target's largest share get a gradient; what it needs of their softmax, the mean of the targets
that it weighs, is taken while the block is in the cache (as flash attention does), so the backward pass touches no
matrix at all.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ctstyle.transfer.guards import NORM_GUARD

BLOCK_ROWS = 256
"""Rows of one block on the CPU: with 4,096 targets the block is 4 MB."""
BLOCK_BYTES = 1 << 28
"""Largest block on a graphics card."""


def contextual_similarity(generated: Tensor, target: Tensor, *, bandwidth: float, eps: float) -> Tensor:
    """CX = mean over j of max over i of softmax_j((1 - d_ij / (min_k d_ik + eps)) / bandwidth), d_ij = 1 - g_i . x_j.

    `generated` `[N, C]` and `target` `[M, C]`, float32 or float64; products above 1 count as 1. Returns a
    scalar. The gradient flows to `generated` alone, and of rows that share a maximum to the first; there is no second
    derivative.
    """
    return _Similarity.apply(generated, target, bandwidth, eps)


def unit_rows(vectors: Tensor, centre: Tensor) -> Tensor:
    """Vectors `[..., C, N]`, less `centre` `[..., C, 1]`, as rows `[..., N, C]` of unit length; those below NORM_GUARD
    become zero, with a zero gradient.

    A chain of operations would pass over the vectors twice as often; there is no second derivative.
    """
    return _UnitRows.apply(vectors, centre)


class _UnitRows(torch.autograd.Function):
    """u = x / |x|, and dx = (du - (du . u) u) / |x|."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, centre: Tensor) -> Tensor:
        """The rows; they and one factor each are kept."""
        rows = (vectors - centre).transpose(-1, -2).contiguous()
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        factor = torch.where(length > NORM_GUARD, 1 / length, torch.zeros_like(length))
        rows.mul_(factor)
        ctx.save_for_backward(rows, factor)
        return rows

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The part of the gradient across each row, as columns again."""
        rows, factor = ctx.saved_tensors
        along = torch.linalg.vecdot(upstream, rows).unsqueeze(-1)
        gradient = torch.addcmul(upstream, along, rows, value=-1).mul_(factor).transpose(-1, -2)
        return gradient, -gradient.sum(dim=-1, keepdim=True) if ctx.needs_input_grad[1] else None


class _Similarity(torch.autograd.Function):
    """Per row i: reach r_i = min_k d_ik + eps, the nearest target k, q_i = sum over j != k of P_ij and
    o_i = sum over j != k of P_ij x_j, P being the softmax.

    The nearest target is kept out of both: where P_ik is nearly 1 their differences would cancel.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(ctx: Any, generated: Tensor, target: Tensor, bandwidth: float, eps: float) -> Tensor:
        """The similarity; keeps what a backward pass needs, O(N C + M)."""
        count, wanted = len(generated), len(target)
        best = generated.new_zeros(wanted)
        winner = torch.zeros(wanted, dtype=torch.long, device=target.device)
        reach = generated.new_empty(count)
        nearest = torch.empty(count, dtype=torch.long, device=target.device)
        kept = count if generated.requires_grad else 0
        rest, others = generated.new_empty(kept), generated.new_empty(kept, generated.shape[1])
        columns = target.t().contiguous()
        size = min(_block_rows(target), count)
        block = generated.new_empty(2, size, wanted)  # new memory for every block would cost more than its arithmetic
        for start in range(0, count, size):
            rows = slice(start, min(start + size, count))
            cosine, share = block[:, : rows.stop - start]
            torch.mm(generated[rows], columns, out=cosine)
            top, at = _row_maximum(cosine)
            if target.device.type == "cuda" or bool((top > 1).any()):
                top.clamp_(max=1)
                cosine.clamp_(max=1)
            reach[rows], nearest[rows] = 1 - top + eps, at
            cosine -= top[:, None]
            torch.softmax(cosine.mul_(1 / (bandwidth * reach[rows, None])), dim=1, out=share)
            _carry(share, start, best, winner)
            if generated.requires_grad:
                share.scatter_(1, at[:, None], 0)
                rest[rows] = share.sum(dim=1)
                torch.mm(share, target, out=others[rows])
        ctx.save_for_backward(generated, target, best, winner, reach, nearest, rest, others)
        ctx.bandwidth, ctx.eps = bandwidth, eps
        return best.mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the generated rows; zero for rows that hold no maximum.

        With s_ij = (1 - d_ij / r_i) / bandwidth, dP_ij = P_ij (ds_ij - sum_l P_il ds_il), where ds_ij is
        (x_j - (d_ij / r_i) x_k) / (bandwidth r_i) in the direction of g_i, x_k being the nearest target.
        """
        generated, target, best, winner, reach, nearest, rest, others = ctx.saved_tensors
        rows, group = torch.unique(winner, return_inverse=True)
        g, o, q, r = (values[rows] for values in (generated, others, rest, reach))
        near = target[nearest[rows]]

        def over_won(values: Tensor) -> Tensor:
            """The sum over the targets that each row won."""
            return values.new_zeros(len(rows), *values.shape[1:]).index_add_(0, group, values)

        pull = best * (upstream / len(target))
        is_nearest = nearest[winner] == torch.arange(len(target), device=target.device)
        apart = pull.masked_fill(is_nearest, 0)
        total, elsewhere = over_won(pull), over_won(apart)
        # the won targets, less what the softmax takes back for each
        direct = over_won(apart[:, None] * target) - total[:, None] * o + (total * q - elsewhere)[:, None] * near
        # distances beyond the nearest one, which the row's reach rescales
        nearest_distance = r - ctx.eps
        beyond = over_won(apart * (1 - (target * generated[winner]).sum(dim=1))) - elsewhere * nearest_distance
        beyond = beyond - total * (q * (1 - nearest_distance) - (g * o).sum(dim=1))
        gradient = torch.zeros_like(generated)
        gradient[rows] = (direct - (beyond / r)[:, None] * near) / (ctx.bandwidth * r)[:, None]
        return gradient, None, None, None


def _row_maximum(block: Tensor) -> tuple[Tensor, Tensor]:
    """The largest entry of each row and its column.

    On the CPU a maximum with its place costs many times one without; so the place is looked for in a short piece of
    the row alone.
    """
    columns = block.shape[1]
    width = math.isqrt(columns)
    if block.device.type == "cuda" or width < 8:
        return block.max(dim=1)
    pieces = columns // width
    top, piece = block[:, : pieces * width].unflatten(1, (pieces, width)).amax(dim=2).max(dim=1)
    inside = piece[:, None] * width + torch.arange(width)
    at = piece * width + block.gather(1, inside).argmax(dim=1)
    if pieces * width < columns:
        last, place = block[:, pieces * width :].max(dim=1)
        at = torch.where(last > top, pieces * width + place, at)
        top = torch.maximum(top, last)
    return top, at


def _carry(share: Tensor, start: int, best: Tensor, winner: Tensor) -> None:
    """Bring the largest share of each target, and the row that holds it, up to date with a block; in place."""
    if share.device.type == "cuda":  # nothing here waits for the card
        highest, row = share.max(dim=0)
        torch.where(highest > best, row + start, winner, out=winner)
        torch.maximum(best, highest, out=best)
        return
    highest = share.amax(dim=0)
    column = torch.nonzero(highest > best).flatten()
    if len(column):
        part = share if len(column) == len(best) else share.index_select(1, column)
        row, place = part.eq(highest[column]).nonzero(as_tuple=True)
        winner.scatter_reduce_(0, column[place], row + start, "amin", include_self=False)
    torch.maximum(best, highest, out=best)


def _block_rows(target: Tensor) -> int:
    if target.device.type == "cpu":
        return BLOCK_ROWS
    return max(BLOCK_ROWS, BLOCK_BYTES // (len(target) * target.element_size()))
