"""Resample slices onto a coarser or finer lattice without aliasing, and their labels by the area they cover."""

import numpy as np

from ctstyle.ct.limits import LARGEST_OUTLINE_VOXELS, check_resampled


def area_weights(centres_mm: np.ndarray, lattice_mm: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Weights float64 `[len(lattice_mm), len(centres_mm)]` that resample one axis.

    The input samples lie at `centres_mm` (equally spaced, ascending), the output samples at `lattice_mm`, `spacing_mm`
    apart. Where the output is coarser, every output is the mean of the input over its own width (an input sample
    counts by the part of its width that lies inside): this is the anti-aliasing. Where it is finer, it is linear
    interpolation. The rows sum to 1 inside the input and to less where an output reaches outside. Raises OutOfBounds
    for more weights than memory is taken for.
    """
    check_resampled((len(lattice_mm), len(centres_mm)), LARGEST_OUTLINE_VOXELS)
    step_mm = float(centres_mm[-1] - centres_mm[0]) / max(len(centres_mm) - 1, 1) or spacing_mm
    distance = abs(lattice_mm[:, None] - centres_mm[None, :])
    if spacing_mm < step_mm:
        weights = np.clip(1 - distance / step_mm, 0, 1)
        # the outer half of the border samples has no neighbour: it takes their value
        for beyond, column in ((lattice_mm < centres_mm[0], 0), (lattice_mm > centres_mm[-1], -1)):
            weights[beyond & (distance[:, column] <= step_mm / 2), column] = 1
        return weights
    # the overlap of two intervals of these widths, whose centres lie this far apart
    overlap = np.clip((spacing_mm + step_mm) / 2 - distance, 0, step_mm)
    return overlap / spacing_mm


def inside_weights(weights: np.ndarray) -> np.ndarray:
    """Weights that take nothing from outside the scan: a body that the scan cuts goes on there."""
    return weights / weights.sum(axis=1, keepdims=True)


def resample(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, outside: float) -> np.ndarray:
    """`image` `[h, w]` through the weights of its rows and columns, float64; `outside` is laid beyond its border."""
    from scipy.sparse import csr_array  # here, as most who open an archive resample nothing

    covered = np.outer(rows.sum(axis=1), columns.sum(axis=1))
    # a row of weights has few that are not zero
    by_rows = csr_array(rows) @ image.astype(np.float64)
    return (csr_array(columns) @ by_rows.T).T + (1 - covered) * outside


def resample_labels(labels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Labels uint8 `[h, w]` through the same weights: every output takes the label that covers most of its area.

    Background (0) takes part in the vote and wins a tie; between two labels the smaller id wins it.
    """
    best = np.zeros((len(rows), len(columns)), np.uint8)
    most = resample(labels == 0, rows, columns, outside=1.0)
    for label in np.unique(labels[labels > 0]):
        area = resample(labels == label, rows, columns, outside=0.0)
        # a tie by rounding is a tie: it must not depend on the order of additions
        wins = area > most + 1e-9
        best[wins], most[wins] = label, area[wins]
    return best
