"""The decoder: the mirrored first half of VGG19 (Huang and Belongie 2017), from a tap's maps back to a slice."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.errors import CTStyleError
from ctstyle.run.convolution import doubled, to_one_channel

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
        if maps.device.type == "cpu" and self.out_channels == 1:
            return to_one_channel(F.pad(maps, (1, 1, 1, 1), mode="reflect"), last.weight, last.bias)
        if maps.dtype == last.weight.dtype:
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
