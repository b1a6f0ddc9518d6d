"""The noise power spectrum against closed forms: white noise, a known filter, Parseval."""

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.noise_spectrum import ROI_PX, flat_regions, radial_spectrum, spectrum_distance_db

PIXEL_MM = 0.65


def white(n=400, deviation=12.0, seed=0):
    return np.random.default_rng(seed).normal(40, deviation, (n, ROI_PX, ROI_PX))


def test_white_noise_has_a_flat_spectrum_of_its_variance():
    frequencies, power = radial_spectrum(white(), PIXEL_MM)
    assert frequencies[0] > 0 and frequencies[-1] < 0.5 / PIXEL_MM
    # the lowest ring loses what the fitted plane takes off
    np.testing.assert_allclose(power[1:], 12.0**2 * PIXEL_MM**2, rtol=0.08)


def test_a_plane_under_the_noise_changes_nothing():
    ramp = np.add.outer(3.0 * np.arange(ROI_PX), -2.0 * np.arange(ROI_PX))
    np.testing.assert_allclose(radial_spectrum(white() + ramp, PIXEL_MM)[1], radial_spectrum(white(), PIXEL_MM)[1])


def test_a_filter_multiplies_the_spectrum_by_its_squared_transfer_function():
    noise = np.random.default_rng(1).normal(0, 10, (300, 2 * ROI_PX, 2 * ROI_PX))
    blurred = ndimage.gaussian_filter(noise, (0, 1.0, 1.0), truncate=6)
    middle = slice(ROI_PX // 2, ROI_PX // 2 + ROI_PX)
    frequencies, before = radial_spectrum(noise[:, middle, middle], PIXEL_MM)
    _, after = radial_spectrum(blurred[:, middle, middle], PIXEL_MM)
    wanted = np.exp(-((2 * np.pi * frequencies * PIXEL_MM) ** 2))  # of a Gaussian of one pixel, squared
    low = slice(1, 7)  # higher up leakage from the low frequencies is what is left
    np.testing.assert_allclose((after / before)[low], wanted[low], rtol=0.2)


def test_the_distance_is_in_decibel():
    power = np.array([1.0, 2.0, 5.0])
    assert spectrum_distance_db(power, power) == 0
    assert spectrum_distance_db(10 * power, power) == pytest.approx(10)


def test_flat_regions_avoid_lung_bone_and_edges():
    hu = np.random.default_rng(2).normal(40, 10, (160, 160))
    hu[:, 96:] = -850
    hu[:32, :32] = 600
    body = np.ones(hu.shape, bool)
    found = flat_regions(hu, body)
    assert found and all(column + ROI_PX < 96 and (row >= 32 or column >= 32) for row, column in found)
    assert flat_regions(np.full((64, 64), -1000.0), np.ones((64, 64), bool)) == []
