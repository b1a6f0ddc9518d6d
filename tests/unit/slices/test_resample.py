"""Resampling against closed forms: means over areas, preserved mass, linear ramps and suppressed aliases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctstyle.slices.resample import area_weights, resample, resample_labels


def test_two_to_one_is_the_mean_of_two():
    weights = area_weights(np.array([0.5, 1.5, 2.5, 3.5]), np.array([1.0, 3.0]), 2.0)
    np.testing.assert_allclose(weights, [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])


def test_a_pixel_counts_by_the_part_that_lies_inside():
    weights = area_weights(np.array([0.5, 1.5, 2.5]), np.array([0.75]), 1.5)
    np.testing.assert_allclose(weights, [[1 / 1.5, 0.5 / 1.5, 0]])


@given(st.floats(0.3, 4.0), st.floats(0.3, 4.0), st.floats(-3.0, 3.0))
def test_weights_sum_to_one_inside_and_the_mean_position_is_kept(step, spacing, shift):
    centres = step * np.arange(200)
    lattice = centres[100] + shift + spacing * np.arange(-3, 4)
    weights = area_weights(centres, lattice, spacing)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    # a ramp comes out as the ramp, but for the steps of the input pixels
    tolerance = step**2 / (8 * spacing) if spacing >= step else 1e-9
    np.testing.assert_allclose(weights @ centres, lattice, atol=tolerance + 1e-9)


@given(st.integers(0, 100))
def test_the_mass_is_preserved(seed):
    image = np.random.default_rng(seed).normal(size=(20, 30))
    rows = area_weights(0.7 * np.arange(20), 2 * np.arange(-2, 10), 2.0)
    columns = area_weights(0.9 * np.arange(30), 2 * np.arange(-2, 16), 2.0)
    got = resample(image, rows, columns, outside=0.0)
    np.testing.assert_allclose(got.sum() * 4, image.sum() * 0.7 * 0.9)


def test_a_finer_lattice_is_linear():
    weights = area_weights(np.array([0.0, 3.0, 6.0]), np.array([-1.0, 0.0, 1.0, 4.5, 7.0]), 1.0)
    np.testing.assert_allclose(weights @ [0, 30, 60], [0, 0, 10, 45, 60])


def test_outside_is_filled():
    weights = area_weights(np.array([0.5, 1.5]), np.array([-3.0, 0.0, 1.0]), 2.0)
    got = resample(np.full((2, 2), 40.0), weights, weights, outside=-1024.0)
    np.testing.assert_allclose(got[2, 2], 40)
    np.testing.assert_allclose(got[0], -1024)
    np.testing.assert_allclose(got[1, 2], (40 - 1024) / 2)  # half of this pixel lies outside


def test_stripes_finer_than_the_lattice_do_not_alias():
    stripes = np.where(np.arange(400) % 2, 100.0, -100.0)  # 0.7 mm stripes
    weights = area_weights(0.7 * np.arange(400), 2.0 * np.arange(5, 130), 2.0)
    assert abs(weights @ stripes).max() <= 100 * 0.7 / 2.0 + 1e-9
    assert abs(weights @ stripes).mean() < 20
    assert abs(np.interp(2.0 * np.arange(5, 130), 0.7 * np.arange(400), stripes)).mean() > 45  # without it they do


def test_labels_by_area():
    labels = np.zeros((4, 4), np.uint8)
    labels[0, :2] = 31  # half of the first pixel: a tie with the background
    labels[0:2, 2:] = 31
    labels[2:, 0] = 32
    labels[2:, 1] = 33
    labels[2, 2:], labels[3, 2] = 30, 29
    weights = area_weights(np.arange(4) + 0.5, np.array([1.0, 3.0]), 2.0)
    np.testing.assert_array_equal(resample_labels(labels, weights, weights), [[0, 31], [32, 30]])


@pytest.mark.parametrize("spacing", [0.8, 2.0])
def test_labels_cover_their_area(spacing):
    y, x = np.mgrid[:200, :200] * 0.7
    labels = np.where((x - 70) ** 2 + (y - 60) ** 2 < 30**2, 31, 0).astype(np.uint8)
    lattice = spacing * np.arange(int(139 / spacing))
    weights = area_weights(0.7 * np.arange(200), lattice, spacing)
    got = resample_labels(labels, weights, weights)
    assert (got == 31).sum() * spacing**2 == pytest.approx(np.pi * 30**2, rel=0.01)
