"""The patient in a slice, without the air around, the table and the noise."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from ctstyle.slices.window import Window

TISSUE_FRACTION = 0.05
"""Tissue begins this far into the window, -200 HU of (-250, 750): above clipped air, below fat (-120 HU)."""
TISSUE_HU = -300.0
"""... but never below this, for windows that reach down to air."""
OPENING_PX = 2
TRUNK_OPENING_PX = 6
SMALLEST_PART = 0.1
"""A part is body if it has this share of the largest one: the heart between open lungs has it, a table top not."""


def tissue_threshold(window: Window) -> float:
    """The HU above which a pixel is tissue."""
    return max(window.low + TISSUE_FRACTION * (window.high - window.low), TISSUE_HU)


def body_mask(hu: np.ndarray, window: Window) -> np.ndarray:
    """The body, bool of the shape of `hu` (int16 HU `[..., H, W]`), slice by slice.

    Tissue above the threshold, opened by a disc of OPENING_PX (it cuts the table from the skin and removes noise); of
    what is left, the largest component, those of at least a tenth of its size, and everything they enclose (lung, bowel
    gas), grown back to the outline they had before the opening. Air that reaches the border of the slice is outside.
    Works for HU clipped to the window and for display exports laid onto it. A slice without tissue gives an empty mask.
    """
    threshold = tissue_threshold(window)
    return _each(hu, lambda one: ndimage.binary_fill_holes(_open(one > threshold, OPENING_PX, SMALLEST_PART)))


def trunk_mask(body: np.ndarray) -> np.ndarray:
    """The trunk of a body mask `[..., H, W]` of pixels of about 2 mm: without arms that lie beside it or touch it."""
    return _each(body, lambda one: _open(one, TRUNK_OPENING_PX, 1.0))


def _each(slices: np.ndarray, mask: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.stack([mask(one) for one in slices.reshape(-1, *slices.shape[-2:])]).reshape(slices.shape)


def _open(mask: np.ndarray, radius: int, smallest_part: float) -> np.ndarray:
    """The parts that survive an opening by a disc, grown back within the mask."""
    # the slice is continued beyond its border while opening, so that a body cut by the crop keeps its edge
    padded = np.pad(mask, 2 * radius, mode="edge")
    inner = (slice(2 * radius, -2 * radius),) * 2
    opened = _grow(ndimage.distance_transform_edt(padded) > radius, radius)[inner]
    return _grow(_large_parts(opened, smallest_part), radius) & mask


def _grow(mask: np.ndarray, radius: int) -> np.ndarray:
    """Dilation by a disc; by distances, which costs the same for every radius."""
    return ndimage.distance_transform_edt(~mask) <= radius if mask.any() else mask


def _large_parts(mask: np.ndarray, smallest_part: float) -> np.ndarray:
    components, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return (sizes >= smallest_part * sizes.max())[components] & mask
