"""How much of a slice's anatomy is still where it was: edges and gradients, whatever the grey scale.

A generated slice takes over the masks of its content slice, so these numbers decide whether the masks still fit.
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
