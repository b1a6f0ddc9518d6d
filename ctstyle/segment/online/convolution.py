"""Random convolutions: every slice through a shallow network of random weights, drawn anew for each batch.

GIN (Ouyang et al. 2022, "Causality-inspired single-source domain generalization for medical image segmentation"), which
makes several layers with a non-linearity out of RandConv (Xu et al. 2021).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ctstyle.errors import CTStyleError
from ctstyle.segment.online.base import Online

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
