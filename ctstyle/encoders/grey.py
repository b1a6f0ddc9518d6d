"""The first convolution of a network for colour images, given grey slices."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.run.convolution import from_one_channel, in_channels_last


class GreyConv2d(nn.Conv2d):
    """A convolution of three normalised channels, computed from the one grey channel that all three repeat.

    Normalisation and sum over channels are linear, so they fold into one kernel and the bias:
    sum_c w_c (x - m_c) / s_c = (sum_c w_c / s_c) x - sum_c w_c m_c / s_c. Takes slices `[B, 1, H, W]` in [0, 1]. The
    weights keep their names and their three channels. Padding must be by reflection: zeros would stand for other grey
    values before and after the normalisation.
    """

    def __init__(self, convolution: nn.Conv2d, mean: Tensor, std: Tensor):
        super().__init__(
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,
            stride=convolution.stride,
            padding=convolution.padding,
            padding_mode=convolution.padding_mode,
            bias=convolution.bias is not None,
            device="meta",
        )
        self.weight, self.bias = convolution.weight, convolution.bias
        scaled = self.weight.detach().double() / std.reshape(1, 3, 1, 1)
        shift = -(scaled * mean.reshape(1, 3, 1, 1)).sum(dim=(1, 2, 3))
        if self.bias is not None:
            shift = shift + self.bias.detach()
        kind = self.weight.dtype
        self.register_buffer("grey_weight", scaled.sum(dim=1, keepdim=True).to(kind), persistent=False)
        self.register_buffer("grey_bias", shift.to(kind), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The maps of grey slices that were not normalised."""
        down, right = self.padding
        padded = F.pad(x, (right, right, down, down), mode="reflect")
        if self.kernel_size == (3, 3) and self.stride == (1, 1) and self.grey_weight.device.type == "cpu":
            last = in_channels_last(self.weight)
            return from_one_channel(padded, self.grey_weight, self.grey_bias, channels_last=last)
        return F.conv2d(padded, self.grey_weight, self.grey_bias, self.stride)


def fold_first_convolution(network: nn.Module, mean: Tensor, std: Tensor) -> bool:
    """Let `network` take grey slices; False, and nothing changed, where its first convolution pads with zeros."""
    path, first = next((path, module) for path, module in network.named_modules() if isinstance(module, nn.Conv2d))
    if first.padding_mode != "reflect" or first.groups != 1 or first.dilation != (1, 1):
        return False
    parent, _, child = path.rpartition(".")
    with torch.no_grad():
        setattr(network.get_submodule(parent), child, GreyConv2d(first, mean.double(), std.double()))
    return True
