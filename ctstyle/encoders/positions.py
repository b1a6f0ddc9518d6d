"""Where in a feature map the body is."""

import torch.nn.functional as F
from torch import Tensor


def positions_in_body(body: Tensor, size: tuple[int, int]) -> Tensor:
    """Bool `[B, *size]`: the positions of a map whose pixels are body for at least a half.

    `body` is a bool `[B, H, W]` mask of the slices. A slice without body counts as body everywhere.
    """
    inside = F.adaptive_avg_pool2d(body.float()[:, None], size)[:, 0] >= 0.5
    return inside | ~inside.any(dim=(1, 2), keepdim=True)
