"""Contours of structure sets against closed forms, against matplotlib's test of points, and against damage."""

import logging
import time
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from pydicom.tag import Tag

from ctstyle.ct import mask as masks
from ctstyle.ct import volume as volumes
from ctstyle.ct.labels import UnknownLabels
from ctstyle.ct.limits import OutOfBounds
from ctstyle.ct.mask import read_mask
from ctstyle.ct.rtstruct import MOST_POINTS, UnreadableStructures
from ctstyle.ct.volume import Volume
from tests.dicom_series import FRAME_UID, _item, segmentation
from tests.dicom_structures import contour, structure_set


def volume_of(shape=(6, 50, 40), spacing=(0.8, 0.9, 2.0), direction=None, origin=(-12.3, 20.7, 101.0)):
    return Volume(
        hu=np.zeros(shape, np.int16),
        origin_mm=origin,
        spacing_mm=spacing,
        direction=np.eye(3) if direction is None else direction,
        frame_of_reference_uid=FRAME_UID,
        patient_id="ID-4711",
    )


SAGITTAL_AXES = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float)
"""Columns: x runs from front to back, y from head to feet, z from left to right."""


def turned(degrees_z, degrees_x):
    c, s = np.cos(np.radians(degrees_z)), np.sin(np.radians(degrees_z))
    d, t = np.cos(np.radians(degrees_x)), np.sin(np.radians(degrees_x))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, d, -t], [0, t, d]])


def world(volume, flat, k):
    """Points (x, y) in mm on slice k, measured from the centre of its first pixel, in the patient's coordinates."""
    flat = np.asarray(flat, float)
    local = np.column_stack([flat, np.full(len(flat), k * volume.spacing_mm[2])])
    return local @ np.asarray(volume.direction).T + volume.origin_mm


def centres(volume):
    """Pixel centres (x, y) of a slice in mm from the centre of its first pixel, `[rows, columns, 2]`."""
    rows, columns = volume.hu.shape[1:]
    return np.stack(np.meshgrid(np.arange(columns) * volume.spacing_mm[0], np.arange(rows) * volume.spacing_mm[1]), -1)


def ellipse(centre, radii, points=400):
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.column_stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)])


def square(low, high):
    return np.array([[low, low], [high, low], [high, high], [low, high]])


def read(tmp_path, dataset, volume, label_map="totalsegmentator"):
    dataset.save_as(tmp_path / "rs.dcm", enforce_file_format=True)
    return read_mask(tmp_path / "rs.dcm", volume, label_map)


@pytest.mark.parametrize(
    "direction", [None, SAGITTAL_AXES, turned(20, 0), turned(-33, 71)], ids=["axial", "sagittal", "turned", "oblique"]
)
def test_an_ellipse_in_any_orientation_is_its_closed_form(tmp_path, direction):
    volume = volume_of(direction=direction)
    contours = [world(volume, ellipse((15.62, 20.41), (9 + k, 14)), k) for k in range(1, 5)]
    got = read(tmp_path, structure_set({"L1 vertebra": contours}), volume)
    assert np.unique(got).tolist() == [0, 31]
    assert not got[[0, 5]].any()
    for k in range(1, 5):
        x, y = np.moveaxis(centres(volume), -1, 0)
        radius = np.hypot((x - 15.62) / (9 + k), (y - 20.41) / 14)
        # the polygon of 400 points lies within 0.01 % inside the ellipse; no centre may lie between the two
        assert (abs(radius - 1) > 2e-4).all()
        np.testing.assert_array_equal(got[k] == 31, radius < 1)


def test_random_polygons_equal_matplotlib(tmp_path):
    rng = np.random.default_rng(5)
    volume = volume_of(direction=turned(10, 5))
    polygons = [rng.uniform(-4, 38, (int(rng.integers(3, 30)), 2)) for _ in range(6)]
    got = read(tmp_path, structure_set({"T7": [world(volume, p, k) for k, p in enumerate(polygons)]}), volume)
    for k, polygon in enumerate(polygons):
        # a line that crosses itself: matplotlib fills by winding, so its parity is taken from single triangles
        odd = np.zeros(got.shape[1:], bool)
        for a, b in pairwise(polygon[1:]):
            inside = Outline(np.array([polygon[0], a, b])).contains_points(centres(volume).reshape(-1, 2))
            odd ^= inside.reshape(odd.shape)
        assert odd.any()
        np.testing.assert_array_equal(got[k] == 37, odd)


def test_holes_drawn_as_contours_or_as_keyholes_are_the_same(tmp_path):
    volume = volume_of(spacing=(1.0, 1.0, 2.0))
    outer, hole = square(4.5, 30.5), square(10.5, 20.5)
    keyhole = np.concatenate([outer, outer[:1], hole[::-1][-1:], hole[::-1], outer[:1]])
    two = read(tmp_path, structure_set({"L2": [world(volume, outer, 2), world(volume, hole, 2)]}), volume)
    one = read(tmp_path, structure_set({"L2": [world(volume, keyhole, 2)]}), volume)
    expected = np.zeros(volume.hu.shape, np.uint8)
    expected[2, 5:31, 5:31] = 30
    expected[2, 11:21, 11:21] = 0
    np.testing.assert_array_equal(two, expected)
    np.testing.assert_array_equal(one, expected)


def test_centres_on_a_line_belong_to_it(tmp_path):
    volume = volume_of(spacing=(1.0, 1.0, 1.0))
    contours = [world(volume, square(5, 10), 1), world(volume, square(10, 15), 1), world(volume, square(6, 9), 1)]
    got = read(tmp_path, structure_set({"L2": contours}), volume) > 0
    expected = np.zeros(got.shape, bool)
    expected[1, 5:11, 5:11] = expected[1, 10:16, 10:16] = True
    expected[1, 7:9, 7:9] = False
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("planes", "slices"),
    [
        ([1.0, 2.0, 3.0], [1, 2, 3]),
        ([1.3, 2.3, 3.3], [1, 2, 3]),
        ([0.5, 1.5, 2.5], [1, 2, 3]),  # half-way: every plane is one slice
        ([-0.4, 5.4], [0, 5]),
        ([0.0, 0.33, 0.67, 1.0, 1.33], [0, 1]),  # drawn on thinner slices: the nearest plane alone
        ([0.0, 2.0, 4.0], [0, 1, 2, 3, 4, 5]),  # drawn on slices of 4 mm: the planes stand for what lies between
        ([0.0, 4.0], [0, 4]),  # 8 mm apart: two planes, nothing between
        ([2.0, 2.02], [2]),
    ],
)
def test_planes_beside_the_slices(tmp_path, planes, slices):
    volume = volume_of()
    dataset = structure_set({"L2": [world(volume, square(5, 20), k) for k in planes]})
    if planes == [2.0, 2.02]:  # one plane, rounded differently: the second contour is a hole
        dataset = structure_set({"L2": [world(volume, square(5, 20), 2.0), world(volume, square(8, 12), 2.02)]})
    got = read(tmp_path, dataset, volume) > 0
    assert np.flatnonzero(got.any(axis=(1, 2))).tolist() == slices
    if planes == [2.0, 2.02]:
        assert not got[2, 11, 12] and got[2, 7, 8]


def test_what_reaches_beyond_the_ct_is_cut_off(tmp_path):
    volume = volume_of(spacing=(1.0, 1.0, 2.0))
    got = read(tmp_path, structure_set({"L2": [world(volume, square(-500, 9.5), k) for k in (-3, 0, 40)]}), volume)
    expected = np.zeros(volume.hu.shape, bool)
    expected[0, :10, :10] = True
    np.testing.assert_array_equal(got > 0, expected)


# names


def test_names_codes_numbers_and_patterns_of_rois(tmp_path):
    volume = volume_of()
    rois = {name: [world(volume, square(5, 20), k)] for k, name in enumerate(["T12", "vertebra", "PTV_L1", "Body"])}
    dataset = structure_set(rois)
    code = _item(CodeValue="49668003", CodingSchemeDesignator="SCT", CodeMeaning="L5 vertebra")
    dataset.RTROIObservationsSequence = [_item(ReferencedROINumber=2, RTROIIdentificationCodeSequence=[code])]
    expected = {
        "totalsegmentator": [32, 27, 0, 0],
        "verse": [32, 27, 0, 0],
        "vertebrae": [255, 255, 255, 255],
        "name:ptv*": [0, 0, 31, 0],
        "name:[bv]*": [0, 27, 0, 255],
        "id:1,4": [255, 0, 0, 255],
    }
    for label_map, levels in expected.items():
        got = read(tmp_path, dataset, volume, label_map)
        assert got.max(axis=(1, 2)).tolist() == [*levels, 0, 0]
    with pytest.raises(UnknownLabels, match=r"ROIName \(3006,0026\) \(found T12, .*Body, expected .*name:PATTERN"):
        read(tmp_path, dataset, volume, "name:bone")
    with pytest.raises(UnknownLabels, match=r"found 1, 2, 3, 4, expected .*id:9"):
        read(tmp_path, dataset, volume, "id:9")


def test_the_higher_label_wins_where_rois_overlap(tmp_path):
    volume = volume_of()
    rois = {"T12": [world(volume, square(5, 20), 1)], "L1": [world(volume, square(10, 28), 1)]}
    got = read(tmp_path, structure_set(rois), volume)[1]
    assert got[14, 15] == 32 and got[25, 30] == 31 and got[7, 8] == 32


def test_points_open_contours_and_empty_rois_are_no_vertebrae(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    volume = volume_of()
    dataset = structure_set({"L1": [world(volume, square(5, 20), 1)], "L2": [], "L3": []})
    item = dataset.ROIContourSequence[0]
    item.ContourSequence.append(contour(world(volume, [[1, 1]], 2), "POINT"))
    item.ContourSequence.append(contour(world(volume, square(5, 20), 3), "OPEN_PLANAR"))
    item.ContourSequence.append(contour(world(volume, square(5, 20)[:2], 4)))
    del dataset.ROIContourSequence[2].ContourSequence
    got = read(tmp_path, dataset, volume)
    assert np.unique(got).tolist() == [0, 31] and np.flatnonzero(got.any(axis=(1, 2))).tolist() == [1]
    assert "1 CLOSED_PLANAR of fewer than 3 points, 1 OPEN_PLANAR, 1 POINT" in caplog.text
    item.ContourSequence = item.ContourSequence[1:]
    with pytest.raises(UnreadableStructures, match=r"no closed contour .*found 1 CLOSED_PLANAR of fewer.*1 POINT"):
        read(tmp_path, dataset, volume)


# structure sets that do not belong


def test_a_structure_set_of_someone_or_somewhere_else(tmp_path):
    volume = volume_of()
    rois = {"L1": [world(volume, square(5, 20), 1)], "Body": []}
    with pytest.raises(masks.MaskOfAnotherPatient, match=r"PatientID \(0010,0020\)") as caught:
        read(tmp_path, structure_set(rois, PatientID="SOMEONE-ELSE"), volume)
    assert "SOMEONE" not in str(caught.value)
    dataset = structure_set(rois)
    dataset.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.9"  # of an ROI that nobody asks for
    read(tmp_path, dataset, volume)
    dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3.4"
    with pytest.raises(masks.MaskFrameOfReference, match=rf"found 1\.2\.3\.4, and {FRAME_UID} in the CT"):
        read(tmp_path, dataset, volume)
    far = structure_set({"L1": [world(volume, square(5, 20) + 900, 1)]})
    with pytest.raises(volumes.MaskElsewhere, match="no label of the mask lies inside"):
        read(tmp_path, far, volume)


def test_contours_across_the_slices(tmp_path):
    volume = volume_of()
    upright = np.array([[5, 10, 2], [20, 10, 2], [20, 10, 8], [5, 10, 8]]) + np.array(volume.origin_mm)
    with pytest.raises(UnreadableStructures, match=r"not lie in the plane .*found points over 6\.0 mm .*drawn on"):
        read(tmp_path, structure_set({"L1": [upright]}), volume)


def test_a_structure_set_and_a_seg_in_one_place(tmp_path):
    volume = volume_of()
    structures = structure_set({"L1": [world(volume, square(5, 20), 1)]})
    structures.save_as(tmp_path / "rs.dcm", enforce_file_format=True)
    seg = segmentation([(1, (0, 0, 0), np.ones((4, 4), bool))], {1: "L1"})
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    with pytest.raises(masks.NoMask, match=r"seg\.dcm and .*rs\.dcm: .* SEG or RTSTRUCT \(found 2,"):
        read_mask(tmp_path, volume, "vertebrae")
    assert read_mask(tmp_path, volume, "verse", mask_uid=structures.SOPInstanceUID).max() == 31


# damage


def first(dataset):
    return dataset.ROIContourSequence[0].ContourSequence[0]


def no_sequence(keyword):
    def change(dataset):
        del dataset[Tag(keyword)]

    return change


def data(value, **tags):
    def change(dataset):
        first(dataset).ContourData = value
        for keyword, entry in tags.items():
            setattr(first(dataset), keyword, entry)

    return change


def cut(dataset):
    first(dataset).ContourData = first(dataset).ContourData[:-1]


def points_cut(dataset):
    first(dataset).ContourData = first(dataset).ContourData[:-3]


def unnumbered(dataset):
    dataset.ROIContourSequence[0].ReferencedROINumber = None


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (no_sequence("StructureSetROISequence"), UnknownLabels, "found no segment"),
        (no_sequence("ROIContourSequence"), UnreadableStructures, "no closed contour .*found no contour"),
        (unnumbered, UnreadableStructures, r"ROI without a number; ReferencedROINumber \(3006,0084\)"),
        (cut, UnreadableStructures, r"ContourData \(3006,0050\) \(found 11 values for 4 points"),
        (points_cut, UnreadableStructures, "found 9 values for 4 points"),
        (data(["1", "2", "nan"] * 4), UnreadableStructures, "no finite numbers"),
        (data(["1", "2", "1e999"] * 4), UnreadableStructures, "no finite numbers"),
        (data(["1e300", "2", "3", *"123123123"]), OutOfBounds, "ContourData .*found 1e.300"),
        (
            data(["1"] * 3 * (MOST_POINTS + 1), NumberOfContourPoints=None),
            UnreadableStructures,
            f"found {MOST_POINTS + 1} points in one contour",
        ),
    ],
)
def test_damaged_structure_sets_say_what_is_wrong(tmp_path, change, error, words):
    volume = volume_of(direction=turned(30, 30))
    dataset = structure_set({"L1": [world(volume, square(5, 20), 1)]})
    change(dataset)
    with pytest.raises(error, match=words):
        read(tmp_path, dataset, volume)


def test_millions_of_points_are_refused_at_once(tmp_path):
    volume = volume_of()
    dataset = structure_set({"L1": [world(volume, square(5, 20), 1)]})
    first(dataset).add_new("ContourData", "UN", b"1\\" * 8_999_999 + b"1")
    dataset.save_as(tmp_path / "rs.dcm", enforce_file_format=True)
    started = time.perf_counter()
    with pytest.raises(UnreadableStructures, match="found 3000000 points in one contour"):
        read_mask(tmp_path / "rs.dcm", volume, "verse")
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
def test_contours_longer_than_a_value_of_their_kind_may_be(tmp_path, syntax):
    """An explicit DS ends at 65534 bytes; longer ones are written with the value representation UN."""
    volume = volume_of()
    outline = ellipse((15.13, 20.31), (9, 14), points=6000)
    dataset = structure_set({"L1": [world(volume, outline, 2)]})
    dataset.file_meta.TransferSyntaxUID = syntax
    x, y = np.moveaxis(centres(volume), -1, 0)
    got = read(tmp_path, dataset, volume)
    assert (tmp_path / "rs.dcm").stat().st_size > 2 * 65534
    np.testing.assert_array_equal(got[2] == 31, np.hypot((x - 15.13) / 9, (y - 20.31) / 14) < 1)


def test_text_that_is_no_number(tmp_path):
    volume = volume_of()
    dataset = structure_set({"L1": [world(volume, square(5, 20), 1)]})
    first(dataset).ContourData = ["7.7777", *first(dataset).ContourData[1:]]
    dataset.save_as(tmp_path / "rs.dcm", enforce_file_format=True)
    path = tmp_path / "rs.dcm"
    path.write_bytes(path.read_bytes().replace(b"7.7777", b"7,77a7"))
    with pytest.raises(UnreadableStructures, match=r"ContourData .*ValueError: could not convert"):
        read_mask(path, volume, "verse")
