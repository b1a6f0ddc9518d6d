"""What changes the grey values of every training batch anew, on the way into the U-Net or within it."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ctstyle.segment.residual import UNet


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
