"""The geometric augmentation against known transforms, and images and masks moving as one."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from ctstyle.segment.geometry import random_grid, transform
from ctstyle.study.analysis import GeometrySettings

STILL = GeometrySettings(0, 0, 0, 0, 0)


def disc(height=64, width=64, centre=(32, 32), radius=12) -> torch.Tensor:
    y, x = np.mgrid[:height, :width]
    return torch.from_numpy((((x - centre[1]) ** 2 + (y - centre[0]) ** 2) < radius**2).astype(np.float32))[None, None]


def move(settings, images, seed=0):
    count, _, height, width = images.shape
    return transform(images, images.long(), random_grid(count, height, width, settings, np.random.default_rng(seed)))


def test_no_ranges_change_nothing():
    images = torch.rand(2, 1, 40, 56)
    moved, _ = move(STILL, images)
    assert torch.allclose(moved, images, atol=1e-4)


def test_images_and_masks_move_as_one_and_masks_stay_whole():
    images = torch.cat([disc(centre=(28, 36))] * 6)
    moved, labels = move(GeometrySettings(), images, seed=2)
    assert labels.dtype == torch.int64 and set(labels.unique().tolist()) <= {0, 1}
    agree = ((moved > 0.5) == (labels > 0)).float().mean((1, 2, 3))
    assert agree.min() > 0.985
    assert not torch.equal(labels[0], labels[1])


def test_a_flip_is_the_mirror_image():
    images = torch.rand(2, 1, 32, 48)
    moved, _ = move(GeometrySettings(0, 0, 0, 1.0, 0), images)
    assert torch.allclose(moved, images.flip(3), atol=1e-4)


@pytest.mark.parametrize("shape", [(64, 64), (48, 80)])
def test_rotation_keeps_distances_whatever_the_shape_of_the_slice(shape):
    height, width = shape
    image = disc(height, width, (height / 2 - 0.5, width / 2 + 9.5), 6)
    for seed in range(4):
        moved, _ = move(GeometrySettings(90, 0, 0, 0, 0), image, seed)
        y, x = ndimage.center_of_mass(moved[0, 0].numpy())
        assert np.hypot(y - (height / 2 - 0.5), x - (width / 2 - 0.5)) == pytest.approx(10, abs=0.2)
        assert moved.sum() == pytest.approx(float(image.sum()), rel=0.03)


def test_zoom_changes_the_area_within_its_range():
    areas = [float(move(GeometrySettings(0, 0.2, 0, 0, 0), disc(), seed)[0].sum() / disc().sum()) for seed in range(30)]
    assert 0.8**2 - 0.03 < min(areas) < 0.8 and 1.25 < max(areas) < 1.2**2 + 0.03


def test_shift_is_a_share_of_the_side():
    shifts = []
    for seed in range(30):
        y, x = ndimage.center_of_mass(
            move(GeometrySettings(0, 0, 0.1, 0, 0), disc(64, 96, (32, 48)), seed)[0][0, 0].numpy()
        )
        shifts.append((abs(y - 32), abs(x - 48)))
    assert 5 < max(s[0] for s in shifts) <= 6.5 and 7.5 < max(s[1] for s in shifts) <= 9.7


def test_elastic_displacement_has_the_size_it_says():
    grid = random_grid(200, 48, 96, GeometrySettings(0, 0, 0, 0, 2.0), np.random.default_rng(0))
    still = random_grid(200, 48, 96, STILL, np.random.default_rng(0))
    pixels = (grid - still) * torch.tensor([96 / 2, 48 / 2])
    # at a control point (a corner) the deviation is exactly the setting; between them it is smaller
    assert pixels[:, 0, 0].std() == pytest.approx(2.0, rel=0.15)
    assert 0.8 < pixels.std() < 2.0


def test_what_comes_from_outside_is_air_and_background():
    moved, labels = move(GeometrySettings(0, 0, 0.4, 0, 0), torch.ones(4, 1, 32, 32), seed=1)
    assert (moved.amin((1, 2, 3)) == 0).all()
    assert (labels.amin((1, 2, 3)) == 0).all()
