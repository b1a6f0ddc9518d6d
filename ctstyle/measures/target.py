"""A generated slice against the true one: the same anatomy really scanned in the target style (method.md, 6)."""

import numpy as np
from skimage import metrics

from ctstyle.measures.segmentation import require_same_shape


def ssim(first_hu: np.ndarray, second_hu: np.ndarray, *, range_hu: float, body: np.ndarray | None = None) -> float:
    """Structural similarity of two slices `[H, W]` in HU (scikit-image, 7x7 uniform window), mean over `body`.

    `range_hu` is the width of the one fixed window. Without `body` the mean runs over the whole slice.
    """
    require_same_shape(first_hu, second_hu, what="ssim")
    first, second = (np.asarray(hu, dtype=np.float64) for hu in (first_hu, second_hu))
    mean, per_pixel = metrics.structural_similarity(first, second, data_range=range_hu, full=True)
    return float(mean if body is None or not body.any() else per_pixel[body].mean())


def hu_error(first_hu: np.ndarray, second_hu: np.ndarray, body: np.ndarray | None = None) -> float:
    """Mean absolute difference in HU of two arrays of one shape, over `body` or all pixels."""
    require_same_shape(first_hu, second_hu, what="hu_error")
    difference = np.abs(np.asarray(first_hu, dtype=np.float64) - np.asarray(second_hu, dtype=np.float64))
    return float(difference.mean() if body is None or not body.any() else difference[body].mean())
