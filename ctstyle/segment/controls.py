"""Controls and rivals of the augmented arms: what histograms and spectra alone are worth, without a trained network.

All are painters for `generate.generate`, as a style-transfer network is.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import fft, ndimage
from skimage.exposure import match_histograms

from ctstyle.segment.generate import Painter
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.study.analysis import AugmentSettings, FourierSettings


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


def noise_painter(window: Window, *, smooth_px: float = 3.0) -> Painter:
    """Structureless slices with the target's histogram: the control arm `noise` (method.md, 4).

    Inside the content's body a smooth random field (white noise under a Gaussian of `smooth_px`) is mapped by rank to
    the body histogram of the style slice; outside there is air. Outline and histogram are right, anatomy is not there;
    what a U-Net gains from these slices is no merit of a style transfer.
    """

    def paint(
        content_hu: np.ndarray, style_hu: np.ndarray, target_style: Sequence[str], rng: np.random.Generator
    ) -> np.ndarray:
        """A fresh field per slice, drawn from `rng`."""
        bodies, style_bodies = body_mask(content_hu, window), body_mask(style_hu, window)
        result = np.full(content_hu.shape, window.low, dtype=np.float64)
        for image, body, style, style_body in zip(result, bodies, style_hu, style_bodies):
            field = ndimage.gaussian_filter(rng.standard_normal(image.shape), smooth_px, mode="reflect")
            values = style[style_body] if style_body.any() else style.ravel()
            image[body] = by_rank(field[body], values)
        return result

    return paint


def histogram_painter(window: Window) -> Painter:
    """Histogram matching to the style slice inside the body (scikit-image); air around stays: the arm `histogram`."""

    def paint(
        content_hu: np.ndarray, style_hu: np.ndarray, target_style: Sequence[str], rng: np.random.Generator
    ) -> np.ndarray:
        """The quantiles of each pair, inside both bodies; nothing is drawn."""
        bodies, style_bodies = body_mask(content_hu, window), body_mask(style_hu, window)
        result = np.clip(content_hu, window.low, window.high).astype(np.float64)
        for image, body, style, style_body in zip(result, bodies, style_hu, style_bodies):
            if body.any() and style_body.any():
                image[body] = match_histograms(image[body], style[style_body].astype(np.float64))
        return result

    return paint


def fourier_painter(window: Window, settings: FourierSettings) -> Painter:
    """Fourier amplitude swap of whole slices in the unit range, as published; air around stays: the arm `fourier`."""

    def paint(
        content_hu: np.ndarray, style_hu: np.ndarray, target_style: Sequence[str], rng: np.random.Generator
    ) -> np.ndarray:
        """The spectra of each pair; nothing is drawn."""
        swapped = amplitude_swap(window.to_unit(content_hu), window.to_unit(style_hu), settings.beta)
        air = np.clip(content_hu, window.low, window.high)
        return np.where(body_mask(content_hu, window), window.to_hu(swapped), air)

    return paint


def by_rank(field: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`field` (1-D, no ties) mapped by rank to the distribution of `values` (1-D), interpolating its quantiles."""
    ranks = np.empty(len(field))
    ranks[np.argsort(field, kind="stable")] = (np.arange(len(field)) + 0.5) / max(len(field), 1)
    return np.quantile(values, ranks)


PAINTERS: dict[str, Callable[[Window, AugmentSettings], Painter]] = {
    "noise": lambda window, _: noise_painter(window),
    "histogram": lambda window, _: histogram_painter(window),
    "fourier": lambda window, settings: fourier_painter(window, settings.fourier),
}
"""How the painter of an arm is made, by the name in its entry."""
