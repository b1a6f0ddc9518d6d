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

BLOCK_ROWS = 512
"""Rows of one block on the CPU: with 4,096 targets the block is 8 MB."""
PART_BYTES = 1 << 19
"""Largest piece of a block on the CPU that one operation after the other passes over: it fits a core's own cache."""
GATHER_BELOW = 0.9
"""Below this share of rows that hold a maximum, the second product is taken of these rows alone."""
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
        rows = vectors.transpose(-1, -2).clone(memory_format=torch.contiguous_format).sub_(centre.transpose(-1, -2))
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
        gradient = torch.addcmul(upstream, along, rows, value=-1).mul_(factor).transpose(-1, -2).contiguous()
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
        reach, rest = generated.new_empty(2, count)
        nearest = torch.empty(count, dtype=torch.long, device=target.device)
        others = torch.zeros_like(generated) if generated.requires_grad else None
        size, part = _block_rows(target), _part_rows(target)
        # one memory for all blocks: a new one for each would cost more than its arithmetic
        memory = generated.new_zeros(math.ceil(min(size, count) / part) * part, wanted)
        for start in range(0, count, size):
            rows = slice(start, min(start + size, count))
            block = memory[: rows.stop - start]
            torch.mm(generated[rows], target.t(), out=block)
            reach[rows], nearest[rows], rest[rows], peaks = _to_shares(block, bandwidth, eps, part)
            memory[len(block) :] = 0  # below any share
            _carry(memory[: len(peaks) * part], peaks, start, best, winner)
            if others is not None:
                block.scatter_(1, nearest[rows, None], 0)
                _weighed(block, target, _holders(winner, rows), others[rows])
        ctx.save_for_backward(generated, target, best, winner, reach, nearest, rest, others)
        ctx.bandwidth = bandwidth
        return best.mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the generated rows; zero for rows that hold no maximum.

        With s_ij = (1 - d_ij / r_i) / bandwidth, dP_ij = P_ij (ds_ij - sum_l P_il ds_il), so row i's gradient is
        sum_j c_ij ds_ij with sum_j c_ij = 0. As ds_ij is (x_j - (d_ij / r_i) x_k) / (bandwidth r_i), x_k being the
        nearest target, it is (u_i + (g_i . u_i / r_i) x_k) / (bandwidth r_i) with u_i = sum_j c_ij (x_j - x_k).
        """
        generated, target, best, winner, reach, nearest, rest, others = ctx.saved_tensors
        pull = best * (upstream / len(target))
        is_nearest = nearest[winner] == torch.arange(len(target), device=target.device)
        apart = pull.masked_fill(is_nearest, 0)
        # the sums over the targets that each row won
        total, elsewhere = (torch.zeros_like(reach).index_add_(0, winner, values) for values in (pull, apart))
        direct = torch.zeros_like(generated).index_add_(0, winner, apart[:, None] * target)
        near = target[nearest]
        direct.addcmul_(total[:, None], others, value=-1)
        direct.addcmul_((total * rest - elsewhere)[:, None], near)
        along = torch.linalg.vecdot(generated, direct)
        gradient = direct.addcmul_((along / reach)[:, None], near).div_((ctx.bandwidth * reach)[:, None])
        return gradient, None, None, None


def _to_shares(cosine: Tensor, bandwidth: float, eps: float, part: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn rows of cosines into their softmax, in place.

    Returns the reach of each row, its nearest target, the sum of the shares of all other targets, and the largest share
    of each target in each `part` rows.
    """
    on_cpu = cosine.device.type == "cpu"
    top, nearest = _row_maximum(cosine)
    if not on_cpu or bool((top > 1).any()):
        top.clamp_(max=1)
        cosine.clamp_(max=1)
    reach = 1 - top + eps
    steepness = 1 / (bandwidth * reach)
    least = math.log(torch.finfo(cosine.dtype).tiny) + 20
    steep = on_cpu and bool(((1 + top) * steepness).max() > -least)
    cosine.scatter_(1, nearest[:, None], -math.inf)
    rest = torch.empty_like(top)
    peaks = cosine.new_empty(math.ceil(len(cosine) / part), cosine.shape[1])
    rows = (tensor.split(part) for tensor in (cosine, top[:, None], steepness[:, None], nearest[:, None], rest))
    for weight, highest, factor, place, others, peak in zip(*rows, peaks, strict=True):
        weight.sub_(highest).mul_(factor)
        if steep:
            # such weights are nothing beside the nearest's 1; as subnormal numbers they make each step times slower
            torch.threshold_(weight.clamp_(min=least).exp_(), math.exp(least + 1), 0)
        else:
            weight.exp_()
        torch.sum(weight, dim=1, out=others)
        share = (others + 1).reciprocal_()  # the nearest target's weight is exp(0)
        weight.scatter_(1, place, 1).mul_(share[:, None])
        others.mul_(share)
        torch.amax(weight, dim=0, out=peak)
    return reach, nearest, rest, peaks


def _row_maximum(block: Tensor) -> tuple[Tensor, Tensor]:
    """The largest entry of each row and its column.

    On the CPU a maximum with its place costs many times one without; so the place is looked for in a short piece of
    the row alone.
    """
    count, columns = block.shape
    width = math.isqrt(columns)
    if block.device.type == "cuda" or width < 8:
        return block.max(dim=1)
    pieces = columns // width
    whole = block[:, : pieces * width].unflatten(1, (pieces, width))
    top, piece = whole.amax(dim=2).max(dim=1)
    at = piece * width + whole[torch.arange(count), piece].max(dim=1).indices
    if pieces * width < columns:
        last, place = block[:, pieces * width :].max(dim=1)
        at = torch.where(last > top, pieces * width + place, at)
        top = torch.maximum(top, last)
    return top, at


def _carry(share: Tensor, peaks: Tensor, start: int, best: Tensor, winner: Tensor) -> None:
    """Bring the largest share of each target, and the row that holds it, up to date with a block; in place.

    `peaks` are the largest shares in each part of the block, all parts being of one length.
    """
    if share.device.type == "cuda":  # nothing here waits for the card
        row = share.argmax(dim=0)
        torch.where(peaks[0] > best, row + start, winner, out=winner)
        torch.maximum(best, peaks[0], out=best)
        return
    highest = peaks.amax(dim=0)
    column = torch.nonzero(highest > best).flatten()
    if len(column):  # as in a row, the place is looked for among a few
        part = len(share) // len(peaks)
        first = peaks.index_select(1, column).max(dim=0).indices * part
        place = share[first + torch.arange(part)[:, None], column].max(dim=0).indices
        winner[column] = start + first + place
    torch.maximum(best, highest, out=best)


def _holders(winner: Tensor, rows: slice) -> Tensor | None:
    """Which of these rows hold a target's largest share now, as numbers from 0; None for all, or nearly."""
    if winner.device.type == "cuda":  # nothing here waits for the card
        return None
    holds = torch.zeros(rows.stop - rows.start, dtype=torch.bool)
    holds[winner[winner >= rows.start] - rows.start] = True
    held = holds.nonzero().flatten()
    return held if len(held) < GATHER_BELOW * len(holds) else None


def _weighed(share: Tensor, target: Tensor, rows: Tensor | None, out: Tensor) -> None:
    """The mean of the targets that each row weighs, into `out`; only for `rows`, if given."""
    if rows is None:
        torch.mm(share, target, out=out)
    else:
        out[rows] = share[rows] @ target


def _block_rows(target: Tensor) -> int:
    if target.device.type == "cpu":
        return BLOCK_ROWS
    return max(BLOCK_ROWS, BLOCK_BYTES // (len(target) * target.element_size()))


def _part_rows(target: Tensor) -> int:
    if target.device.type == "cpu":
        return min(BLOCK_ROWS, max(4, PART_BYTES // (len(target) * target.element_size())))
    return _block_rows(target)
