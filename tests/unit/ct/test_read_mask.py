"""Masks against the NRRD files of a real DICOM-SEG, against highdicom, and against masks that do not belong."""

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk

from ctstyle.ct import mask as masks
from ctstyle.ct import volume as volumes
from ctstyle.ct.anatomy import VERSE_IDS, VERTEBRA_NAMES
from ctstyle.ct.files import TruncatedFile
from ctstyle.ct.index import index
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.ct.seg import UnreadableSegmentation
from ctstyle.ct.volume import Volume
from ctstyle.ct.volume_file import NotThreeDimensional
from tests.dicom_series import FRAME_UID, ct_series, random_hu, segmentation, write

ORIGIN = (-10.0, -20.0, 30.0)


@pytest.fixture
def volume(tmp_path):
    """The synthetic series: 5 slices of 12 x 10 pixels, 2.5 mm apart from z = 30."""
    return read_volume(write(ct_series(random_hu()), tmp_path / "ct"))


def place(k):
    return (ORIGIN[0], ORIGIN[1], ORIGIN[2] + 2.5 * k)


def blocks():
    """One mask per slice, no two alike and none symmetric."""
    frames = np.zeros((5, 12, 10), bool)
    for k in range(5):
        frames[k, 2 + k : 9, 1 : 4 + k] = True
    return frames


# real files


def test_real_dicom_seg_equals_its_nrrd(shared_data):
    folder = shared_data / "ge_3slice_dicomseg"
    ct = read_volume(folder / "dicom")
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "liver_seg.nrrd"))) > 0
    for source in (folder / "liver.dcm", folder / "liver_seg.nrrd"):
        np.testing.assert_array_equal(read_mask(source, ct, "vertebrae") == 255, expected)
    assert expected.sum() == 107098
    with index(
        folder / "liver.dcm"
    ) as found:  # its frames run from feet to head, the files of the CT from head to feet
        groups = found.segmentations[0].header.PerFrameFunctionalGroupsSequence
        heights = [group.PlanePositionSequence[0].ImagePositionPatient[2] for group in groups]
    assert heights == sorted(heights) and ct.origin_mm[2] == pytest.approx(heights[0], abs=1e-3)


def test_real_nifti_on_the_grid_and_flipped_against_it(shared_data):
    folder = shared_data / "siemens_br38f_t11_t12"
    ct = read_volume(folder / "dicom")
    on_grid = sitk.ReadImage(str(folder / "vertebrae_mask_on_dicom_grid.nii.gz"))
    expected = sitk.GetArrayFromImage(on_grid)
    np.testing.assert_array_equal(
        read_mask(folder / "vertebrae_mask_on_dicom_grid.nii.gz", ct, "totalsegmentator"), expected
    )
    assert np.unique(expected).tolist() == [0, 32, 33]
    flipped = read_mask(folder / "example_seg_dicom.nii.gz", ct, "vertebrae")  # 117 organs, y runs the other way
    raw = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "example_seg_dicom.nii.gz")))
    np.testing.assert_array_equal(flipped > 0, raw[:, ::-1] > 0)


@pytest.mark.parametrize(
    "name", ["binary", "binary_overlap", "binary_fractional", "true_fractional", "binary_single_frame"]
)
def test_dicom_seg_variants_equal_highdicom(shared_data, name):
    path = shared_data / "highdicom_seg" / f"seg_image_ct_{name}.dcm"
    seg = highdicom.seg.segread(path)
    grid = seg.get_volume(combine_segments=False, rescale_fractional=True, allow_missing_positions=True)
    expected = grid.array.max(axis=-1) >= 0.5
    affine = np.array(grid.affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # highdicom's array axes are (slice, row, column), its affine columns likewise
    ct = Volume(
        hu=np.zeros(expected.shape, np.int16),
        origin_mm=tuple(affine[:3, 3]),
        spacing_mm=tuple(spacing[::-1]),
        direction=(affine[:3, :3] / spacing)[:, ::-1],
    )
    np.testing.assert_array_equal(read_mask(path, ct, "vertebrae") > 0, expected)


def test_verse_labels_of_a_real_mask(shared_data):
    path = shared_data / "verse_masks" / "sub-verse004_seg-vert_msk.nii.gz"
    image = sitk.ReadImage(str(path))
    raw = sitk.GetArrayFromImage(image)
    got = read_mask(path, Volume.from_sitk(image), "verse")
    for number in np.unique(raw[raw > 0]):
        assert (got[raw == number] == VERSE_IDS[int(number)]).all()


# label schemes


def test_label_schemes_name_the_same_vertebrae():
    names = {label: name for label, name in VERTEBRA_NAMES.items()}
    published = {1: "C1", 7: "C7", 8: "T1", 19: "T12", 20: "L1", 24: "L5", 26: "sacrum"}  # VerSe 2020, table 1
    assert {number: names[VERSE_IDS[number]] for number in published} == published
    published = {
        25: "sacrum",
        26: "S1",
        27: "L5",
        31: "L1",
        32: "T12",
        43: "T1",
        44: "C7",
        50: "C1",
    }  # TotalSegmentator v2
    assert {label: names[label] for label in published} == published


# geometry


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
def test_frames_are_placed_by_position_not_by_number(tmp_path, volume, order):
    frames = blocks()
    seg = segmentation([(1, place(k), frames[k]) for k in order], {1: "L1 vertebra"})
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_mask(tmp_path / "seg.dcm", volume, "totalsegmentator"), frames * 31)


def test_frames_that_run_backwards_along_both_axes(tmp_path, volume):
    frames = blocks()
    turned = [(1, (ORIGIN[0] + 9 * 1.5, ORIGIN[1] + 11 * 1.5, place(k)[2]), frames[k, ::-1, ::-1]) for k in range(5)]
    seg = segmentation(turned, {1: "L1"})
    orientation = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    orientation.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_mask(tmp_path / "seg.dcm", volume, "totalsegmentator"), frames * 31)


def test_planes_without_a_frame_stay_empty_and_the_higher_label_wins_an_overlap(tmp_path, volume):
    frames = blocks()
    seg = segmentation(
        [(1, place(4), frames[4]), (2, place(4), frames[0]), (1, place(1), frames[1]), (3, place(2), frames[2])],
        {1: "L1 vertebra", 2: "T12 vertebra", 3: "Liver"},
    )
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    expected = np.zeros((5, 12, 10), np.uint8)
    expected[1][frames[1]] = 31
    expected[4][frames[4]] = 31
    expected[4][frames[0]] = 32
    np.testing.assert_array_equal(read_mask(tmp_path / "seg.dcm", volume, "totalsegmentator"), expected)


def test_the_seg_is_found_beside_its_ct(tmp_path, volume):
    seg = segmentation([(1, place(k), blocks()[k]) for k in range(5)], {1: "S1"})
    seg.save_as(tmp_path / "ct" / "seg.dcm", enforce_file_format=True)
    assert read_volume(tmp_path / "ct").hu.shape == (5, 12, 10)
    assert np.unique(read_mask(tmp_path / "ct", volume, "totalsegmentator")).tolist() == [0, 26]


def test_a_finer_mask_is_carried_over_by_the_nearest_voxel(tmp_path, volume):
    frames = blocks().astype(np.uint8) * 40
    fine = sitk.GetImageFromArray(frames.repeat(3, axis=1).repeat(3, axis=2))
    fine.SetSpacing((0.5, 0.5, 2.5))
    fine.SetOrigin((ORIGIN[0] - 0.5, ORIGIN[1] - 0.5, ORIGIN[2]))
    sitk.WriteImage(fine, str(tmp_path / "fine.nii.gz"))
    np.testing.assert_array_equal(read_mask(tmp_path / "fine.nii.gz", volume, "totalsegmentator"), frames)


# maps of label files


def slicer_nrrd(path, layers, names):
    """A `.seg.nrrd` as 3D Slicer writes it: `layers` uint8 `[layer, z, y, x]`, names (value, name) of segments."""
    several = len(layers) > 1
    lines = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{len(layers)} ' if several else ''}10 12 5",
        f"space directions: {'none ' if several else ''}(1.5,0,0) (0,1.5,0) (0,0,2.5)",
        f"kinds: {'list ' if several else ''}domain domain domain",
        "encoding: raw",
        "space origin: (-10,-20,30)",
        "Segmentation_MasterRepresentation:=Binary labelmap",
    ]
    for number, (value, name) in enumerate(names):
        lines += [f"Segment{number}_LabelValue:={value}", f"Segment{number}_Layer:=0", f"Segment{number}_Name:={name}"]
        lines += [f"Segment{number}_ID:=Segment_{number + 1}", f"Segment{number}_NameAutoGenerated:=0"]
    values = layers[0] if several is False else np.moveaxis(layers, 0, -1)
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + np.ascontiguousarray(values).tobytes())
    return path


def test_segment_names_of_a_slicer_file(tmp_path, volume):
    values = (np.arange(600).reshape(5, 12, 10) % 4).astype(np.uint8)
    names = [(1, "L3 vertebra"), (2, "Sacrum"), (3, "Liver")]
    path = slicer_nrrd(tmp_path / "spine.seg.nrrd", values[None], names)
    expected = {
        "totalsegmentator": [0, 29, 25, 0],
        "verse": [0, 29, 25, 0],  # by number it would be C1, C2 and C3
        "name:*VERTEBRA": [0, 29, 0, 0],
        "name:l*": [0, 29, 0, 255],
        "vertebrae": [0, 255, 255, 255],
        "id:2-9": [0, 0, 255, 255],
    }
    for label_map, labels in expected.items():
        np.testing.assert_array_equal(read_mask(path, volume, label_map), np.array(labels)[values])
    with pytest.raises(
        masks.UnknownLabels, match=r"Segment0_Name .found L3 vertebra, Sacrum, Liver, expected .*name:PATTERN"
    ):
        read_mask(path, volume, "name:T*")
    unnamed = slicer_nrrd(tmp_path / "plain.seg.nrrd", values[None], [(1, "Segment_1"), (2, "b"), (3, "c")])
    np.testing.assert_array_equal(read_mask(unnamed, volume, "verse"), np.array([0, 50, 49, 48])[values])


def test_layers_of_a_slicer_file(tmp_path, volume):
    path = slicer_nrrd(tmp_path / "spine.seg.nrrd", np.ones((2, 5, 12, 10), np.uint8), [(1, "L3")])
    with pytest.raises(NotThreeDimensional, match=r"layers over each other \(found .*Collapse the layers"):
        read_mask(path, volume, "vertebrae")


def test_listed_numbers_of_a_label_file(tmp_path, volume):
    values = (np.arange(600).reshape(5, 12, 10) % 7).astype(np.uint8)
    path = save_mask(tmp_path, values, volume)
    np.testing.assert_array_equal(read_mask(path, volume, "id:2,4-5") == 255, np.isin(values, [2, 4, 5]))
    with pytest.raises(masks.UnknownLabels, match=r"found labels \[0, 1, 2, 3, 4, 5, 6\], expected .*id:8,9"):
        read_mask(path, volume, "id:8-9")
    with pytest.raises(
        masks.UnknownLabels, match=r"no names for label_map name:PATTERN .found numbers \[0, 1, .*id:1-24"
    ):
        read_mask(path, volume, "name:L*")
    large = volume.grid.to_sitk(values.astype(np.uint16) * 1000)
    sitk.WriteImage(large, str(tmp_path / "large.nii.gz"))
    np.testing.assert_array_equal(read_mask(tmp_path / "large.nii.gz", volume, "id:6000") == 255, values == 6)
    with pytest.raises(masks.UnknownLabels, match="found 0 to 6000, expected whole numbers from 0 to 255"):
        read_mask(tmp_path / "large.nii.gz", volume, "vertebrae")


# masks that do not belong


def save_mask(tmp_path, values, volume, **changes):
    image = volume.grid.to_sitk(values.astype(np.uint8))
    for name, value in changes.items():
        getattr(image, name)(value)
    sitk.WriteImage(image, str(tmp_path / "mask.nrrd"))
    return tmp_path / "mask.nrrd"


def test_a_mask_elsewhere_in_space(tmp_path, volume):
    path = save_mask(tmp_path, blocks() * 31, volume, SetOrigin=(500.0, 0.0, 0.0))
    with pytest.raises(volumes.MaskElsewhere, match=r"do not overlap .*10 x 12 x 5 voxels"):
        read_mask(path, volume, "totalsegmentator")


@pytest.mark.parametrize("part", [np.s_[:4], np.s_[:, :8], np.s_[:, :, :7]])
def test_a_mask_of_another_shape(tmp_path, volume, part):
    path = save_mask(tmp_path, blocks()[part] * 31, volume)
    with pytest.raises(volumes.MaskShape, match=r"expected 10 x 12 x 5 voxels"):
        read_mask(path, volume, "totalsegmentator")


def test_a_mask_whose_labels_lie_beside_the_ct(tmp_path, volume):
    values = np.zeros((10, 12, 10))
    values[8] = 31
    with pytest.raises(volumes.MaskElsewhere, match="no label of the mask lies inside"):
        read_mask(save_mask(tmp_path, values, volume), volume, "totalsegmentator")


@pytest.mark.parametrize(
    ("tags", "error", "words"),
    [
        ({"PatientID": "SOMEONE-ELSE"}, masks.MaskOfAnotherPatient, r"PatientID \(0010,0020\)"),
        (
            {"FrameOfReferenceUID": "1.2.3.4"},
            masks.MaskFrameOfReference,
            rf"found 1\.2\.3\.4, and {FRAME_UID} in the CT",
        ),
    ],
)
def test_a_seg_of_someone_or_somewhere_else(tmp_path, volume, tags, error, words):
    seg = segmentation([(1, place(0), blocks()[0])], {1: "L1"}, **tags)
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    with pytest.raises(error, match=words) as caught:
        read_mask(tmp_path / "seg.dcm", volume, "totalsegmentator")
    assert "SOMEONE" not in str(caught.value) and "4711" not in str(caught.value)


def test_labels_that_mean_nothing(tmp_path, volume):
    with pytest.raises(masks.UnknownLabels, match=r"found labels \[0, 5\].*label_map"):
        read_mask(save_mask(tmp_path, blocks() * 5, volume), volume, "totalsegmentator")
    sitk.WriteImage(volume.to_sitk(), str(tmp_path / "image.nrrd"))
    with pytest.raises(masks.UnknownLabels, match="whole numbers from 0 to 255"):
        read_mask(tmp_path / "image.nrrd", volume, "vertebrae")
    with pytest.raises(masks.UnknownLabels, match="label_map"):
        read_mask(tmp_path / "image.nrrd", volume, "verze")
    seg = segmentation([(1, place(0), blocks()[0])], {1: "Liver"})
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    with pytest.raises(masks.UnknownLabels, match=r"SegmentLabel \(0062,0005\) \(found Liver"):
        read_mask(tmp_path / "seg.dcm", volume, "totalsegmentator")


def test_no_seg_two_segs_and_a_torn_seg(tmp_path, volume):
    with pytest.raises(masks.NoMask, match="found 0"):
        read_mask(tmp_path / "ct", volume, "vertebrae")
    seg = segmentation([(1, place(k), blocks()[k]) for k in range(5)], {1: "L1"})
    for name in ("a.dcm", "b.dcm"):
        seg.save_as(tmp_path / "ct" / name, enforce_file_format=True)
    with pytest.raises(masks.NoMask, match=r"a\.dcm and .*b\.dcm: .*found 2,"):
        read_mask(tmp_path / "ct", volume, "vertebrae")
    torn = tmp_path / "ct" / "a.dcm"
    torn.write_bytes(torn.read_bytes()[:-200])
    with pytest.raises(TruncatedFile, match=r"a\.dcm"):
        read_mask(torn, volume, "vertebrae")


def test_frames_without_a_place(tmp_path, volume):
    seg = segmentation([(1, place(k), blocks()[k]) for k in range(5)], {1: "L1"})
    del seg.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    with pytest.raises(UnreadableSegmentation, match=r"ImagePositionPatient \(0020,0032\)"):
        read_mask(tmp_path / "seg.dcm", volume, "vertebrae")
