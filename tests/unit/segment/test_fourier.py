"""The Fourier amplitude swap against closed forms and a whole spectrum in float64."""

import numpy as np
import pytest
from scipy import ndimage

from ctstyle.segment.controls import PAINTERS, amplitude_swap, fourier_painter
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.study.analysis import AugmentSettings, FourierSettings

WINDOW = Window(-250, 750)


def images(seed, shape=(2, 24, 31)) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), (0, 1, 1))


def whole_spectrum(content, style, beta):
    """The definition on all frequencies: both halves, no symmetry used."""
    rows, columns = np.fft.fftfreq(content.shape[-2])[:, None], np.fft.fftfreq(content.shape[-1])[None, :]
    low = np.maximum(abs(rows), abs(columns)) < beta
    before, wanted = np.fft.fft2(content), np.abs(np.fft.fft2(style))
    made = np.fft.ifft2(np.where(low, wanted, np.abs(before)) * np.exp(1j * np.angle(before)))
    assert np.abs(made.imag).max() < 1e-12, "a symmetric window gives a real image"
    return made.real


@pytest.mark.parametrize("shape", [(2, 24, 31), (1, 24, 32), (1, 25, 32), (1, 33, 17)])
@pytest.mark.parametrize("beta", [0.0, 0.03, 0.05, 0.17, 0.4, 0.5, 0.6])
def test_half_a_spectrum_gives_what_the_whole_one_gives(shape, beta):
    content, style = images(0, shape), images(1, shape)
    assert amplitude_swap(content, style, beta) == pytest.approx(whole_spectrum(content, style, beta), abs=1e-12)


def test_the_ends_of_beta():
    content, style = images(0), images(1)
    assert amplitude_swap(content, style, 0.0) == pytest.approx(content, abs=1e-14)
    assert amplitude_swap(content, content, 0.3) == pytest.approx(content, abs=1e-14)
    all_of_it = np.fft.fft2(amplitude_swap(content, style, 0.6))
    assert np.abs(all_of_it) == pytest.approx(np.abs(np.fft.fft2(style)), abs=1e-9)
    turned = np.angle(all_of_it * np.conj(np.fft.fft2(content)))
    assert abs(turned).max() < 1e-6


def test_the_smallest_window_takes_the_mean_alone():
    content, style = images(0), images(1) + 0.2
    made = amplitude_swap(content, style, 1e-9)
    difference = style.mean((1, 2), keepdims=True) - content.mean((1, 2), keepdims=True)
    assert made == pytest.approx(content + difference, abs=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("cycles, taken", [(4, True), (5, False), (44, False)])
def test_waves_below_beta_take_the_style_s_height_along_both_axes(axis, cycles, taken):
    place = np.mgrid[:96, :96][axis]
    content, style = (0.5 + height * np.cos(2 * np.pi * cycles * place / 96 + 1) for height in (0.1, 0.3))
    made = amplitude_swap(content, style, 0.05)
    assert made == pytest.approx(style if taken else content, abs=1e-12)


def test_the_painter_works_in_the_window_and_leaves_the_air():
    y, x = np.mgrid[:96, :96]
    body = ((x - 48) / 40) ** 2 + ((y - 48) / 30) ** 2 < 1
    content = np.where(body, 40 + 30 * np.sin(x / 3), -900).astype(np.int16)[None]
    style = np.where(body, 300, -900).astype(np.int16)[None]
    painter = fourier_painter(WINDOW, FourierSettings(0.05))
    made = painter(content, style, ["s2"], np.random.default_rng(0))[0]
    inside = body_mask(content, WINDOW)[0]
    unit = whole_spectrum(*(WINDOW.to_unit(hu).astype(float) for hu in (content, style)), 0.05)[0]
    assert made[inside] == pytest.approx(WINDOW.to_hu(unit)[inside], abs=1)
    assert (made[~inside] == np.clip(content[0], -250, 750)[~inside]).all()
    assert made[inside].mean() > content[0][inside].mean() + 100
    still = PAINTERS["fourier"](WINDOW, AugmentSettings(fourier=FourierSettings(0.0)))
    assert still(content, style, ["s2"], np.random.default_rng(0))[0] == pytest.approx(np.clip(content[0], -250, 750))
