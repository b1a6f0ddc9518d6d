"""The noise power spectrum of CT slices: what a reconstruction kernel does to noise, by spatial frequency."""

import numpy as np
from scipy import ndimage

ROI_PX = 32
ROI_STEP_PX = 16
TISSUE_HU = (-150.0, 150.0)
"""Fat to muscle and blood: a region whose smoothed values stay inside is free of lung and bone."""
SMOOTH_PX = 4.0
FLATTEST = 0.25
"""Share of a slice's candidate regions that count: those with the least anatomy in them."""


def flat_regions(hu: np.ndarray, body: np.ndarray) -> list[tuple[int, int]]:
    """Corners (row, column) of the flattest `ROI_PX` squares of soft tissue in a slice `[H, W]` in HU.

    A square lies inside `body` (bool `[H, W]`), its smoothed values within `TISSUE_HU`; of those the quarter with the
    least variation after smoothing is kept, so that anatomy weighs little. To compare kernels, find the regions in one
    slice and use them in all versions of it.
    """
    smooth = ndimage.gaussian_filter(np.asarray(hu, dtype=np.float64), SMOOTH_PX)
    allowed = body & (smooth > TISSUE_HU[0]) & (smooth < TISSUE_HU[1])
    found = []
    for row in range(0, hu.shape[0] - ROI_PX + 1, ROI_STEP_PX):
        for column in range(0, hu.shape[1] - ROI_PX + 1, ROI_STEP_PX):
            window = slice(row, row + ROI_PX), slice(column, column + ROI_PX)
            if allowed[window].all():
                found.append((float(smooth[window].std()), row, column))
    found.sort()
    return [(row, column) for _, row, column in found[: max(1, round(FLATTEST * len(found)))]] if found else []


def radial_spectrum(regions: np.ndarray, pixel_mm: float, *, bins: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Noise power spectrum of square regions `[n, s, s]` in HU: frequencies in 1/mm and power in HU^2 mm^2.

    NPS(u, v) = pixel^2 / s^2 * mean |FFT(region - its plane)|^2, averaged over rings of equal width up to the Nyquist
    frequency (Siewerdsen, Cunningham, Jaffray 2002; ICRU report 87); the zero frequency is left out. The plane taken
    off each region is its least-squares fit. For white noise of deviation d it is d^2 * pixel^2 everywhere.
    """
    values = np.asarray(regions, dtype=np.float64)
    size = values.shape[-1]
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    basis = np.stack([np.ones(size * size), rows.ravel(), columns.ravel()], axis=1)
    flat = values.reshape(len(values), -1)
    flat = flat - flat @ basis @ np.linalg.inv(basis.T @ basis) @ basis.T
    power = abs(np.fft.fft2(flat.reshape(values.shape))) ** 2
    power = power.mean(axis=0) * (pixel_mm / size) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(size, pixel_mm),) * 2))
    edges = np.linspace(0, 0.5 / pixel_mm, bins + 1)
    ring = np.digitize(frequency, edges) - 1
    ring[frequency == 0] = bins
    centres = (edges[:-1] + edges[1:]) / 2
    return centres, np.array([power[ring == k].mean() for k in range(bins)])


def spectrum_distance_db(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square difference in decibel of two spectra over the same rings: 3 dB is a factor of two in power."""
    return float(np.sqrt(np.mean((10 * np.log10(np.asarray(first) / np.asarray(second))) ** 2)))
