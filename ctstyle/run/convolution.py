"""3x3 convolutions that a library's general form makes slow on a CPU: to or from one channel, and of a doubled map.

Every training step of the style transfer goes through all three. Maps come padded already; each function is exact, is
held against the general form by a test, and says what it saves. Elsewhere than on a CPU the general form is the fast
one, and its caller takes it. All work on maps in either order in memory, channels first or last, and keep it.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of an output position within the square that one position of the small map becomes."""
_SUMS = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
"""Along one axis, for each phase: the weights of its two neighbours in the small map, as sums of the wide kernel's."""


def from_one_channel(slices: Tensor, weight: Tensor, bias: Tensor, *, channels_last: bool) -> Tensor:
    """`conv2d` of padded slices `[B, 1, H + 2, W + 2]` with `weight` `[C, 1, 3, 3]` and `bias` `[C]`: `[B, C, H, W]`.

    As one matrix product with the nine neighbours of each position; half the time, most of it in the gradient. One
    channel has no order in memory, so `channels_last` says that of the result.
    """
    count, (height, width) = len(slices), (size - 2 for size in slices.shape[2:])
    kernel, neighbours = weight.flatten(1).expand(count, -1, -1), F.unfold(slices, 3)
    if channels_last:
        maps = torch.baddbmm(bias.expand(count, 1, -1), neighbours.transpose(1, 2), kernel.transpose(1, 2))
        maps = maps.transpose(1, 2)
    else:
        maps = torch.baddbmm(bias[:, None].expand(count, -1, 1), kernel, neighbours)
    return maps.unflatten(2, (height, width))


def in_channels_last(maps: Tensor) -> bool:
    """Whether maps `[B, C, H, W]` lie in memory with their channels last."""
    return maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()


def order_of(maps: Tensor) -> torch.memory_format:
    """The order in memory of maps `[B, C, H, W]`."""
    return torch.channels_last if in_channels_last(maps) else torch.contiguous_format


def to_one_channel(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`conv2d` of padded maps `[B, C, H + 2, W + 2]` with `weight` `[1, C, 3, 3]` and `bias` `[1]`: `[B, 1, H, W]`.

    A third of the time of the general form, which fills its vectors with output channels. No second derivative.
    """
    return _ToOneChannel.apply(maps, weight, bias)


def doubled(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`conv2d` with `weight` `[O, C, 3, 3]` and `bias` `[O]` of maps that were doubled in size (nearest), then padded.

    `maps` `[B, C, H + 2, W + 2]` are the small ones, padded before the doubling; the result is `[B, O, 2H, 2W]`. In the
    doubled map a 3x3 neighbourhood holds only 2x2 positions of the small one, so each of the four phases of the output
    is a 2x2 convolution of that with sums of the weights: 16 in place of 36 products. No second derivative.
    """
    sums = _SUMS.to(weight.dtype)
    phases = torch.einsum("pti,qsj,ocij->pqocts", sums, sums, weight).flatten(0, 2)
    return _Doubled.apply(maps, phases, bias)


class _ToOneChannel(torch.autograd.Function):
    """Nine weighted sums over the channels at each position, shifted and added (`fold`)."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The sums; keeps the maps and the kernel, turned as `fold` adds."""
        kernel = weight.flip(2, 3).flatten(2)[0].t().contiguous()
        ctx.save_for_backward(maps, kernel)
        sums = torch.bmm(kernel.expand(len(maps), -1, -1), maps.flatten(2))
        height, width = (size - 2 for size in maps.shape[2:])
        return F.fold(sums, (height, width), 3, padding=2) + bias

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same products turned round."""
        maps, kernel = ctx.saved_tensors
        of_sums = F.unfold(upstream, 3, padding=2)
        back = kernel.expand(len(maps), -1, -1)
        if in_channels_last(maps):
            of_maps = torch.bmm(of_sums.transpose(1, 2), back).transpose(1, 2)
        else:
            of_maps = torch.bmm(back.transpose(1, 2), of_sums)
        of_kernel = torch.zeros_like(kernel)
        for gradient, channels in zip(of_sums, maps.flatten(2)):
            of_kernel.addmm_(gradient, channels.t())
        of_maps = of_maps.unflatten(2, maps.shape[2:])
        return of_maps, of_kernel.t().unflatten(1, (3, 3))[None].flip(2, 3), upstream.sum(dim=(0, 2, 3))


class _Doubled(torch.autograd.Function):
    """A 2x2 convolution with four phases of `O` channels, whose positions lie one apart, and their interleaving."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, phases: Tensor, bias: Tensor) -> Tensor:
        """`phases` is `[4 O, C, 2, 2]`."""
        ctx.save_for_backward(maps, phases)
        height, width = (size - 2 for size in maps.shape[2:])
        made = F.conv2d(maps, phases, bias.repeat(4)).unflatten(1, (4, len(bias)))
        size = (len(maps), len(bias), 2 * height, 2 * width)
        out = torch.empty(size, dtype=maps.dtype, device=maps.device, memory_format=order_of(maps))
        for phase, (row, column) in enumerate(PHASES):
            out[:, :, row::2, column::2] = made[:, phase, :, row : row + height, column : column + width]
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradient of each phase, and that of an ordinary convolution."""
        maps, phases = ctx.saved_tensors
        height, width = (size // 2 for size in upstream.shape[2:])
        size = (len(maps), 4 * upstream.shape[1], height + 1, width + 1)
        of_made = torch.empty(size, dtype=maps.dtype, device=maps.device, memory_format=order_of(maps)).zero_()
        of_phase = of_made.unflatten(1, (4, -1))
        for phase, (row, column) in enumerate(PHASES):
            of_phase[:, phase, :, row : row + height, column : column + width] = upstream[:, :, row::2, column::2]
        of_maps, of_phases, _ = torch.ops.aten.convolution_backward(
            of_made,
            maps,
            phases,
            None,
            stride=[1, 1],
            padding=[0, 0],
            dilation=[1, 1],
            transposed=False,
            output_padding=[0, 0],
            groups=1,
            output_mask=[ctx.needs_input_grad[0], ctx.needs_input_grad[1], False],
        )
        return of_maps, of_phases, upstream.sum(dim=(0, 2, 3))
