"""Mean activation of each tap, so that a loss weight means the same for every encoder (method.md, 4)."""

from collections.abc import Iterable

import numpy as np
import torch

from ctstyle.encoders.network import Encoder


@torch.no_grad()
def tap_scales(
    encoder: Encoder, slices: np.ndarray, taps: Iterable[str], *, batch: int = 8, at_most: int = 64
) -> dict[str, float]:
    """Mean activation of each tap over training slices.

    `slices` is float32 `[n, H, W]` in [0, 1], of training patients only; at most `at_most` of them, evenly spaced, are
    read. Returns `{tap: mean}`, at least 1e-6 so that a dead tap does not divide by zero.
    """
    names = tuple(taps)
    chosen = slices[np.unique(np.linspace(0, len(slices) - 1, min(at_most, len(slices))).round().astype(int))]
    device = encoder.mean.device
    sums = dict.fromkeys(names, 0.0)
    for start in range(0, len(chosen), batch):
        x = torch.from_numpy(np.ascontiguousarray(chosen[start : start + batch], dtype=np.float32))[:, None].to(device)
        for name, maps in encoder(x, names).items():
            sums[name] += float(maps.double().mean(dim=(1, 2, 3)).sum())
    return {name: max(total / len(chosen), 1e-6) for name, total in sums.items()}
