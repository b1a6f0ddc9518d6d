"""Enhanced and legacy-converted CT against its single-frame original, highdicom's conversion and SimpleITK."""

import copy

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, JPEG2000Lossless, RLELossless, generate_uid

from ctstyle.ct import series
from ctstyle.ct.files import TruncatedFile
from ctstyle.ct.limits import AbsurdSize
from ctstyle.ct.read import read_volume
from tests.dicom_series import ct_series, enhanced, random_hu, set_pixels, write


def save(dataset, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("order", [range(5), (3, 1, 4, 0, 2), range(4, -1, -1)])
def test_frames_equal_the_single_frame_series_whatever_their_order(tmp_path, order):
    hu = random_hu()
    slices = ct_series(hu)
    single = read_volume(write(slices, tmp_path / "single"))
    volume = read_volume(save(enhanced([slices[k] for k in order]), tmp_path / "multi" / "ct.dcm"))
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.origin_mm == single.origin_mm and volume.spacing_mm == single.spacing_mm
    np.testing.assert_array_equal(volume.direction, single.direction)
    assert dict(volume.acquisition) == dict(single.acquisition)
    assert len(set(volume.sop_instance_uids)) == 1 and len(volume.sop_instance_uids) == 5
    assert volume.frame_of_reference_uid == single.frame_of_reference_uid


def test_simpleitk_reads_the_same_values_and_grid(tmp_path):
    slices = ct_series(random_hu(seed=3))
    path = save(enhanced(slices), tmp_path / "ct.dcm")
    volume, reference = read_volume(path), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(volume.hu, sitk.GetArrayFromImage(reference))
    np.testing.assert_allclose(volume.origin_mm, reference.GetOrigin())
    np.testing.assert_allclose(volume.spacing_mm, reference.GetSpacing())
    np.testing.assert_allclose(volume.direction.ravel(), reference.GetDirection())


def test_every_frame_has_its_own_rescale(tmp_path):
    hu = random_hu(shape=(3, 6, 7))
    slices = ct_series(hu)
    for k, dataset in enumerate(slices):
        dataset.RescaleSlope, dataset.RescaleIntercept = k + 1, -1024 - k
        set_pixels(dataset, np.rint((hu[k] + 1024.0 + k) / (k + 1)).astype(np.int16))
    volume = read_volume(save(enhanced(slices), tmp_path / "ct.dcm"))
    assert (abs(volume.hu - hu) <= np.array([0, 1, 1.5])[:, None, None]).all()
    np.testing.assert_array_equal(volume.hu, read_volume(write(slices, tmp_path / "single")).hu)


@pytest.mark.parametrize("name", ["siemens_br38f_t11_t12/dicom", "siemens_kernel_pair/B40f"])
def test_highdicom_s_legacy_conversion_of_a_real_series(shared_data, tmp_path, name):
    files = [pydicom.dcmread(path) for path in sorted((shared_data / name).iterdir())]
    single = read_volume(shared_data / name)
    for number, dataset in enumerate(files):  # highdicom wants what these files had blanked
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress()
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[name, str(number)])
        dataset.SeriesInstanceUID = dataset.StudyInstanceUID = generate_uid(entropy_srcs=[name])
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
            setattr(dataset, keyword, "")
        for keyword in ("StudyID", "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"):
            setattr(dataset, keyword, "")
    converted = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        legacy_datasets=files,
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
    )
    volume = read_volume(save(converted, tmp_path / "legacy.dcm"))
    np.testing.assert_array_equal(volume.hu, single.hu)
    np.testing.assert_allclose(volume.origin_mm, single.origin_mm)
    np.testing.assert_allclose(volume.spacing_mm, single.spacing_mm)
    for key in ("manufacturer", "model", "kvp", "kernel", "slice_thickness_mm", "exposure_mas"):
        assert volume.acquisition[key] == single.acquisition[key], key


def test_a_series_may_lie_in_several_enhanced_files(tmp_path):
    hu = random_hu(shape=(6, 8, 8))
    slices = ct_series(hu)
    for part, chosen in enumerate((slices[0::2], slices[1::2])):
        save(enhanced(chosen, number=part), tmp_path / "parts" / f"{part}.dcm")
    volume = read_volume(tmp_path / "parts")
    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.sop_instance_uids[0::2] == (volume.sop_instance_uids[0],) * 3
    assert volume.sop_instance_uids[0] != volume.sop_instance_uids[1]


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_frames(tmp_path, syntax):
    hu = random_hu(shape=(4, 64, 64))
    dataset = enhanced(ct_series(hu)[::-1])
    dataset.compress(syntax, encoding_plugin="pylibjpeg")
    path = save(dataset, tmp_path / "ct.dcm")
    np.testing.assert_array_equal(read_volume(path).hu, hu)


def test_what_frames_share_is_taken_from_the_shared_groups_and_frames_overrule_it(tmp_path):
    hu = random_hu(shape=(3, 6, 6))
    dataset = enhanced(ct_series(hu))
    shared, first = dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence[0]
    assert "PixelMeasuresSequence" in shared and "PixelValueTransformationSequence" in first
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.PixelMeasuresSequence = copy.deepcopy(shared.PixelMeasuresSequence)
        frame.PixelMeasuresSequence[0].PixelSpacing = [0.5, 0.75]
    volume = read_volume(save(dataset, tmp_path / "ct.dcm"))
    assert volume.spacing_mm == (0.75, 0.5, 2.5)


def change_frame(number, sequence, keyword, value):
    def change(dataset):
        setattr(dataset.PerFrameFunctionalGroupsSequence[number][sequence][0], keyword, value)

    return change


def drop_groups(dataset):
    del dataset.PerFrameFunctionalGroupsSequence


def drop_one_group(dataset):
    del dataset.PerFrameFunctionalGroupsSequence[1]


FAULTS = {
    "plain multi-frame": (drop_groups, series.MultiFrame, "NumberOfFrames (0028,0008)"),
    "one description too few": (drop_one_group, series.MultiFrame, "found 4 descriptions, expected 5"),
    "gap": (
        change_frame(4, "PlanePositionSequence", "ImagePositionPatient", [-10, -20, 50]),
        series.MissingSlices,
        "ct.dcm, frame 4: about 4 slices are missing",
    ),
    "duplicate": (
        change_frame(4, "PlanePositionSequence", "ImagePositionPatient", [-10, -20, 30]),
        series.DuplicatedSlices,
        "frame 1",
    ),
    "tilt": (
        change_frame(4, "PlanePositionSequence", "ImagePositionPatient", [-10, -10, 40]),
        series.GantryTilt,
        "ImagePositionPatient",
    ),
    "two orientations": (
        change_frame(2, "PlaneOrientationSequence", "ImageOrientationPatient", [0, 1, 0, 0, 0, -1]),
        series.MixedOrientation,
        "frame 3",
    ),
    "no position": (
        change_frame(2, "PlanePositionSequence", "ImagePositionPatient", None),
        series.MissingTag,
        "ct.dcm, frame 3: ImagePositionPatient (0020,0032)",
    ),
    "too many frames": (lambda d: setattr(d, "NumberOfFrames", 10**6), AbsurdSize, "found 1000000"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_frames_are_checked_as_every_series_is(tmp_path, fault):
    change, error, words = FAULTS[fault]
    dataset = enhanced(ct_series(random_hu()))
    change(dataset)
    with pytest.raises(error) as caught:
        read_volume(save(dataset, tmp_path / "ct.dcm"))
    assert words in str(caught.value) and caught.value.fix


def test_a_torn_enhanced_file_is_named(tmp_path):
    path = save(enhanced(ct_series(random_hu(shape=(5, 32, 32)))), tmp_path / "ct.dcm")
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(TruncatedFile, match=r"ct\.dcm.*expected 10240 bytes of pixel data"):
        read_volume(path)


def test_an_empty_item_of_a_group_is_a_missing_tag(tmp_path):
    dataset = enhanced(ct_series(random_hu()))
    dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence = [Dataset()]
    with pytest.raises(series.MissingTag, match="frame 1: ImagePositionPatient"):
        read_volume(save(dataset, tmp_path / "ct.dcm"))


def test_the_class_is_that_of_enhanced_ct():
    assert enhanced(ct_series(random_hu())).SOPClassUID == EnhancedCTImageStorage
