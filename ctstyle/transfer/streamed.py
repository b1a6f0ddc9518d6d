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

from ctstyle.study.comparison import NORM_GUARD

BLOCK_ROWS = 256, 512
"""Fewest and most rows of one block on the CPU; fewer make the products slow."""
BLOCK_BYTES = 1 << 24
"""Largest block on the CPU that holds more than the fewest rows."""
PART_BYTES = 1 << 19
"""Largest piece of a block on the CPU that one operation after the other passes over: it fits a core's own cache."""
GROUP_ROWS = 8
"""Rows on the CPU among which a target's largest share is looked for when it is one of all rows so far."""
UNSHIFTED_BELOW = 32
"""Where the largest exponent of every row is smaller, softmax is taken without a shift to it."""
GATHER_BELOW = 0.9
"""Below this share of rows that hold a maximum, the second product is taken of these rows alone."""
CARD_BLOCK_BYTES = 1 << 28
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
        reach, rest = generated.new_zeros(2, count)
        nearest = torch.empty(count, dtype=torch.long, device=target.device)
        others = torch.zeros_like(generated) if generated.requires_grad else None
        size, part, group = (min(rows, count) for rows in _rows_at_once(target))
        columns = target.t().contiguous()
        # one memory for all blocks: a new one for each would cost more than its arithmetic
        memory = generated.new_zeros(math.ceil(size / group), group, wanted)
        block = _Block(memory, size, part)
        for start in range(0, count, size):
            rows = slice(start, min(start + size, count))
            if rows.stop - start < len(block.entries):
                block = _Block(memory, rows.stop - start, part)
            torch.mm(generated[rows], columns, out=block.entries)
            reach[rows], nearest[rows] = block.to_shares(bandwidth, eps)
            held = block.carry(start, best, winner)
            if others is not None:
                block.entries.scatter_(1, nearest[rows, None], 0)
                _weighed(block.entries, target, held, others[rows], rest[rows])
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


class _Block:
    """Rows that one product makes, in parts that fit a core's own cache and groups whose largest shares are kept.

    Views are cut once and operations are few: where its code has left the cache, one on a few numbers takes 5 to 40 us,
    as long as one on a part.
    """

    def __init__(self, memory: Tensor, count: int, part: int) -> None:
        """`count` rows at the beginning of `memory` `[G, rows, M]`, whose groups they fill but for the end of one."""
        group, columns = memory.shape[1:]
        self.groups = memory[: math.ceil(count / group)]
        self.entries = self.groups.view(-1, columns)[:count]
        self.peaks = memory.new_empty(len(self.groups), columns)
        self.groups.view(-1, columns)[count:] = 0  # below any share
        self.of_rows = memory.new_empty(3, count, 1)
        self.parts = [
            *zip(
                self.entries.split(part),
                *(numbers.split(part) for numbers in self.of_rows),
                self.groups.split(math.ceil(part / group)),
                self.peaks.split(math.ceil(part / group)),
            )
        ]

    def to_shares(self, bandwidth: float, eps: float) -> tuple[Tensor, Tensor]:
        """Turn the entries, cosines, into their softmax, and note the largest share of each target in each group.

        Returns the reach of each row and its nearest target.
        """
        cosine, (top, steepness, _) = self.entries, self.of_rows
        nearest = _place_of_maximum(cosine)
        torch.gather(cosine, 1, nearest, out=top)
        # nothing here waits for a card
        lowest, highest = (-math.inf, math.inf) if _on_card(cosine) else map(float, top.aminmax())
        if not highest <= 1:
            top.clamp_(max=1)
            cosine.clamp_(max=1)
        reach = 1 - top + eps
        torch.mul(reach, bandwidth, out=steepness).reciprocal_()
        steepest = 1 / (bandwidth * (1 - min(highest, 1) + eps))
        # a row's largest exponent is top / reach, which is largest for one of these two; places can take top below -1
        lowest_exponent = lowest / (bandwidth * (1 - lowest + eps))
        shifted = not (steepest < UNSHIFTED_BELOW and lowest_exponent > -UNSHIFTED_BELOW)
        least = math.log(torch.finfo(cosine.dtype).tiny) + 20
        steep = -2 * steepest < least and not _on_card(cosine)
        for weight, largest, factor, share, group, peak in self.parts:
            if shifted:
                weight.sub_(largest)
            weight.mul_(factor)
            if steep:
                # such weights are nothing beside the nearest's 1; as subnormal numbers they make each step times slower
                torch.threshold_(weight.clamp_(min=least).exp_(), math.exp(least + 1), 0)
            else:
                weight.exp_()
            torch.sum(weight, dim=1, keepdim=True, out=share)
            weight.mul_(share.reciprocal_())
            torch.amax(group, dim=1, out=peak)
        return reach.flatten(), nearest.flatten()

    def carry(self, start: int, best: Tensor, winner: Tensor) -> Tensor | None:
        """Bring the largest share of each target, and the row that holds it, up to date with this block's rows, which
        begin at `start`; in place. Returns which of its rows hold one now; None for all, or nearly."""
        groups, peaks = self.groups, self.peaks
        if _on_card(groups):  # one group; nothing here waits for the card
            torch.where(peaks[0] > best, groups[0].argmax(dim=0) + start, winner, out=winner)
            torch.maximum(best, peaks[0], out=best)
            return None
        highest = peaks.amax(dim=0)
        column = torch.nonzero(highest > best).flatten()
        torch.maximum(best, highest, out=best)
        # the place is looked for in one group
        group = peaks.index_select(1, column).max(dim=0).indices
        row = group * groups.shape[1] + groups[group, :, column].max(dim=1).indices
        winner[column] = start + row
        held = torch.zeros(len(self.entries), dtype=torch.bool).index_fill_(0, row, True).nonzero().flatten()
        return held if len(held) < GATHER_BELOW * len(self.entries) else None


def _place_of_maximum(rows: Tensor) -> Tensor:
    """The column of the largest entry of each row `[N, 1]`; on the CPU by numpy, whose search is 20 times as fast."""
    if _on_card(rows):
        return rows.argmax(dim=1, keepdim=True)
    return torch.from_numpy(rows.numpy().argmax(axis=1, keepdims=True))


def _weighed(share: Tensor, target: Tensor, rows: Tensor | None, out: Tensor, total: Tensor) -> None:
    """The sum of the shares of each row into `total`, and of the targets they weigh into `out`; only for `rows`, if
    given."""
    if rows is None:
        torch.mm(share, target, out=out)
        torch.sum(share, dim=1, out=total)
    else:
        held = share[rows]
        out[rows], total[rows] = held @ target, held.sum(dim=1)


def _rows_at_once(target: Tensor) -> tuple[int, int, int]:
    """Rows of a block, which one product makes; of its parts; and of the groups whose largest shares are kept."""
    of_row = len(target) * target.element_size()
    if _on_card(target):
        size = max(BLOCK_ROWS[0], CARD_BLOCK_BYTES // of_row)
        return size, size, size
    fewest, most = BLOCK_ROWS
    size = min(most, max(fewest, BLOCK_BYTES // of_row))
    return size, min(size, max(1, PART_BYTES // (GROUP_ROWS * of_row)) * GROUP_ROWS), GROUP_ROWS


def _on_card(tensor: Tensor) -> bool:
    return tensor.device.type != "cpu"
