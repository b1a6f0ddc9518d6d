"""Shapes against closed forms."""

import numpy as np
import pytest

from ctstyle.cohorts.phantom.tissues import Canvas, capsule, coverage, ellipsoid, superellipse, texture, union

TICKS = np.arange(-40, 40.5, 0.5)
X, Y = np.meshgrid(TICKS, TICKS)


def test_coverage_of_a_circle_has_its_area():
    area = coverage(superellipse(X, Y, 20.0, 20.0), 0.5).sum() * 0.25
    assert area == pytest.approx(np.pi * 400, rel=2e-3)


def test_superellipse_has_the_area_of_its_formula():
    from scipy.special import gamma

    power, a, b = 2.5, 30.0, 18.0
    exact = 4 * a * b * gamma(1 + 1 / power) ** 2 / gamma(1 + 2 / power)
    assert coverage(superellipse(X, Y, a, b, power), 0.5).sum() * 0.25 == pytest.approx(exact, rel=5e-3)


def test_the_middle_of_a_superellipse_is_inside():
    middle = superellipse(np.zeros(1), np.zeros(1), 30.0, 18.0, 2.5)
    assert middle[0] == -18.0


def test_sphere_and_capsule_distances_are_exact():
    rng = np.random.default_rng(0)
    x, y, z = rng.uniform(-30, 30, (3, 100))
    radius = np.sqrt(x**2 + y**2 + z**2)
    np.testing.assert_allclose(ellipsoid(x, y, z, (9.0, 9.0, 9.0)), radius - 9, atol=1e-9)
    rod = capsule((x, y, z), (0, 0, -5), (0, 0, 5), radius=(3, 3))
    exact = np.sqrt(x**2 + y**2 + np.maximum(np.abs(z) - 5, 0) ** 2) - 3
    np.testing.assert_allclose(rod, exact, atol=1e-9)


def test_union_keeps_both_solids_and_equals_the_minimum_far_from_the_seam():
    a, b = superellipse(X - 12, Y, 10.0, 10.0), superellipse(X + 12, Y, 10.0, 10.0)
    both = union(a, b, 3.0)
    assert (both <= np.minimum(a, b) + 1e-9).all()
    far = np.abs(a - b) > 3.0
    np.testing.assert_allclose(both[far], np.minimum(a, b)[far])


def test_texture_is_a_unit_field_that_its_seed_repeats():
    one = texture(np.random.default_rng(3), (8, 32, 32), (1, 2, 2))
    assert (abs(float(one.mean())) < 1e-4, float(one.std())) == (True, pytest.approx(1.0, abs=1e-3))
    np.testing.assert_array_equal(one, texture(np.random.default_rng(3), (8, 32, 32), (1, 2, 2)))
    neighbours = (one[:, :, 1:] * one[:, :, :-1]).mean()
    assert neighbours == pytest.approx(np.exp(-1 / 16), abs=0.04)


def test_painting_mixes_by_coverage():
    canvas = Canvas.empty((1, 1, 2))
    canvas.blend(np.ones((1, 1, 2), np.float32), (1.0, 0.0, 0.0))
    canvas.blend(np.array([[[0.25, 0.0]]], np.float32), (2.0, 0.4, 1.0))
    np.testing.assert_allclose(canvas.densities[:, 0, 0, 0], [1.25, 0.1, 0.25], rtol=1e-6)
    np.testing.assert_allclose(canvas.densities[:, 0, 0, 1], [1.0, 0.0, 0.0])
