"""A trained U-Net applied to slices."""

import numpy as np
import torch
from torch import nn

from ctstyle.slices.window import Window


@torch.no_grad()
def predict(
    network: nn.Module,
    hu: np.ndarray,
    window: Window,
    *,
    batch: int = 32,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Vertebra masks (uint8 in {0, 1}, `[n, H, W]`) of slices `hu` (int16 `[n, H, W]`); `[0, H, W]` for none.

    The network is put into evaluation mode; each slice's result is independent of the others.
    """
    network.eval()
    result = np.zeros(hu.shape, dtype=np.uint8)
    for start in range(0, len(hu), batch):
        part = np.asarray(window.to_unit(hu[start : start + batch]), dtype=np.float32)
        images = torch.from_numpy(part)[:, None].to(device, memory_format=torch.channels_last)
        result[start : start + batch] = network(images).argmax(dim=1).byte().cpu().numpy()
    return result
