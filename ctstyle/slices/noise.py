"""Noise of CT slices in Hounsfield units."""

import numpy as np
from scipy import ndimage
from scipy.special import ndtri

# Immerkaer's mask (J. Immerkaer, "Fast noise variance estimation", CVIU 64, 1996): the difference of two Laplacians,
# blind to constant and linear grey and insensitive to straight edges; white noise of deviation s leaves it with 6 s.
_NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float64)
_NOISE_GAIN = 6.0
_MAD_TO_DEVIATION = 1 / ndtri(0.75)


def noise_residual(hu: np.ndarray) -> np.ndarray:
    """Slices `[..., H, W]` filtered by Immerkaer's mask, float64, scaled so that white noise keeps its deviation."""
    kernel = _NOISE_MASK.reshape((1,) * (np.ndim(hu) - 2) + (3, 3))
    return ndimage.convolve(np.asarray(hu, dtype=np.float64), kernel, mode="nearest") / _NOISE_GAIN


def noise_power(hu: np.ndarray, mask: np.ndarray) -> float:
    """Noise power in HU^2 within `mask`: squared robust deviation (MAD) of Immerkaer's residual.

    `hu` and `mask` are `[..., H, W]`. For white Gaussian noise it is the variance; for a scanner's coloured noise it
    is the part at high spatial frequencies, which is what a reconstruction kernel changes. NaN for an empty mask.
    """
    residual = noise_residual(hu)[mask]
    if not residual.size:
        return float("nan")
    return float((_MAD_TO_DEVIATION * np.median(np.abs(residual))) ** 2)
