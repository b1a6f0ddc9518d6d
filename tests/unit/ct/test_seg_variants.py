"""Every kind of DICOM-SEG: written by highdicom, read here, compared with the array and with highdicom's reading."""

import copy

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.sr.codedict import codes

from ctstyle.ct import volume as volumes
from ctstyle.ct.files import TruncatedFile
from ctstyle.ct.labels import UnknownLabels
from ctstyle.ct.limits import OutOfBounds
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.ct.seg import UnreadableSegmentation
from tests.dicom_series import SAGITTAL, _item, ct_series, random_hu, segmentation, write

SHAPE = (5, 33, 35)  # 1155 pixels: packed frames do not begin on whole bytes
NAMES = {1: "L2 vertebra", 2: "L1 vertebra", 3: "T12 vertebra"}
ORIGIN = np.array([-10.0, -20.0, 30.0])


def at(k):
    """The position of slice k."""
    return tuple(ORIGIN + np.array([0, 0, 2.5 * k]))


@pytest.fixture
def series(tmp_path):
    slices = ct_series(random_hu(shape=SHAPE))
    for dataset in slices:
        dataset.StudyInstanceUID, dataset.StudyID, dataset.AccessionNumber = "1.2.3", "1", ""
        dataset.StudyDate = dataset.StudyTime = dataset.PatientSex = dataset.ReferringPhysicianName = ""
        dataset.PositionReferenceIndicator, dataset.SeriesNumber = "", 1
    write(slices, tmp_path / "ct")
    return slices


@pytest.fixture
def volume(series, tmp_path):
    return read_volume(tmp_path / "ct")


def random_labels(seed=1):
    labels = np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.uint8)
    labels[3] = 0
    return labels


def by_highdicom(series, pixels, kind, path, *, types=None, regions=None, **settings):
    """Save a DICOM-SEG that highdicom makes of `pixels` on the series."""
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=(types or {}).get(number, codes.SCT.Bone),
            algorithm_type="MANUAL",
            anatomic_regions=[regions[number]] if regions else None,
        )
        for number, name in settings.pop("names", NAMES).items()
    ]
    seg = highdicom.seg.Segmentation(
        source_images=series,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=uid.generate_uid(),
        series_number=2,
        sop_instance_uid=uid.generate_uid(),
        instance_number=1,
        manufacturer="ACME",
        manufacturer_model_name="Tester",
        software_versions="1",
        device_serial_number="1",
        **settings,
    )
    seg.save_as(path)
    return path


EXPECTED = np.array([0, 30, 31, 32], np.uint8)


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        ("BINARY", uid.ExplicitVRLittleEndian),
        ("BINARY", uid.ImplicitVRLittleEndian),
        ("FRACTIONAL", uid.ExplicitVRLittleEndian),
        ("FRACTIONAL", uid.RLELossless),
        ("FRACTIONAL", uid.JPEG2000Lossless),
        ("FRACTIONAL", uid.JPEGLSLossless),
        ("LABELMAP", uid.ExplicitVRLittleEndian),
        ("LABELMAP", uid.RLELossless),
    ],
)
def test_kinds_and_transfer_syntaxes(tmp_path, series, volume, kind, syntax):
    labels = random_labels()
    path = tmp_path / "seg.dcm"
    if syntax == uid.RLELossless:  # the encoder that highdicom takes for it aborts at odd sizes
        seg = pydicom.dcmread(by_highdicom(series, labels, kind, path))
        seg.compress(syntax, encoding_plugin="pydicom", generate_instance_uid=False)
        seg.save_as(path)
    else:
        by_highdicom(series, labels, kind, path, transfer_syntax_uid=syntax)
    np.testing.assert_array_equal(read_mask(path, volume, "totalsegmentator"), EXPECTED[labels])
    grid = highdicom.seg.segread(path).get_volume(combine_segments=True, allow_missing_positions=True)
    assert np.count_nonzero(read_mask(path, volume, "vertebrae")) == np.count_nonzero(grid.array) > 300
    for number in NAMES:
        got = read_mask(path, volume, f"id:{number}")
        np.testing.assert_array_equal(got == 255, labels == number)


def test_a_label_map_of_16_bits(tmp_path, series, volume):
    labels = random_labels().astype(np.uint16)
    labels[labels == 3] = 300
    names = {1: "L2 vertebra", 2: "L1 vertebra", 300: "Twelfth thoracic vertebra"}
    path = by_highdicom(series, labels, "LABELMAP", tmp_path / "seg.dcm", names=names)
    got = read_mask(path, volume, "totalsegmentator")
    np.testing.assert_array_equal(got == 32, labels == 300)
    np.testing.assert_array_equal(got == 30, labels == 1)


@pytest.mark.parametrize("fractional_type", ["PROBABILITY", "OCCUPANCY"])
@pytest.mark.parametrize("largest", [255, 100, 7])
def test_fractions_count_from_the_half(tmp_path, series, volume, fractional_type, largest):
    fractions = np.random.default_rng(2).random(SHAPE).astype(np.float32)
    path = tmp_path / "seg.dcm"
    names = {1: "L2"}
    by_highdicom(
        series,
        fractions,
        "FRACTIONAL",
        path,
        fractional_type=fractional_type,
        max_fractional_value=largest,
        names=names,
    )
    stored = np.rint(fractions.astype(np.float64) * largest)
    np.testing.assert_array_equal(read_mask(path, volume, "verse") == 30, stored >= largest / 2)


def test_overlapping_segments(tmp_path, series, volume):
    rng = np.random.default_rng(3)
    channels = rng.random((*SHAPE, 3)) < 0.5
    path = by_highdicom(series, channels.astype(np.uint8), "BINARY", tmp_path / "seg.dcm")
    expected = (channels * np.array([30, 31, 32], np.uint8)).max(axis=-1)
    np.testing.assert_array_equal(read_mask(path, volume, "totalsegmentator"), expected)
    np.testing.assert_array_equal(read_mask(path, volume, "name:L?*") > 0, channels[..., :2].any(axis=-1))


def test_codes_and_regions_tell_the_level(tmp_path, series, volume):
    labels = random_labels()
    names = {1: "first", 2: "second", 3: "L4"}
    types = {1: codes.SCT.L5Vertebra, 2: codes.SCT.Vertebra, 3: codes.SCT.Tissue}
    regions = {1: codes.SCT.LumbarSpine, 2: codes.SCT.T3Vertebra, 3: codes.SCT.LumbarSpine}
    path = by_highdicom(series, labels, "BINARY", tmp_path / "seg.dcm", names=names, types=types, regions=regions)
    expected = np.array([0, 27, 41, 28], np.uint8)[labels]
    np.testing.assert_array_equal(read_mask(path, volume, "totalsegmentator"), expected)


def test_older_codes_and_a_region_of_something_else(tmp_path, volume):
    frame = np.ones(SHAPE[1:], bool)
    seg = segmentation([(number, at(number), frame) for number in (1, 2, 3)], dict.fromkeys((1, 2, 3), "x"))
    kinds = {1: ("T-11910", "SRT"), 2: ("T-D016E", "SRT"), 3: ("108369006", "SCT")}  # L1, bone, neoplasm
    for item in seg.SegmentSequence:
        value, scheme = kinds[item.SegmentNumber]
        item.SegmentedPropertyTypeCodeSequence = [
            _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning="y")
        ]
        item.AnatomicRegionSequence = [_item(CodeValue="T-117C0", CodingSchemeDesignator="SNM3", CodeMeaning="z")]
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    got = read_mask(tmp_path / "seg.dcm", volume, "totalsegmentator")
    assert [np.unique(plane).tolist() for plane in got] == [[0], [31], [32], [0], [0]]


def test_the_segment_of_a_frame_is_said_for_all_or_is_the_only_one(tmp_path, volume):
    frame = np.eye(*SHAPE[1:], dtype=bool)
    shared = segmentation([(1, at(0), frame)], {1: "L1", 2: "L2"})
    item = shared.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence
    shared.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence = copy.deepcopy(item)
    del shared.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence
    alone = segmentation([(1, at(0), frame)], {1: "L1"})
    del alone.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence
    for seg in (shared, alone):
        seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
        np.testing.assert_array_equal(read_mask(tmp_path / "seg.dcm", volume, "verse")[0] == 31, frame)
    del shared.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence
    shared.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    with pytest.raises(UnreadableSegmentation, match=r"ReferencedSegmentNumber \(0062,000B\)"):
        read_mask(tmp_path / "seg.dcm", volume, "verse")


def test_sagittal_frames_of_an_axial_ct_are_laid_by_geometry(tmp_path, volume):
    """A box in mm, drawn on sagittal frames of 1 mm: the CT's voxels inside it, but for the rim."""
    low, high = ORIGIN + np.array([3.2, 4.2, 1.0]), ORIGIN + np.array([12.2, 13.2, 9.0])
    xs = ORIGIN[0] + np.arange(52)
    top = at(4)  # rows run from head to feet, columns from front to back
    ys, zs = ORIGIN[1] + np.arange(50), top[2] - np.arange(11)
    inside = ((ys >= low[1]) & (ys <= high[1]))[None] & ((zs >= low[2]) & (zs <= high[2]))[:, None]
    frames = [(1, (x, ORIGIN[1], top[2]), inside & (low[0] <= x <= high[0])) for x in xs]
    seg = segmentation(frames, {1: "L1"})
    item = seg.SharedFunctionalGroupsSequence[0]
    item.PlaneOrientationSequence[0].ImageOrientationPatient = list(SAGITTAL)
    item.PixelMeasuresSequence[0].PixelSpacing = [1, 1]
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    got = read_mask(tmp_path / "seg.dcm", volume, "verse") == 31
    k, j, i = np.indices(SHAPE)
    centres = np.stack([i * 1.5, j * 1.5, k * 2.5], axis=-1) + ORIGIN
    # the nearest sample lies up to half a millimetre away along each axis
    surely = ((centres >= low + 0.51) & (centres <= high - 0.51)).all(axis=-1)
    perhaps = ((centres >= low - 0.51) & (centres <= high + 0.51)).all(axis=-1)
    assert surely.sum() > 50 and got[surely].all() and not got[~perhaps].any()


def test_the_real_liver_by_name(shared_data):
    folder = shared_data / "ge_3slice_dicomseg"
    ct = read_volume(folder / "dicom")
    assert np.count_nonzero(read_mask(folder / "liver.dcm", ct, "name:liv*") == 255) == 107098
    with pytest.raises(UnknownLabels, match=r"SegmentLabel \(0062,0005\) \(found Liver, expected segments"):
        read_mask(folder / "liver.dcm", ct, "name:vert*")


# damage


def broken(tmp_path, change, frames=3):
    masks_of = [(1, at(k), np.ones(SHAPE[1:], bool)) for k in range(frames)]
    seg = segmentation(masks_of, {1: "L1"})
    change(seg)
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    return tmp_path / "seg.dcm"


def place(value):
    def change(seg):
        seg.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0].ImagePositionPatient = value

    return change


def pixel_spacing(value):
    def change(seg):
        seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = value

    return change


def orientation(value):
    def change(seg):
        seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = value

    return change


def tags(**values):
    def change(seg):
        for keyword, value in values.items():
            setattr(seg, keyword, value)

    return change


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (tags(PerFrameFunctionalGroupsSequence=[]), UnreadableSegmentation, "NumberOfFrames .*found 3 for 0 items"),
        (tags(NumberOfFrames=2_000_000_000), UnreadableSegmentation, "found 2000000000 for 3 items"),
        (tags(Rows=65535, Columns=65535), UnreadableSegmentation, "found 65535 x 65535 pixels"),
        (tags(Rows=0), UnreadableSegmentation, "found 0 x 35 pixels"),
        (tags(Rows=34), TruncatedFile, "expected 3 frames of 34 x 35 pixels"),
        (tags(Columns=600), TruncatedFile, "expected 3 frames of 33 x 600 pixels"),
        (tags(BitsAllocated=1, BitsStored=1, HighBit=0, Rows=1000), TruncatedFile, "bytes of PixelData"),
        (tags(SegmentSequence=[]), UnknownLabels, "found no segment"),
        (tags(MaximumFractionalValue=0), UnreadableSegmentation, "MaximumFractionalValue"),
        (tags(SharedFunctionalGroupsSequence=[]), UnreadableSegmentation, "no value for a frame"),
        (place([0, 0, "1e300"]), OutOfBounds, "ImagePositionPatient .*found 1e.300"),
        (place([0, 0]), UnreadableSegmentation, "ImagePositionPatient"),
        (place([-10, -20, "9e4"]), OutOfBounds, "larger than any patient.*89972"),
        (pixel_spacing([0, 1]), OutOfBounds, "PixelSpacing"),
        (pixel_spacing([1.5, -1.5]), OutOfBounds, "PixelSpacing"),
        (orientation([0, 0, 0, 0, 0, 0]), UnreadableSegmentation, "ImageOrientationPatient"),
        (orientation([1, 0, 0, 1, 0, 0]), UnreadableSegmentation, "ImageOrientationPatient"),
        (tags(SamplesPerPixel=3), TruncatedFile, "cut off or damaged"),
    ],
)
def test_damaged_segmentations_say_what_is_wrong(tmp_path, volume, change, error, words):
    with pytest.raises(error, match=words):
        read_mask(broken(tmp_path, change), volume, "vertebrae")


def test_values_that_are_no_numbers(tmp_path, volume):
    path = broken(tmp_path, place([-10, -20, "32.5000"]))
    path.write_bytes(path.read_bytes().replace(b"32.5000", b"    NaN"))
    with pytest.raises(UnreadableSegmentation, match=r"ImagePositionPatient .*NaN"):
        read_mask(path, volume, "vertebrae")
    path = broken(tmp_path, place([-10, -20, "32.5000"]))
    path.write_bytes(path.read_bytes().replace(b"32.5000", b"32,5abc"))
    with pytest.raises(UnreadableSegmentation, match=r"ImagePositionPatient \(0020,0032\) \(found .*32,5abc"):
        read_mask(path, volume, "vertebrae")


def test_masks_of_segments_elsewhere(tmp_path, volume):
    def move(seg):
        for group in seg.PerFrameFunctionalGroupsSequence:
            group.PlanePositionSequence[0].ImagePositionPatient[0] += 500

    with pytest.raises(volumes.MaskElsewhere, match="do not overlap"):
        read_mask(broken(tmp_path, move), volume, "vertebrae")
