"""The patient in a slice, without the air around, the table and the noise."""

import numpy as np
from scipy import ndimage

from ctstyle.slices.window import Window

TISSUE_FRACTION = 0.05
"""Tissue begins this far into the window, -200 HU of (-250, 750): above clipped air, below fat (-120 HU)."""
TISSUE_HU = -300.0
"""... but never below this, for windows that reach down to air."""
SMALLEST_PART = 0.1
"""A part is body if it has this share of the largest one: the heart between open lungs has it, a table top not."""


def body_mask(hu: np.ndarray, window: Window, *, opening_px: int = 2) -> np.ndarray:
    """The body, bool of the shape of `hu` (int16 HU `[..., H, W]`), slice by slice.

    Tissue above the threshold, opened by a disc of `opening_px` pixels (it cuts the table from the skin and removes
    noise); of what is left, the largest component, those of at least a tenth of its size, and everything they enclose
    (lung, bowel gas), grown back to the outline they had before the opening. Air that reaches the border of the slice
    is outside. Works for HU clipped to the window and for display exports laid onto it. A slice without tissue gives
    an empty mask.
    """
    slices = hu.reshape(-1, *hu.shape[-2:])
    threshold = max(window.low + TISSUE_FRACTION * (window.high - window.low), TISSUE_HU)
    disc = _disc(opening_px)
    return np.stack([_body(one > threshold, disc) for one in slices]).reshape(hu.shape)


def _body(tissue: np.ndarray, disc: np.ndarray) -> np.ndarray:
    # the border counts as tissue while opening, so that a body cut by the crop keeps its edge
    radius = len(disc) // 2
    padded = np.pad(tissue, 2 * radius, mode="edge")
    inner = (slice(2 * radius, -2 * radius),) * 2
    opened = _large_parts(ndimage.binary_opening(padded, disc)[inner])
    grown = ndimage.binary_dilation(opened, disc) & tissue
    return ndimage.binary_fill_holes(grown)


def _large_parts(mask: np.ndarray) -> np.ndarray:
    components, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return (sizes >= max(1, SMALLEST_PART * sizes.max()))[components]


def _disc(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius
