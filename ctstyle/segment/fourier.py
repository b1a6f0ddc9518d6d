"""Fourier domain adaptation (Yang and Soatto 2020): the style's amplitudes at low frequencies, the content's phases."""

import numpy as np
from scipy import fft


def amplitude_swap(content: np.ndarray, style: np.ndarray, beta: float) -> np.ndarray:
    """Images `[..., H, W]` (float64) with `style`'s amplitudes below `beta` cycles per pixel, and `content`'s phases.

    Of a real image half of the spectrum is kept (`rfft2`), with columns 0 to W // 2 and all rows: a low frequency has a
    low column number and its row at either end. Public code also writes the columns at the right end of that half, as
    if it were the whole spectrum; these are the highest frequencies (method.md, 5).
    """
    height, width = content.shape[-2:]
    low = (np.abs(fft.fftfreq(height))[:, None] < beta) & (fft.rfftfreq(width) < beta)
    spectrum = fft.rfft2(np.asarray(content, dtype=np.float64))
    amplitude = np.abs(fft.rfft2(np.asarray(style, dtype=np.float64)))
    swapped = np.where(low, amplitude * np.exp(1j * np.angle(spectrum)), spectrum)
    return fft.irfft2(swapped, s=(height, width))
