"""How near a slice's grey scale is to a style: body histograms, tissue means and noise, in Hounsfield units."""

import numpy as np
from scipy import ndimage
from scipy.special import ndtri

# Immerkaer's mask (J. Immerkaer, "Fast noise variance estimation", CVIU 64, 1996): the difference of two Laplacians,
# blind to constant and linear grey and insensitive to straight edges; white noise of deviation s leaves it with 6 s.
_NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float64)
_NOISE_GAIN = 6.0
_MAD_TO_DEVIATION = 1 / ndtri(0.75)


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


def mean_hu(hu: np.ndarray, mask: np.ndarray) -> float:
    """Mean HU of the pixels of `mask`, both of one shape; NaN where the mask is empty."""
    values = np.asarray(hu)[mask]
    return float(values.mean(dtype=np.float64)) if values.size else float("nan")


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
