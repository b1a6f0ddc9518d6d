"""The window against its formula, the body mask against drawn bodies and a real scan."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from ctstyle.ct.read import read_volume
from ctstyle.errors import CTStyleError
from ctstyle.slices.body import body_mask, tissue_threshold, trunk_mask
from ctstyle.slices.window import Window

WINDOW = Window(-250, 750)


def test_unit_values_of_known_hounsfield():
    got = WINDOW.to_unit(np.array([-1000, -250, 0, 250, 750, 3000], np.int16))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [0, 0, 0.25, 0.5, 1, 1], atol=1e-7)


@given(
    hnp.arrays(np.int16, (4, 5), elements=st.integers(-2000, 3000)),
    st.tuples(st.integers(-1024, 0), st.integers(1, 3000)),
)
def test_round_trip_within_the_window(hu, limits):
    window = Window(*limits)
    back = window.to_hu(window.to_unit(hu))
    assert back.dtype == np.int16
    np.testing.assert_array_equal(back, np.clip(hu, *limits))
    np.testing.assert_array_equal(window.clip(hu), np.clip(hu, *limits))


@pytest.mark.parametrize("limits", [(750, -250), (0, 0)])
def test_an_empty_window_is_refused(limits):
    with pytest.raises(CTStyleError, match="slices: window_hu"):
        Window(*limits)


def drawn(shape=(120, 120), air=-1000):
    """A body (ellipse of muscle with lung and spine), 6 px behind it a table 3 px thick, and air."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    body = ((x - 60) / 50) ** 2 + ((y - 50) / 35) ** 2 < 1
    hu = np.where(body, 40, air).astype(float)
    hu[((x - 40) / 12) ** 2 + ((y - 45) / 15) ** 2 < 1] = max(air, -850)
    hu[((x - 60) / 8) ** 2 + ((y - 68) / 8) ** 2 < 1] = 400
    hu[91:94] = 200
    return hu, body


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("noise", [0, 40])
def test_body_with_its_lung_and_without_table_and_noise(clip, noise):
    hu, body = drawn()
    hu = hu + np.random.default_rng(0).normal(0, noise, hu.shape)
    hu = WINDOW.clip(hu) if clip else hu
    got = body_mask(hu, WINDOW)
    assert got[51, 40], "the lung is inside"
    assert not got[91:].any(), "the table is outside"
    union, common = (got | body).sum(), (got & body).sum()
    assert common / union > 0.98


def test_display_export_of_a_narrow_window_has_the_same_body():
    hu, _ = drawn()
    shown = -250 + np.clip((hu + 160) / 400, 0, 1) * 1000
    np.testing.assert_array_equal(body_mask(shown, WINDOW), body_mask(hu, WINDOW))


def test_every_slice_has_a_mask_of_its_own_and_air_has_none():
    hu, _ = drawn()
    stack = np.stack([hu, np.full(hu.shape, -1000.0), np.roll(hu, 5, axis=1)])
    got = body_mask(stack, WINDOW)
    np.testing.assert_array_equal(got[0], body_mask(hu, WINDOW))
    assert not got[1].any()
    np.testing.assert_array_equal(got[2][:, 5:], got[0][:, :-5])


def test_a_body_cut_by_the_crop_keeps_its_edge():
    hu, body = drawn()
    got = body_mask(hu[20:84, 25:95], WINDOW)
    np.testing.assert_array_equal(got, body[20:84, 25:95])


def test_the_threshold_lies_between_clipped_air_and_fat():
    assert -250 < tissue_threshold(WINDOW) < -120
    assert tissue_threshold(Window(-1000, 1000)) == -300


def test_an_arm_that_touches_is_no_trunk():
    y, x = np.mgrid[:120, :160]
    trunk = ((x - 70) / 50) ** 2 + ((y - 50) / 35) ** 2 < 1
    arm = ((x - 134) / 15) ** 2 + ((y - 55) / 15) ** 2 < 1
    assert ndimage.label(trunk | arm)[1] == 1
    got = trunk_mask(trunk | arm)
    assert (got & trunk).sum() > 0.99 * trunk.sum() and (got & arm & ~trunk).sum() < 0.15 * arm.sum()


def test_a_real_body_holds_all_organs_and_no_air_around(shared_data):
    folder = shared_data / "lumbar_3mm_nifti"
    volume = read_volume(folder / "example_ct.nii.gz")
    organs = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "all117_fast.nii.gz"))) > 0
    got = body_mask(volume.hu, WINDOW)
    assert got[organs].mean() > 0.99
    assert got.mean() < 0.75 and (volume.hu[~got] < -150).mean() > 0.9
