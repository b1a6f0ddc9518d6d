"""The U-Net of every arm: its settings, its file, and its masks of slices."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ctstyle.errors import CTStyleError
from ctstyle.run.tensors import Kind, filled
from ctstyle.slices.window import Window
from ctstyle.study.analysis import UNETS, UNetSettings
from ctstyle.study.settings import build

CLASSES = 2


class UNetError(CTStyleError):
    """A U-Net that cannot be built, read or applied to slices of this size."""


_FILE = Kind("U-Net", UNetError, "the rule train_unet")


def build_unet(settings: UNetSettings, *, seed: int) -> nn.Module:
    """A new U-Net of the settings' variant: float32 `[B, 1, H, W]` in [0, 1] to logits `[B, 2, H, W]`.

    The classes are background and vertebra. The first weights come from `seed` alone and the caller's random state is
    left as it was.
    """
    from monai.networks.nets.unet import UNet  # here, as its import takes longer than torch's

    variant = UNETS[settings.variant]
    values = asdict(settings) | {"norm": None if settings.norm == "none" else settings.norm}
    chosen = {name: values[key] for name, key in variant.keys.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(spatial_dims=2, in_channels=1, out_channels=CLASSES, **chosen, **variant.fixed)


def levels(network: nn.Module) -> Iterator[tuple[nn.Module, nn.Module | None]]:
    """The way down and the way up of each level of a U-Net, from the top; the lowest has no way up."""
    block = network.model
    while isinstance(block, nn.Sequential):
        down, below, up = block
        yield down, up
        block = below.submodule
    yield block, None


def require_size(height: int, width: int, settings: UNetSettings) -> None:
    """Raise UNetError where slices `height` x `width` do not fit the levels."""
    if height % settings.multiple or width % settings.multiple:
        raise UNetError(
            "slices of this size do not fit the levels of the U-Net",
            where="slices: size_px",
            found=f"{height} x {width}",
            expected=f"multiples of {settings.multiple}",
            fix="Change `slices: size_px`, or take a U-Net with fewer levels (`segment: unet`).",
        )


def save_unet(network: nn.Module, settings: UNetSettings, path: Path) -> None:
    """Write the weights as safetensors; the settings stand in its metadata, so the file alone rebuilds the network."""
    _FILE.save(path, network.state_dict(), asdict(settings))


def load_unet(path: Path) -> tuple[nn.Module, UNetSettings]:
    """The network (on the CPU, in evaluation mode) and the settings from a file of `save_unet`; raises UNetError."""
    with _FILE.reading(path):
        tensors, about = _FILE.load(path)
        settings = build(UNetSettings, about)
        return filled(partial(build_unet, settings, seed=0), tensors).eval(), settings


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
