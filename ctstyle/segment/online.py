"""Changes of the grey values of every training batch, by the name in an arm's entry (`arms.Arm.online`)."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from ctstyle.errors import CTStyleError
from ctstyle.segment.residual import UNet
from ctstyle.study.settings import build


@dataclass(frozen=True)
class Online:
    """The settings of such a change, and the change itself; this one changes nothing.

    An online change adds no slices: it comes on top of whatever pools an arm has, after the geometry, and never at
    validation or test.
    """

    def images(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """The images of a batch (float32 `[B, 1, H, W]` in [0, 1]), changed with what is drawn from `rng`."""
        return images

    def within(self, network: UNet) -> AbstractContextManager:
        """A context in which `network` changes its own maps while it is in training mode."""
        return nullcontext()


EPSILON = 1e-5


@dataclass(frozen=True)
class ConvolutionSettings(Online):
    """The random network: `layers` convolutions, `channels` between them, kernel sides drawn from `kernels` per layer.

    Defaults are those of GIN's reference implementation, which standardised images over a data set. Here each slice is
    standardised before, and gets its mean and deviation back after. As there, nothing is clipped: a random network
    has no range, and clipping would flatten inverted contrasts.
    """

    layers: int = 4
    channels: int = 2
    kernels: tuple[int, ...] = (1, 3)

    def __post_init__(self):
        if not self.kernels or any(side % 2 == 0 for side in self.kernels):
            raise CTStyleError(
                "kernels without a centre",
                where="segment: convolution: kernels",
                found=self.kernels,
                expected="odd sides in pixels, at least one",
            )

    def images(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Every slice through its own network, mixed with itself by a share drawn from [0, 1)."""
        mean, deviation = images.mean((1, 2, 3), keepdim=True), images.std((1, 2, 3), keepdim=True, correction=0)
        standard = (images - mean) / (deviation + EPSILON)
        made = random_network(standard, self, rng)
        share = torch.from_numpy(rng.random((len(images), 1, 1, 1), dtype=np.float32))
        return mix(standard, made, share) * (deviation + EPSILON) + mean


def random_network(images: Tensor, settings: ConvolutionSettings, rng: np.random.Generator) -> Tensor:
    """Images `[B, 1, H, W]` through a network of their own each; weights and shifts are standard normal.

    One convolution in groups does the whole batch. No leaky ReLU after the last layer.
    """
    count, _, height, width = images.shape
    widths = [1, *[settings.channels] * (settings.layers - 1), 1]
    maps = images.reshape(1, count, height, width)
    for layer, (before, after) in enumerate(pairwise(widths)):
        side = int(rng.choice(settings.kernels))
        kernel, shift = (
            torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
            for shape in ((count * after, before, side, side), (count * after,))
        )
        maps = functional.conv2d(maps, kernel, shift, padding=side // 2, groups=count)
        if layer + 1 < settings.layers:
            maps = functional.leaky_relu(maps)
    return maps.reshape(count, 1, height, width)


def mix(images: Tensor, made: Tensor, share: Tensor) -> Tensor:
    """`share` of the made images and the rest of the images, brought to the Frobenius norm that each image had."""
    mixed = share * made + (1 - share) * images
    norms = [torch.linalg.vector_norm(each, dim=(1, 2, 3), keepdim=True) for each in (images, mixed)]
    return mixed * norms[0] / (norms[1] + EPSILON)


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


MIXSTYLE_EPSILON = 1e-6


@dataclass(frozen=True)
class MixStyleSettings(Online):
    """Where and how often: after the first `levels` of the U-Net's way down, each with `probability` for a batch.

    The share of a slice's own statistics is Beta(`alpha`, `alpha`): mostly its own or its mate's, seldom between.

    The draws come from torch's global state, which `fit` seeds for every step, so a resumed training draws the same.
    The network's own file knows nothing of it. Where `accumulate` runs a batch in parts, mates are of one part.
    """

    probability: float = 0.5
    alpha: float = 0.1
    levels: int = 2

    @contextmanager
    def within(self, network: UNet) -> Iterator[None]:
        """The network with this change after its first levels, and afterwards as it was."""
        hooks = [level.register_forward_hook(self._hook) for level in first_levels(network, self.levels)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, level: nn.Module, _: tuple, maps: Tensor) -> Tensor:
        """What a level's maps become: themselves in evaluation, and where the lot says so."""
        if not level.training or torch.rand(()) >= self.probability:
            return maps
        mates = torch.randperm(len(maps))
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((len(maps), 1, 1, 1))
        return mix_statistics(maps, mates.to(maps.device), share.to(maps.device))


def mix_statistics(maps: Tensor, mates: Tensor, share: Tensor) -> Tensor:
    """Maps `[B, C, H, W]` with `share` (`[B, 1, 1, 1]`) of their own mean and deviation and the rest of their mates'.

    Statistics are per sample and channel, in float32, and no gradient flows through them.
    """
    values = maps.float()
    mean = values.mean((2, 3), keepdim=True).detach()
    deviation = (values.var((2, 3), keepdim=True) + MIXSTYLE_EPSILON).sqrt().detach()
    mixed_mean, mixed_deviation = (share * own + (1 - share) * own[mates] for own in (mean, deviation))
    return ((values - mean) / deviation * mixed_deviation + mixed_mean).to(maps.dtype)


def first_levels(network: UNet, count: int) -> list[nn.Module]:
    """The modules of the first `count` levels of the way down; raises CTStyleError where there are fewer."""
    levels = [down for down, up in network.levels() if up is not None]
    if len(levels) < count:
        raise CTStyleError(
            "the U-Net has too few levels",
            where="segment: mixstyle: levels",
            found=f"{len(levels)} levels above the lowest",
            expected=f"at least {count}",
            fix="Lower `levels`, or give the U-Net more `channels`.",
        )
    return levels[:count]


ONLINE: dict[str, type[Online]] = {
    "": Online,
    "intensity": IntensitySettings,
    "convolution": ConvolutionSettings,
    "mixstyle": MixStyleSettings,
}


def online_change(name: str, section: Mapping[str, Any]) -> Online:
    """The change of an arm, from the config section that bears its name."""
    return build(ONLINE[name], section)


__all__ = ["ONLINE", "ConvolutionSettings", "IntensitySettings", "MixStyleSettings", "Online", "online_change"]
