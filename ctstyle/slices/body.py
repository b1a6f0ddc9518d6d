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
    return _each(hu, lambda one: _body(one > threshold))


def trunk_mask(body: np.ndarray) -> np.ndarray:
    """The trunk of a body mask `[..., H, W]` of pixels of about 2 mm: without arms that lie beside it or touch it."""
    return _each(body, lambda one: _open(one, TRUNK_OPENING_PX, 1.0))


def _body(tissue: np.ndarray) -> np.ndarray:
    opened = _open(tissue, OPENING_PX, SMALLEST_PART)
    return ndimage.binary_fill_holes(_grow(opened, OPENING_PX) & tissue)


def _each(slices: np.ndarray, mask: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.stack([mask(one) for one in slices.reshape(-1, *slices.shape[-2:])]).reshape(slices.shape)


def _open(mask: np.ndarray, radius: int, smallest_part: float) -> np.ndarray:
    """The opening by a disc of those parts that its erosion leaves and that are large enough.

    Parts are told apart after the erosion: grown back, two that touch would be one again. Distances cost the same for
    every radius.
    """
    # the slice is continued beyond its border, so that a body cut by the crop keeps its edge
    padded = np.pad(mask, 2 * radius, mode="edge")
    parts, count = ndimage.label(ndimage.distance_transform_edt(padded) > radius)
    if count == 0:
        return np.zeros_like(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = (sizes >= smallest_part * sizes.max())[parts] & (parts > 0)
    return _grow(kept, radius)[2 * radius : -2 * radius, 2 * radius : -2 * radius] & mask


def _grow(mask: np.ndarray, radius: int) -> np.ndarray:
    """Dilation by a disc."""
    return ndimage.distance_transform_edt(~mask) <= radius if mask.any() else mask
