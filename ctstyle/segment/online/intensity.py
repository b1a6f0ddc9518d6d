"""Intensity augmentation in the manner of nnU-Net v2: what a segmentation has for nothing against grey scales.

Order, probabilities and ranges are those of its default trainer (Isensee et al. 2021, `nnUNetTrainer` of version 2).
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from ctstyle.segment.online.base import Online


@dataclass(frozen=True)
class Change:
    """One change of a slice: its `probability`, and the `range` its strength is drawn from."""

    probability: float
    range: tuple[float, float]


@dataclass(frozen=True)
class IntensitySettings(Online):
    """The changes, in their order; each slice of a batch draws its own.

    `noise`: deviation of white noise, in units of the slice's own deviation (nnU-Net's images have deviation 1, ours
    lie in [0, 1]); `blur`: sigma of a Gaussian in pixels, drawn per axis; `brightness`: factor of the values;
    `contrast`: factor about the mean, kept within the slice's range; `low_resolution`: factor of the sampling (nearest
    down, linear up); `inverted_gamma`, `gamma`: exponent of the negative and of the slice itself, mean and deviation
    kept. Factors and exponents are below 1 in half of the cases, whatever the range. nnU-Net blurs and coarsens half of
    the channels that it chose; with one channel that is half the probability. What leaves [0, 1] is clipped, since no
    test slice does.
    """

    noise: Change = Change(0.1, (0.0, 0.1))
    blur: Change = Change(0.1, (0.5, 1.0))
    brightness: Change = Change(0.15, (0.75, 1.25))
    contrast: Change = Change(0.15, (0.75, 1.25))
    low_resolution: Change = Change(0.125, (0.5, 1.0))
    inverted_gamma: Change = Change(0.1, (0.7, 1.5))
    gamma: Change = Change(0.3, (0.7, 1.5))

    def images(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Every slice on its own; the result is float32 `[B, 1, H, W]` in [0, 1]."""
        changed = [self._slice(image, rng) for image in images[:, 0].numpy()]
        return torch.from_numpy(np.stack(changed)[:, None]).clamp(0, 1)

    def _slice(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One slice `[H, W]`."""
        if rng.random() < self.noise.probability:
            deviation = rng.uniform(*self.noise.range) * image.std()
            image = image + deviation * rng.standard_normal(image.shape, dtype=np.float32)
        if rng.random() < self.blur.probability:
            image = ndimage.gaussian_filter(image, rng.uniform(*self.blur.range, size=2))
        if rng.random() < self.brightness.probability:
            image = image * factor(self.brightness.range, rng)
        if rng.random() < self.contrast.probability:
            image = contrast(image, factor(self.contrast.range, rng))
        if rng.random() < self.low_resolution.probability:
            image = low_resolution(image, rng.uniform(*self.low_resolution.range))
        for change, inverted in ((self.inverted_gamma, True), (self.gamma, False)):
            if rng.random() < change.probability:
                image = gamma(image, factor(change.range, rng), inverted=inverted)
        return image.astype(np.float32, copy=False)


def factor(limits: tuple[float, float], rng: np.random.Generator) -> float:
    """A number of `limits`, below and above 1 with the same probability where they hold both (nnU-Net's BGContrast)."""
    low, high = limits
    if rng.random() < 0.5 and low < 1:
        return float(rng.uniform(low, min(1.0, high)))
    return float(rng.uniform(max(low, 1.0), high) if high > 1 else rng.uniform(low, high))


def contrast(image: np.ndarray, by: float) -> np.ndarray:
    """Values spread about their mean by a factor, and kept within the range the image had."""
    mean = image.mean()
    return np.clip(mean + by * (image - mean), image.min(), image.max())


def low_resolution(image: np.ndarray, scale: float) -> np.ndarray:
    """An image `[H, W]` as if it had been sampled `scale` times as finely: nearest down, linear up."""
    size = [max(1, round(scale * side)) for side in image.shape]
    coarse = functional.interpolate(torch.from_numpy(image)[None, None], size, mode="nearest-exact")
    return functional.interpolate(coarse, image.shape, mode="bilinear", align_corners=False)[0, 0].numpy()


def gamma(image: np.ndarray, exponent: float, *, inverted: bool) -> np.ndarray:
    """The power of the range-normalised image, or of its negative, with mean and deviation put back."""
    image = -image if inverted else image
    low, spread = image.min(), np.ptp(image)
    powered = ((image - low) / (spread + 1e-7)) ** exponent * spread
    restored = (powered - powered.mean()) / (powered.std() + 1e-8) * image.std() + image.mean()
    return -restored if inverted else restored
