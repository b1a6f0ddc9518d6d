"""Cutting against a volume whose anatomy is known, the real scans, and every setting that must change something."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.ct.volume import Volume
from ctstyle.slices.crop import NoBody
from ctstyle.slices.cut import NoLabels, cut
from ctstyle.study.data import SliceSettings

SMALL = SliceSettings(size_px=64, spacing_mm=4.0, every_mm=5.0)
RIGHT, FRONT = 300, 600
"""HU of a marker in the patient's right and of one in front."""


def patient():
    """HU and labels `[z, y, x]` at 2 mm, z 5 mm: an elliptic trunk, a spine in three levels and two markers."""
    z, y, x = np.mgrid[:30, :100, :140]
    hu = np.where(((x - 70) / 60) ** 2 + ((y - 50) / 40) ** 2 < 1, 40, -1000).astype(np.int16)
    vertebra = (abs(x - 70) < 10) & (abs(y - 75) < 10) & (z >= 6) & (z < 24)
    labels = np.where(vertebra, 31 + (z - 6) // 6, 0).astype(np.uint8)  # from below: L1 31, T12 32, T11 33
    hu[vertebra] = 700
    hu[(abs(x - 25) < 4) & (abs(y - 45) < 4)] = RIGHT
    hu[(abs(x - 70) < 4) & (abs(y - 18) < 4)] = FRONT
    return hu, labels


def volume_of(hu, **changes):
    fields = {"origin_mm": (-140.0, -100.0, 7.0), "spacing_mm": (2.0, 2.0, 5.0), "direction": np.eye(3)}
    uids = tuple(f"1.2.{k}" for k in range(len(hu)))
    return Volume(hu=hu, sop_instance_uids=uids, **(fields | changes))


@pytest.fixture(scope="module")
def straight():
    hu, labels = patient()
    return volume_of(hu), labels


def where(image, value):
    return np.argwhere(abs(image - value) < 60).mean(axis=0)


def test_axial_slices_show_the_front_at_the_top_and_the_right_on_the_left(straight):
    hu, labels, rows = cut(*straight, SMALL)
    assert hu.shape == labels.shape == (18, 64, 64) and hu.dtype == np.int16 and labels.dtype == np.uint8
    image = hu[5]
    front, spine = where(image, FRONT), np.argwhere(labels[5] > 0).mean(axis=0)
    assert front[0] < spine[0] and abs(front[1] - spine[1]) < 1
    assert where(image, RIGHT)[1] < spine[1] - 8
    # world coordinates of what is seen
    y, x = rows.row0_mm[5] + 4 * spine[0], rows.column0_mm[5] + 4 * spine[1]
    assert (y, x) == pytest.approx((-100 + 75 * 2, -140 + 70 * 2), abs=2)


def test_the_crop_ends_behind_the_back_and_is_centred_on_the_midline(straight):
    _, _, rows = cut(*straight, SMALL)
    back, midline = -100 + 90 * 2, 0.0
    last = rows.row0_mm[0] + 4 * 63
    assert back < last < back + 20 + 16  # the margin, and half a step of the crop either way
    assert abs(rows.column0_mm[0] + 4 * 32 - midline) <= 16


def test_body_crop_is_centred_on_the_body(straight):
    _, _, rows = cut(*straight, replace(SMALL, crop="body"))
    assert abs(rows.row0_mm[0] + 4 * 32 - 0.0) <= 16 and abs(rows.column0_mm[0] + 4 * 32) <= 16


def test_only_the_labelled_range_is_kept_and_each_slice_knows_its_level_and_file(straight):
    _, labels, rows = cut(*straight, SMALL)
    assert rows.position_mm.tolist() == [7 + 5.0 * k for k in range(6, 24)]
    assert rows.level.tolist() == [31] * 6 + [32] * 6 + [33] * 6
    assert rows.sop_instance_uid.tolist() == [f"1.2.{k}" for k in range(6, 24)]
    assert rows.foreground_px.tolist() == (labels > 0).sum(axis=(1, 2)).tolist()
    assert (labels[0] > 0).sum() * 16 == pytest.approx(19 * 19 * 4, rel=0.2)


def test_a_scan_without_a_mask_keeps_all_its_slices(straight):
    _, labels, rows = cut(straight[0], None, SMALL)
    assert len(rows) == 30 and not labels.any() and (rows.level == 0).all()


def test_unnamed_vertebrae_have_no_level(straight):
    volume, labels = straight
    _, marks, rows = cut(volume, np.where(labels > 0, 255, 0).astype(np.uint8), SMALL)
    assert (rows.level == 0).all() and (rows.foreground_px > 0).all() and set(np.unique(marks)) == {0, 255}


def test_digests_are_of_the_bytes(straight):
    hu, labels, rows = cut(*straight, SMALL)
    for k in range(len(rows)):
        assert rows.sha256[k] == hashlib.sha256(hu[k].tobytes() + labels[k].tobytes()).hexdigest()


@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1, 2)])
def test_axes_that_run_the_other_way_give_the_same_slices(straight, flips):
    volume, labels = straight
    direction, origin = np.eye(3), np.array(volume.origin_mm)
    for axis in flips:
        direction[axis, axis] = -1
        origin[axis] += volume.spacing_mm[axis] * (volume.hu.shape[2 - axis] - 1)
    turned = tuple(2 - axis for axis in flips)
    uids = volume.sop_instance_uids[::-1] if 2 in flips else volume.sop_instance_uids
    other = replace(
        volume,
        hu=np.flip(volume.hu, turned),
        origin_mm=tuple(origin),
        direction=direction,
        sop_instance_uids=uids,
    )
    assert same(cut(volume, labels, SMALL), cut(other, np.flip(labels, turned), SMALL))


@pytest.mark.parametrize("orientation", ["axial", "sagittal"])
def test_a_sagittal_acquisition_gives_the_same_slices(straight, orientation):
    volume, labels = straight
    settings = replace(SMALL, orientation=orientation)
    # rows run down, columns to the back, slices to the right, as a scanner's sagittal reformat
    order = lambda array: array.transpose(2, 0, 1)[::-1, ::-1, :]  # noqa: E731
    first = (-140 + 2 * 139, -100, 7 + 5 * 29)
    direction = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float)
    other = Volume(
        hu=order(volume.hu),
        origin_mm=first,
        spacing_mm=(2.0, 5.0, 2.0),
        direction=direction,
        sop_instance_uids=tuple(f"1.3.{k}" for k in range(140)),
    )
    expected, got = cut(volume, labels, settings), cut(other, order(labels), settings)
    if orientation == "sagittal":  # now every slice is a file
        x = got[2].position_mm.to_numpy()
        assert got[2].sop_instance_uid.tolist() == [f"1.3.{round((first[0] - one) / 2)}" for one in x]
    else:
        assert (got[2].sop_instance_uid == "").all()
    assert same(expected, got, but=("sop_instance_uid",))


def same(one, other, but=()):
    rows, others = (found[2].drop(columns=list(but)) for found in (one, other))
    return np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1]) and rows.equals(others)


def test_sagittal_slices_show_the_head_at_the_top_and_the_front_on_the_left(straight):
    hu, labels, rows = cut(*straight, replace(SMALL, orientation="sagittal", every_mm=4, sagittal_range_mm=12))
    assert rows.position_mm.tolist() == pytest.approx(list(range(-12, 13, 4)), abs=2)
    middle = len(rows) // 2
    front, spine = where(hu[middle], FRONT), np.argwhere(labels[middle] > 0).mean(axis=0)
    assert front[1] < spine[1]
    heights = [np.argwhere(labels[middle] == level)[:, 0].mean() for level in (33, 32, 31)]
    assert heights == sorted(heights)  # T11 lies above L1
    assert (rows.level == 32).all() and (rows.orientation == "sagittal").all()
    below = labels[middle][np.argwhere(labels[middle] > 0)[:, 0].max() + 2 :]
    assert (hu[middle][-len(below) :] == -250).all(), "what is not labelled is not shown"


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"size_px": 48}, lambda hu, rows: hu.shape[1]),
        ({"spacing_mm": 3.0}, lambda hu, rows: (hu > 0).mean()),
        ({"window_hu": (-100, 400)}, lambda hu, rows: (hu.min(), hu.max())),
        ({"every_mm": 12.0}, lambda hu, rows: len(rows)),
        ({"crop": "body"}, lambda hu, rows: rows.row0_mm[0]),
        ({"orientation": "sagittal"}, lambda hu, rows: rows.orientation[0]),
    ],
)
def test_every_setting_changes_the_slices(straight, change, seen):
    before, after = cut(*straight, SMALL), cut(*straight, replace(SMALL, **change))
    assert seen(before[0], before[2]) != seen(after[0], after[2])


def test_the_sagittal_range_changes_the_slices(straight):
    settings = replace(SMALL, orientation="sagittal")
    assert len(cut(*straight, settings)[0]) > len(cut(*straight, replace(settings, sagittal_range_mm=6))[0])


def test_slices_are_native_and_nearest_to_the_wanted_positions(straight):
    _, _, rows = cut(*straight, replace(SMALL, every_mm=12.0))
    first = 7 + 5 * 6
    assert rows.position_mm.tolist() == [first + d for d in (0, 10, 25, 35, 50, 60, 70, 85)]  # 0, 12, 24, 36, 48 ...


def test_air_and_empty_masks_are_refused(straight):
    volume, labels = straight
    with pytest.raises(NoLabels, match="labels no voxel"):
        cut(volume, np.zeros_like(labels), SMALL)
    with pytest.raises(NoBody, match="window_hu"):
        cut(replace(volume, hu=np.full_like(volume.hu, -1000)), None, SMALL)


def test_a_single_sagittal_image_has_no_axial_slices(straight):
    volume, _ = straight
    middle = volume.hu.shape[2] // 2
    image = replace(volume, hu=volume.hu[:, :, middle : middle + 1], sop_instance_uids=())
    with pytest.raises(NoBody, match=r"no body in any of its axial slices .* orientation: sagittal"):
        cut(image, None, SMALL)


def test_noise_and_a_burnt_in_window_do_not_move_the_crop(straight):
    volume, labels = straight
    noisy = volume.hu + np.random.default_rng(1).normal(0, 40, volume.hu.shape)
    shown = -250 + np.rint(np.clip((noisy + 160) / 400, 0, 1) * 255) / 255 * 1000
    places = [
        cut(replace(volume, hu=hu.astype(np.int16)), labels, SMALL)[2][["row0_mm", "column0_mm"]].to_numpy()
        for hu in (volume.hu, noisy, shown)
    ]
    for other in places[1:]:
        np.testing.assert_array_equal(places[0], other)


def test_real_vertebrae_lie_inside_the_default_crop(shared_data):
    folder = shared_data / "siemens_br38f_t11_t12"
    volume = read_volume(folder / "dicom")
    labels = read_mask(folder / "vertebrae_mask_on_dicom_grid.nii.gz", volume, "totalsegmentator")
    hu, marks, rows = cut(volume, labels, SliceSettings(every_mm=2.0))
    labelled = np.flatnonzero(labels.any(axis=(1, 2)))
    assert len(hu) == labelled[-1] - labelled[0] + 1 and set(rows.level) == {32, 33}
    whole = (labels > 0).sum() * np.prod(volume.spacing_mm[:2])
    assert (marks > 0).sum() * 4.0 == pytest.approx(whole, rel=0.01), "no part of a vertebra is cut off"
    margin = marks.copy()
    margin[:, 4:-4, 4:-4] = 0
    assert not margin.any()


def test_two_kernels_of_one_real_scan_get_the_same_crop(shared_data):
    frames = [
        cut(read_volume(shared_data / "siemens_kernel_pair" / name), None, replace(SMALL, every_mm=40))[2]
        for name in ("B70f", "B40f")
    ]
    columns = ["position_mm", "row0_mm", "column0_mm"]
    assert frames[0][columns].equals(frames[1][columns])


def test_real_sagittal_slices(shared_data):
    for path in sorted((shared_data / "ny_sbu_sagittal").glob("*.dcm"))[:3]:
        volume = read_volume(path)
        hu, _, rows = cut(volume, None, SliceSettings(orientation="sagittal", size_px=128))
        assert hu.shape == (1, 128, 128) and rows.sop_instance_uid[0] == volume.sop_instance_uids[0]
        assert (hu[0] > 200).mean() > 0.03  # the bones of the spine
        air = (hu[0] == -250).mean(axis=0)
        assert air[-3:].mean() > 2 * air[-40:-8].mean()  # the back, and the air behind it, lie on the right
