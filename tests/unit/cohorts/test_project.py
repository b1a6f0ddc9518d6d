"""The projector of the phantom against scikit-image's Radon transform, and against what a disc must give."""

from types import SimpleNamespace

import numpy as np
import pytest
from skimage.transform import radon

from ctstyle.cohorts.phantom.patient import project, view_angles


@pytest.fixture
def settings():
    return SimpleNamespace(grid_px=48, angles=7, pixel_mm=10.0)  # smaller than a run may be


def test_every_image_is_projected_as_scikit_image_does(settings):
    densities = np.random.default_rng(0).random((3, 2, 48, 48), dtype=np.float32)
    densities[1, 0] = 0
    y, x = np.ogrid[:48, :48]
    inside = np.hypot(y - 24, x - 24) <= 23
    found = project(densities, settings)
    assert found.shape == (3, 2, 48, 7) and found.dtype == np.float32
    for one, image in zip(found.reshape(-1, 48, 7), densities.reshape(-1, 48, 48)):
        expected = radon((image * inside).astype(np.float64), view_angles(7), circle=True)
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-4)


def test_a_disc_has_the_paths_of_its_chords(settings):
    y, x = np.mgrid[:48, :48] - 24
    disc = (np.hypot(y, x) <= 12).astype(np.float32)[None, None]
    through = project(disc, settings)[0, 0]
    chords = 2 * np.sqrt(disc.sum() / np.pi - np.arange(-9, 10) ** 2)  # pixels of 1 cm; its edge is a staircase
    np.testing.assert_allclose(through[15:34], np.tile(chords[:, None], 7), atol=1.5)
    assert not through[:10].any() and not through[39:].any()
    np.testing.assert_allclose(through.sum(axis=0), disc.sum(), rtol=0.01)
