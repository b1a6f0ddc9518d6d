"""How near a slice's grey scale is to a style: body histograms and tissue means, in Hounsfield units."""

import numpy as np


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
