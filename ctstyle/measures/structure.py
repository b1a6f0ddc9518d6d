"""A generated slice against its content (structure), its style (grey values) and its true target (method.md, 6).

A generated slice takes over the masks of its content slice, so the structure decides whether the masks still fit.
"""

import numpy as np
from scipy import ndimage
from skimage import feature, metrics

from ctstyle.measures.segmentation import require_same_shape


def gradient_magnitude(image: np.ndarray) -> np.ndarray:
    """Magnitude of the Sobel gradient of a slice `[H, W]`, per pixel, float64, in the unit of the slice."""
    image = np.asarray(image, dtype=np.float64)
    return np.hypot(ndimage.sobel(image, 0, mode="nearest"), ndimage.sobel(image, 1, mode="nearest")) / 8


def gradient_ssim(first: np.ndarray, second: np.ndarray, body: np.ndarray | None = None) -> float:
    """SSIM of the gradient magnitudes of two slices `[H, W]` in [0, 1] (the one fixed window), mean over `body`.

    1 for slices that differ by a constant. The data range is that of the window, so that noise in flat tissue weighs
    little and the edges of bone and body decide.
    """
    require_same_shape(first, second, what="gradient_ssim")
    one, two = gradient_magnitude(first), gradient_magnitude(second)
    _, per_pixel = metrics.structural_similarity(one, two, data_range=1.0, full=True)
    return float(per_pixel.mean() if body is None or not body.any() else per_pixel[body].mean())


def edges(image: np.ndarray, *, sigma_px: float = 1.5, low: float = 0.8, high: float = 0.92) -> np.ndarray:
    """Canny edges of a slice `[H, W]`, bool; `low`, `high` are quantiles of its own gradient, so contrast cancels."""
    image = np.asarray(image, dtype=np.float64)
    if image.min() == image.max():
        return np.zeros(image.shape, dtype=bool)
    return feature.canny(image, sigma=sigma_px, low_threshold=low, high_threshold=high, use_quantiles=True)


def edge_f1(
    first: np.ndarray, second: np.ndarray, body: np.ndarray | None = None, *, tolerance_px: float = 1.0
) -> float:
    """F1 of the Canny edges of two slices `[H, W]`; an edge counts as found within `tolerance_px` of the other's.

    `body` restricts both edge maps. 1 where neither slice has an edge, 0 where just one has.
    """
    require_same_shape(first, second, what="edge_f1")
    one, two = edges(first), edges(second)
    if body is not None:
        one, two = one & body, two & body
    if not one.any() or not two.any():
        return float(one.any() == two.any())
    precision = float(np.mean(ndimage.distance_transform_edt(~one)[two] <= tolerance_px))
    recall = float(np.mean(ndimage.distance_transform_edt(~two)[one] <= tolerance_px))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


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


def wasserstein1_hu(first: np.ndarray, second: np.ndarray) -> float:
    """Wasserstein-1 distance in HU between two sets of grey values (any shapes): a shift by d HU gives exactly d.

    The area between the two cumulative distributions (scipy.stats has it too, but takes a second to import). NaN where
    one set is empty.
    """
    first, second = (np.sort(np.ravel(values).astype(np.float64)) for values in (first, second))
    if not first.size or not second.size:
        return float("nan")
    every = np.sort(np.concatenate([first, second]))
    one, two = (values.searchsorted(every[:-1], "right") / values.size for values in (first, second))
    return float(np.dot(np.abs(one - two), np.diff(every)))
