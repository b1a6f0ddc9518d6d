"""The decoder: the mirrored first half of VGG19 (Huang and Belongie 2017), from a tap's maps back to a slice."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.errors import CTStyleError

FUSED_FROM = 8
"""Positions a side from which doubling and convolution are one step."""

# Output channels of the convolutions, stage by stage; each stage but the first follows a doubling of the size.
_STAGES = {
    4: ((128,), (128, 64), (64,)),
    8: ((256,), (256, 256, 256, 128), (128, 64), (64,)),
    16: ((512,), (512, 512, 512, 256), (256, 256, 256, 128), (128, 64), (64,)),
}


class Decoder(nn.Module):
    """Maps `[B, channels, H/stride, W/stride]` to a slice `[B, out_channels, H, W]`, linear at the end.

    3x3 convolutions with reflection padding and ReLU, nearest up-sampling, no normalisation (it would undo the style).
    With 3 output channels it has 3,505,219 parameters at stride 8 (512 channels in) and 555,075 at stride 4 (256 in).
    Raises CTStyleError for a stride other than 4, 8 or 16.
    """

    def __init__(self, *, stride: int, channels: int, out_channels: int = 1):
        super().__init__()
        if stride not in _STAGES:
            raise CTStyleError("no decoder for this stride", where="stride", found=stride, expected="4 | 8 | 16")
        self.stride, self.channels, self.out_channels = stride, channels, out_channels
        layers: list[nn.Module] = []
        width = channels
        for number, stage in enumerate(_STAGES[stride]):
            if number > 0:
                layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
            for out in stage:
                layers += [nn.Conv2d(width, out, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
                width = out
        layers.append(nn.Conv2d(width, out_channels, 3, padding=1, padding_mode="reflect"))
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """Decode `maps`; the result is not clamped.

        The last convolution is in float32 also under autocast: bfloat16 has 8 digits, steps of 4 HU in bone.
        """
        layers = iter(self.layers[:-1])
        for layer in layers:
            maps = convolve_doubled(maps, next(layers)) if isinstance(layer, nn.Upsample) else layer(maps)
        last = self.layers[-1]
        if not torch.amp.is_autocast_available(maps.device.type):  # a trace on the meta device
            return last(maps)
        with torch.autocast(maps.device.type, enabled=False):
            return last(maps.to(last.weight.dtype))


def convolve_doubled(maps: Tensor, layer: nn.Conv2d) -> Tensor:
    """A 3x3 convolution with reflection padding of `maps` `[B, C, H, W]` doubled in size (nearest): `[B, out, 2H, 2W]`.

    On a CPU in one step, from 8 x 8 positions on (`convolution.doubled`); reflection of the doubled map is replication
    of the small one.
    """
    if maps.device.type != "cpu" or min(maps.shape[2:]) < FUSED_FROM:
        return layer(F.interpolate(maps, scale_factor=2.0, mode="nearest"))
    return doubled(F.pad(maps, (1, 1, 1, 1), mode="replicate"), layer.weight, layer.bias)


PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of an output position within the square that one position of the small map becomes."""
_SUMS = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
"""Along one axis, for each phase: the weights of its two neighbours in the small map, as sums of the wide kernel's."""


def order_of(maps: Tensor) -> torch.memory_format:
    """The order in memory of maps `[B, C, H, W]`: channels first or last."""
    last = maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def doubled(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`conv2d` with `weight` `[O, C, 3, 3]` and `bias` `[O]` of maps that were doubled in size (nearest), then padded.

    `maps` `[B, C, H + 2, W + 2]` are the small ones, padded before the doubling; the result is `[B, O, 2H, 2W]`. In the
    doubled map a 3x3 neighbourhood holds only 2x2 positions of the small one, so each of the four phases of the output
    is a 2x2 convolution of that with sums of the weights: 16 in place of 36 products. No second derivative.
    """
    sums = _SUMS.to(weight.dtype)
    phases = torch.einsum("pti,qsj,ocij->pqocts", sums, sums, weight).flatten(0, 2)
    return _Doubled.apply(maps, phases, bias)


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
