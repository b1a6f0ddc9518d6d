"""The cascaded refinement network (Chen and Koltun 2017), the generator of contextual transformation (Mechrez 2018)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctstyle.errors import CTStyleError
from ctstyle.study.comparison import module_sizes
from ctstyle.study.networks import CRNSettings


class CRN(nn.Module):
    """Maps a slice `[B, in_channels, H, W]` in [0, 1] to `[B, out_channels, H, W]`, linear at the end.

    Each module takes the slice averaged down to its size beside the features of the module before, doubled
    bilinearly, and applies two 3x3 convolutions, each with layer norm over (C, H, W) of a sample and leaky ReLU 0.2. A
    1x1 convolution makes the slice. A network is built for one size, `size_px` (height, width). At the reference's
    scale (512 and 256 channels, 256 px, RGB) it has 24.3 M parameters.
    """

    def __init__(self, settings: CRNSettings, *, size_px: tuple[int, int], in_channels: int = 1, out_channels: int = 1):
        super().__init__()
        self.settings, self.size_px = settings, tuple(size_px)
        self.sizes = module_sizes(self.size_px, settings.smallest_px)
        stages, width = [], 0
        for size in self.sizes:
            channels = settings.channels if min(size) < settings.fine_from_px else settings.fine_channels
            stages.append(
                nn.Sequential(*_convolution(in_channels + width, channels), *_convolution(channels, channels))
            )
            width = channels
        self.stages = nn.ModuleList(stages)
        self.to_slice = nn.Conv2d(width, out_channels, 1)

    def forward(self, slices: Tensor) -> Tensor:
        """The transformed slices, not clamped; raises CTStyleError for slices of another size."""
        if tuple(slices.shape[2:]) != self.size_px:
            raise CTStyleError(
                "this network was built for slices of another size",
                where="contextual transformation",
                found=f"{slices.shape[2]} x {slices.shape[3]} px",
                expected=f"{self.size_px[0]} x {self.size_px[1]} px",
                fix="Train it again for this size, or cut the slices as those of its training.",
            )
        features = None
        for stage, size in zip(self.stages, self.sizes):
            reduced = F.interpolate(slices, size=size, mode="area")
            if features is not None:
                doubled = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
                reduced = torch.cat([reduced, doubled.to(reduced.dtype)], dim=1)
            features = stage(reduced)
        return self.to_slice(features)


def _convolution(channels_in: int, channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels_in, channels, 3, padding=1), nn.GroupNorm(1, channels), nn.LeakyReLU(0.2)
