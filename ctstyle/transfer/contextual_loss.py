"""The contextual loss (Mechrez et al. 2018): how alike two sets of feature vectors are, blind to place.

The textbook form keeps several N x M matrices for the backward pass. Here the rows pass in blocks, as in flash
attention. A block holds whole rows, so its nearest targets and its softmax come from one pass. The largest share of
each target is carried from block to block. A backward pass then needs no matrix, and memory is linear in the points.
"""

from typing import Any

import torch
from torch import Tensor

from ctstyle.errors import CTStyleError
from ctstyle.study.comparison import DISTANCE_GUARD, NORM_GUARD

BLOCK_ROWS = 256
"""Fewest rows of a block; with fewer the matrix products are slow."""
CARD_BLOCK_BYTES = 1 << 28
"""Size of a block on a graphics card."""
LEAST_EXPONENT = -60.0
"""A weight of exp(-60) is nothing beside the nearest's 1. Smaller ones would be subnormal numbers, which are slow."""


def contextual_loss(
    generated: Tensor, target: Tensor, *, bandwidth: float = 0.5, eps: float = DISTANCE_GUARD
) -> Tensor:
    """-log CX per sample (method.md, 3; Mechrez 2018, eq. 1 to 5).

    `generated` is `[B, C, N]` and `target` `[B, C, M]`: features g_i and x_j. Both are centred by the mean of the
    sample's targets and normalised along channels; d_ij = 1 - cos, clamped at 0; d~_ij = d_ij / (min_k d_ik + eps);
    w_ij = exp((1 - d~_ij) / bandwidth); CX_ij = w_ij / sum_k w_ik; CX = mean_j max_i CX_ij. The maximum is over the
    generated features for each target, so that total collapse costs ln M. Returns `[B]`; no sample sees another.

    The gradient flows to `generated` alone, and of rows that share a maximum to the first. There is no second
    derivative. Half precision is widened to float32, also under autocast. Raises CTStyleError where there is nothing
    to compare.
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
        if generated.dtype in (torch.float16, torch.bfloat16):  # eps needs more digits
            generated, target = generated.float(), target.float()
        pairs = zip(generated, target.detach())
        return -torch.log(torch.stack([_Similarity.apply(made, wanted, bandwidth, eps) for made, wanted in pairs]))


class _Similarity(torch.autograd.Function):
    """CX of features `[C, N]` and `[C, M]`, a scalar.

    Kept for the backward pass, for each row i with softmax P: the reach r_i = min_k d_ik + eps, its nearest target k,
    rest_i = sum over j != k of P_ij and others_i = sum over j != k of P_ij x_j. The nearest target stays out of both:
    where P_ik is nearly 1 their differences would cancel.
    """

    @staticmethod
    def forward(ctx: Any, generated: Tensor, target: Tensor, bandwidth: float, eps: float) -> Tensor:
        """The similarity, and what its gradient needs: O(N C + M C) numbers."""
        centre = target.mean(dim=1, keepdim=True)
        (made, factor), (wanted, _) = _unit_rows(generated, centre), _unit_rows(target, centre)  # [N, C], [M, C]
        count = len(made)
        best, winner = made.new_zeros(len(wanted)), torch.zeros(len(wanted), dtype=torch.long, device=made.device)
        nearest = torch.empty(count, dtype=torch.long, device=made.device)
        (reach, rest), others = made.new_empty(2, count), torch.empty_like(made)
        size = min(count, _rows_at_once(wanted))
        memory = made.new_empty(size, len(wanted))
        for start in range(0, count, size):
            rows = slice(start, min(start + size, count))
            block = torch.mm(made[rows], wanted.t(), out=memory[: rows.stop - start])  # cosines [R, M]
            nearest[rows] = _place_of_maximum(block)
            top = block.gather(1, nearest[rows, None]).clamp_(max=1)  # [R, 1]
            reach[rows] = 1 - top[:, 0] + eps
            # (d_ik - d_ij) / (h r_i): at most 0, and 0 for the nearest target, so the softmax needs no other shift
            block.sub_(top).mul_(1 / (bandwidth * reach[rows, None])).clamp_(LEAST_EXPONENT, 0).exp_()
            block.mul_(1 / block.sum(dim=1, keepdim=True))  # CX_ij
            peak = block.amax(dim=0)
            better = torch.nonzero(peak > best).flatten()
            winner[better] = block[:, better].argmax(dim=0) + start
            best = torch.maximum(best, peak)
            block.scatter_(1, nearest[rows, None], 0)
            torch.mm(block, wanted, out=others[rows])
            rest[rows] = block.sum(dim=1)
        ctx.save_for_backward(made, factor, wanted, best, winner, reach, nearest, rest, others)
        ctx.bandwidth = bandwidth
        return best.mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient `[C, N]` of the generated features; zero for rows that hold no maximum.

        With s_ij = (1 - d_ij / r_i) / h, dP_ij = P_ij (ds_ij - sum_l P_il ds_il), so row i's gradient is
        sum_j c_ij ds_ij with sum_j c_ij = 0. As ds_ij is (x_j - (d_ij / r_i) x_k) / (h r_i), x_k being the nearest
        target, it is (u_i + (g_i . u_i / r_i) x_k) / (h r_i) with u_i = sum_j c_ij (x_j - x_k).
        """
        made, factor, wanted, best, winner, reach, nearest, rest, others = ctx.saved_tensors
        pull = best * (upstream / len(wanted))  # [M]: dL/dP of each target's largest share, times that share
        is_nearest = nearest[winner] == torch.arange(len(wanted), device=wanted.device)
        apart = pull.masked_fill(is_nearest, 0)
        # the sums over the targets that each row won
        total, elsewhere = (torch.zeros_like(reach).index_add_(0, winner, values) for values in (pull, apart))
        direct = torch.zeros_like(made).index_add_(0, winner, apart[:, None] * wanted)  # u [N, C]
        direct.addcmul_(total[:, None], others, value=-1)
        near = wanted[nearest]
        direct.addcmul_((total * rest - elsewhere)[:, None], near)
        along = _row_products(made, direct)
        gradient = direct.addcmul_((along / reach)[:, None], near).div_((ctx.bandwidth * reach)[:, None])
        # of x / |x|: the part across each row, over the length
        gradient.addcmul_(_row_products(gradient, made)[:, None], made, value=-1).mul_(factor)
        return gradient.t(), None, None, None


def _row_products(first: Tensor, second: Tensor) -> Tensor:
    """The product of each row of `first` `[N, C]` with that of `second`, `[N]`, in full precision under autocast."""
    with torch.autocast(first.device.type, enabled=False):
        return torch.linalg.vecdot(first, second)


def _unit_rows(vectors: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors `[C, N]` less `centre` `[C, 1]` as rows `[N, C]` of unit length, and the factor `[N, 1]` of each.

    Rows shorter than NORM_GUARD become zero, and so does their factor.
    """
    rows = (vectors - centre).t().contiguous()
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    factor = torch.where(length > NORM_GUARD, 1 / length, torch.zeros_like(length))
    return rows.mul_(factor), factor


def _rows_at_once(target: Tensor) -> int:
    """Rows of a block of N x M numbers, for targets `[M, C]`."""
    of_card = 0 if target.device.type == "cpu" else CARD_BLOCK_BYTES
    return max(BLOCK_ROWS, of_card // (len(target) * target.element_size()))


def _place_of_maximum(block: Tensor) -> Tensor:
    """The column of the largest entry of each row `[R]`; numpy searches several times as fast as torch on a CPU."""
    if block.device.type == "cpu":
        return torch.from_numpy(block.numpy().argmax(axis=1))
    return block.argmax(dim=1)
