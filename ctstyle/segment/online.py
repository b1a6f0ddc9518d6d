"""Changes of the grey values of every training batch, by the name in an arm's entry (`arms.Arm.online`)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ctstyle.errors import CTStyleError
from ctstyle.segment.unet import levels
from ctstyle.study.analysis import Change, ConvolutionSettings, IntensitySettings, MixStyleSettings
from ctstyle.study.settings import build, section


@section
class Online:
    """Such a change; this one changes nothing. The others are sections of the config that know how to act.

    An online change adds no slices: it comes on top of whatever pools an arm has, after the geometry, and never at
    validation or test.
    """

    def images(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """The images of a batch (float32 `[B, 1, H, W]` in [0, 1]), changed with what is drawn from `rng`."""
        return images

    def within(self, network: nn.Module) -> AbstractContextManager:
        """A context in which `network` changes its own maps while it is in training mode."""
        return nullcontext()


EPSILON = 1e-5


@section
class RandomConvolutions(ConvolutionSettings, Online):
    """The arm `convolution`.

    GIN's reference implementation standardised images over a data set. Here each slice is standardised before, and
    gets its mean and deviation back after. As there, nothing is clipped: a random network has no range, and clipping
    would flatten inverted contrasts.
    """

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


@section
class Intensity(IntensitySettings, Online):
    """The arm `intensity`: the changes in the order of the section; each slice of a batch draws its own.

    The unit of `noise` is the slice's own deviation (nnU-Net's images have deviation 1, ours lie in [0, 1]). Blur is
    drawn per axis, sampling is nearest down and linear up, `contrast` stays within the slice's range, and gamma keeps
    mean and deviation. What leaves [0, 1] is clipped, since no test slice does.
    """

    def images(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Every slice on its own; the result is float32 `[B, 1, H, W]` in [0, 1]."""
        changes, changed = self._changes(rng), []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))  # the changes draw noise, and whether they act, from torch
            for image in images.clone():  # [1, H, W], changed in place
                for change in changes:
                    image = change(image=image)["image"]
                changed.append(image)
        return torch.stack(changed).clamp(0, 1)

    def _changes(self, rng: np.random.Generator) -> list[Callable[..., dict[str, Tensor]]]:
        """nnU-Net's own transforms (batchgeneratorsv2), whose strengths are drawn from `rng`."""
        from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
        from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
        from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
        from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
        from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
        from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
        from batchgeneratorsv2.transforms.utils.random import RandomTransform

        def uniform(change: Change) -> Callable[..., float]:
            return lambda *_, **__: rng.uniform(*change.range)

        def factors(change: Change) -> Callable[..., float]:
            return lambda *_, **__: factor(change.range, rng)

        def noise(image: Tensor, **_: Any) -> float:
            return rng.uniform(*self.noise.range) * float(image.std())

        channel = {"synchronize_channels": False, "p_per_channel": 1.0}
        gamma = {**channel, "p_retain_stats": 1.0}
        chain = (
            (self.noise, GaussianNoiseTransform(noise, **channel)),
            (self.blur, GaussianBlurTransform(uniform(self.blur), synchronize_axes=False, **channel)),
            (self.brightness, MultiplicativeBrightnessTransform(factors(self.brightness), False)),
            (self.contrast, ContrastTransform(factors(self.contrast), preserve_range=True, **channel)),
            (
                self.low_resolution,
                SimulateLowResolutionTransform(
                    uniform(self.low_resolution), synchronize_axes=True, ignore_axes=None, **channel
                ),
            ),
            (self.inverted_gamma, GammaTransform(factors(self.inverted_gamma), p_invert_image=1.0, **gamma)),
            (self.gamma, GammaTransform(factors(self.gamma), p_invert_image=0.0, **gamma)),
        )
        return [RandomTransform(transform, change.probability) for change, transform in chain]


def factor(limits: tuple[float, float], rng: np.random.Generator) -> float:
    """A number of `limits`, below and above 1 with the same probability where they hold both (nnU-Net's BGContrast)."""
    low, high = limits
    if rng.random() < 0.5 and low < 1:
        return float(rng.uniform(low, min(1.0, high)))
    return float(rng.uniform(max(low, 1.0), high) if high > 1 else rng.uniform(low, high))


MIXSTYLE_EPSILON = 1e-6


@section
class MixStyle(MixStyleSettings, Online):
    """The arm `mixstyle`, after the first `levels` of the U-Net's way down.

    The share of a slice's own statistics is Beta(`alpha`, `alpha`): mostly its own or its mate's, seldom between. The
    draws come from torch's global state, which `fit` seeds for every step, so a resumed training draws the same.
    Where `accumulate` runs a batch in parts, mates are of one part.
    """

    @contextmanager
    def within(self, network: nn.Module) -> Iterator[None]:
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


def first_levels(network: nn.Module, count: int) -> list[nn.Module]:
    """The modules of the first `count` levels of the way down; raises CTStyleError where there are fewer."""
    above = [down for down, up in levels(network) if up is not None]
    if len(above) < count:
        raise CTStyleError(
            "the U-Net has too few levels",
            where="segment: mixstyle: levels",
            found=f"{len(above)} levels above the lowest",
            expected=f"at least {count}",
            fix="Lower `levels`, or give the U-Net more `channels`.",
        )
    return above[:count]


ONLINE: dict[str, type[Online]] = {
    "": Online,
    "intensity": Intensity,
    "convolution": RandomConvolutions,
    "mixstyle": MixStyle,
}


def online_change(name: str, section: Mapping[str, Any]) -> Online:
    """The change of an arm, from the config section that bears its name."""
    return build(ONLINE[name], section)
