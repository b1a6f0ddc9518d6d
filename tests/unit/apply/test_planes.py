"""Planes at the generator's spacing: the same pixels as the slices of training, and a way back that adds."""

from dataclasses import replace

import numpy as np
import pytest

from ctstyle.apply.planes import Planes, padded
from ctstyle.ct.volume import Volume
from ctstyle.slices.cut import cut
from ctstyle.study.data import SliceSettings

TURNED = np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]])
"""The volume runs to the patient's right and front."""


def scan(direction=None, spacing=(1.5, 1.5, 4.0)) -> Volume:
    y, x = np.mgrid[:90, :100]
    noise = np.random.default_rng(0).normal(0, 20, (20, 90, 100))
    hu = np.where(np.hypot((y - 45) * 1.2, x - 52) < 40, 50, -1000) + noise + 5 * np.arange(20)[:, None, None]
    hu[:, 60:70, 45:58] = 400
    direction = np.eye(3) if direction is None else direction
    return Volume(hu=hu.astype(np.int16), origin_mm=(-70.2, -61.7, 13.0), spacing_mm=spacing, direction=direction)


@pytest.mark.parametrize("direction", [None, TURNED])
@pytest.mark.parametrize("spacing_mm", [2.0, 1.0])
@pytest.mark.parametrize("orientation", ["axial", "sagittal"])
def test_a_plane_shows_what_a_slice_of_the_training_shows(orientation, spacing_mm, direction):
    volume = scan(direction)
    settings = SliceSettings(
        orientation=orientation, size_px=32, spacing_mm=spacing_mm, every_mm=1.0, sagittal_range_mm=500
    )
    planes = Planes.of(volume, settings)
    hu, _, rows = cut(volume, None, replace(settings, every_mm=planes.step_mm))
    assert len(planes) == len(hu)
    np.testing.assert_allclose(planes.position_mm, rows["position_mm"], atol=1e-3)
    k = len(hu) // 2
    plane = planes.take(k)
    upper, left = (planes.straight.centres(axis) for axis in ((2, 1) if orientation == "sagittal" else (1, 0)))
    first_row = (
        (np.rint(upper[-1] / spacing_mm) * spacing_mm - rows["row0_mm"][k])
        if orientation == "sagittal"
        else (rows["row0_mm"][k] - np.rint(upper[0] / spacing_mm) * spacing_mm)
    )
    row = round(first_row / spacing_mm)
    column = round((rows["column0_mm"][k] - np.rint(left[0] / spacing_mm) * spacing_mm) / spacing_mm)
    inner = (
        slice(max(0, -row) + 1, min(32, plane.shape[0] - row) - 1),
        slice(max(0, -column) + 1, min(32, plane.shape[1] - column) - 1),
    )
    shown = plane[inner[0].start + row : inner[0].stop + row, inner[1].start + column : inner[1].stop + column]
    assert shown.size > 200
    np.testing.assert_array_equal(np.rint(shown), hu[k][inner])


@pytest.mark.parametrize("orientation", ["axial", "sagittal"])
@pytest.mark.parametrize("spacing_mm", [2.0, 1.0])
def test_a_change_arrives_at_its_place_on_the_voxels_and_nowhere_else(orientation, spacing_mm):
    volume = scan(TURNED)
    before = volume.hu.copy()
    planes = Planes.of(volume, SliceSettings(orientation=orientation, spacing_mm=spacing_mm))
    k = len(planes) // 2
    shape = planes.take(k).shape
    # a ramp is met exactly by linear interpolation; its upper left quarter is the body
    ramp = np.add.outer(np.arange(shape[0]) * 2.0, np.arange(shape[1]) * 1.0)
    body = np.zeros(shape, dtype=bool)
    body[: shape[0] // 2, : shape[1] // 2] = True
    old = planes.native(k).astype(int).copy()
    planes.change(k, ramp, body)
    change = planes.native(k).astype(int) - old
    moved = change != 0
    assert moved.any() and not moved[old > 750].any() and not moved[old < -250].any()
    rows, columns = np.nonzero(moved)
    assert rows.max() <= old.shape[0] / 2 + 2 and columns.max() <= old.shape[1] / 2 + 2
    inner = moved[3:-3, 3:-3] & (old[3:-3, 3:-3] < 600)
    steps = [planes.straight.step_mm[axis] / spacing_mm for axis in ((2, 1) if orientation == "sagittal" else (1, 0))]
    expected = np.add.outer(np.arange(old.shape[0]) * 2.0 * steps[0], np.arange(old.shape[1]) * steps[1])[3:-3, 3:-3]
    shift = (change[3:-3, 3:-3] - expected)[inner]
    assert np.ptp(shift) < 3.1, "the slopes are those of the ramp, but for the rounding"
    others = [one for one in range(len(planes)) if one != k]
    fresh = Planes.of(replace(volume, hu=before), SliceSettings(orientation=orientation, spacing_mm=spacing_mm))
    assert all(np.array_equal(fresh.native(one), planes.native(one)) for one in others)


def test_voxels_stay_inside_the_window_and_outside_it_stay():
    volume = scan()
    volume.hu[5, 40:44, 40:44] = [[-1000, -240, 700, 1500]] * 4
    planes = Planes.of(volume, SliceSettings())
    body = np.ones(planes.take(5).shape, dtype=bool)
    planes.change(5, np.full(body.shape, 100.0), body)
    assert volume.hu[5, 41, 40:44].tolist() == [-1000, -140, 750, 1500]


def test_planes_are_continued_to_a_multiple_of_sixteen():
    one = padded(np.arange(2 * 17 * 32.0).reshape(2, 17, 32))
    assert one.shape == (2, 32, 32)
    np.testing.assert_array_equal(one[:, 17:], np.repeat(one[:, 16:17], 15, axis=1))
