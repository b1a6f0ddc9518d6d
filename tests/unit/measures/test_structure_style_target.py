"""Structure, style and target measures against closed forms, scikit-image and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats
from skimage.metrics import structural_similarity
from skimage.restoration import estimate_sigma

from ctstyle.measures.structure import (
    edge_f1,
    edges,
    gradient_magnitude,
    gradient_ssim,
    hu_error,
    ssim,
    wasserstein1_hu,
)
from ctstyle.slices.features import noise_power


def discs(noise: float = 0.0, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    image = 0.3 * ((x - 32) ** 2 + (y - 32) ** 2 < 28**2) + 0.5 * ((x - 30) ** 2 + (y - 36) ** 2 < 9**2)
    return np.clip(image + noise * np.random.default_rng(seed).standard_normal(image.shape), 0, 1)


def test_gradient_of_a_ramp_is_its_slope():
    ramp = 3.0 * np.arange(20)[None, :] + np.zeros((20, 1))
    assert gradient_magnitude(ramp)[:, 1:-1] == pytest.approx(3.0)
    assert gradient_magnitude(ramp.T + ramp)[5, 5] == pytest.approx(3 * np.sqrt(2))


def test_gradient_ssim_ignores_a_shift_of_grey_and_falls_with_lost_structure():
    image = discs(0.02)
    assert gradient_ssim(image, image) == pytest.approx(1)
    assert gradient_ssim(image, image * 0.9 + 0.05) > 0.95
    kept = gradient_ssim(image, ndimage.gaussian_filter(image, 0.7))
    blurred = gradient_ssim(image, ndimage.gaussian_filter(image, 4))
    moved = gradient_ssim(image, np.roll(image, 5, axis=1))
    assert kept > blurred and kept > moved
    assert gradient_ssim(image, ndimage.gaussian_filter(discs(1.0, seed=3), 3)) < 0.6


def test_gradient_ssim_counts_the_body_only():
    image, other = discs(), discs()
    other[:8, :8] = np.random.default_rng(0).random((8, 8))
    body = np.zeros(image.shape, bool)
    body[24:40, 24:40] = True
    assert gradient_ssim(image, other, body) == pytest.approx(1)
    assert gradient_ssim(image, other) < 0.99


def test_edges_of_a_disc_lie_on_its_rim():
    y, x = np.mgrid[:64, :64]
    radius = np.hypot(x - 32, y - 32)
    found = edges((radius < 20).astype(float))
    assert found.sum() >= 2 * np.pi * 20 * 0.8
    assert np.abs(radius[found] - 20).max() <= 1.5


def test_edge_f1_tolerates_one_pixel_and_no_more():
    image = discs()
    assert edge_f1(image, image) == 1
    assert edge_f1(image, np.roll(image, 1, axis=0)) == pytest.approx(1)
    assert edge_f1(image, np.roll(image, 4, axis=0)) < 0.7
    assert edge_f1(image, image * 0.2 + 0.4) == pytest.approx(1, abs=0.02)


def test_edge_f1_without_edges():
    flat = np.full((32, 32), 0.4)
    assert edge_f1(flat, flat) == 1
    assert edge_f1(flat, discs()[:32, :32]) == 0


@given(st.integers(-300, 300), st.integers(0, 5))
def test_wasserstein_of_a_shift_is_the_shift(shift, seed):
    values = np.random.default_rng(seed).integers(-200, 600, 300).astype(np.int16)
    assert wasserstein1_hu(values, values + np.int16(shift)) == pytest.approx(abs(shift), abs=1e-9)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 5))
def test_wasserstein_is_scipys(few, many, seed):
    rng = np.random.default_rng(seed)
    for first, second in (
        (rng.integers(-200, 600, few).astype(np.int16), rng.integers(-200, 600, many).astype(np.int16)),
        (rng.normal(40, 100, few), rng.normal(60, 50, many)),
    ):
        assert wasserstein1_hu(first, second) == pytest.approx(stats.wasserstein_distance(first, second), rel=1e-12)


def test_wasserstein_of_a_scale_is_the_mean_absolute_deviation_from_it():
    values = np.arange(1001)
    assert wasserstein1_hu(values, 2 * values) == pytest.approx(500)
    assert np.isnan(wasserstein1_hu(values, np.zeros(0)))


@pytest.mark.parametrize("deviation", [5.0, 20.0, 60.0])
def test_noise_power_is_the_variance_of_white_noise(deviation):
    rng = np.random.default_rng(1)
    ramp = 4.0 * np.arange(96)[None, :] - 2.0 * np.arange(96)[:, None]
    hu = np.round(ramp + deviation * rng.standard_normal((3, 96, 96))).astype(np.int16)
    inside = np.zeros(hu.shape, bool)
    inside[:, 4:-4, 4:-4] = True
    assert noise_power(hu, inside) == pytest.approx(deviation**2, rel=0.05)


def test_noise_power_agrees_with_the_wavelet_estimate_of_scikit_image():
    pytest.importorskip("pywt", reason="scikit-image needs PyWavelets for estimate_sigma")
    hu = 800 * discs()[None] + 15 * np.random.default_rng(2).standard_normal((1, 64, 64))
    assert np.sqrt(noise_power(hu, np.ones(hu.shape, bool))) == pytest.approx(estimate_sigma(hu[0]), rel=0.1)


def test_ssim_is_that_of_scikit_image_and_body_narrows_it():
    rng = np.random.default_rng(0)
    first = rng.integers(-250, 750, (40, 50)).astype(np.int16)
    second = np.clip(first + rng.integers(-90, 90, first.shape), -250, 750).astype(np.int16)
    expected = structural_similarity(first / 1000, second / 1000, data_range=1.0)
    assert ssim(first, second, range_hu=1000) == pytest.approx(expected, abs=1e-9)
    half = np.zeros(first.shape, bool)
    half[:, :25] = True
    second[:, 30:] = first[:, 30:]
    assert ssim(first, second, range_hu=1000, body=half) < ssim(first, second, range_hu=1000)


def test_hu_error_of_a_known_difference():
    first = np.zeros((4, 4), np.int16)
    second = first.copy()
    second[0] = -40
    assert hu_error(first, second) == 10
    assert hu_error(first, second, second < 0) == 40
    assert hu_error(np.full(3, 32_000, np.int16), np.full(3, -32_000, np.int16)) == 64_000
