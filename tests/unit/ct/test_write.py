"""Written DICOM against SimpleITK, highdicom and our own reader."""

import dataclasses
import time
import zipfile

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK

from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.ct.write import BadSeries, CTSeries, write_ct_zip


def series(**change) -> CTSeries:
    rng = np.random.default_rng(0)
    labels = np.zeros((4, 24, 20), np.uint8)
    labels[:3, 4:12, 5:9] = 30
    labels[2:, 13:20, 6:15] = 31
    values = {
        "patient": "phantom-p07",
        "name": "phantom-p07-standard",
        "pixels": rng.integers(-1024, 3071, labels.shape).astype(np.int16),
        "labels": labels,
        "origin_mm": (-30.5, -40.25, 12.0),
        "spacing_mm": (1.5, 1.25, 5.0),
        "kvp": 80.0,
        "exposure_mas": 160.0,
        "kernel": "SOFT",
        "contrast": "Iodine",
    }
    return CTSeries(**{**values, **change})


def display() -> CTSeries:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 24, 20)).astype(np.uint8)
    return series(pixels=pixels, window=(40, 400), contrast="", name="phantom-p07-soft_display")


@pytest.fixture
def written(tmp_path):
    write_ct_zip(tmp_path / "scan.zip", series())
    with zipfile.ZipFile(tmp_path / "scan.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_simpleitk_reads_the_series_voxel_for_voxel(written):
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(written / "ct")))
    image = reader.Execute()
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), series().pixels)
    np.testing.assert_allclose(image.GetOrigin(), (-30.5, -40.25, 12.0))
    np.testing.assert_allclose(image.GetSpacing(), (1.5, 1.25, 5.0))
    np.testing.assert_allclose(image.GetDirection(), np.eye(3).ravel())


def test_segmentation_has_a_segment_with_its_code_per_vertebra_in_the_right_place(written):
    segmentation = highdicom.seg.segread(written / "seg.dcm")
    assert [segmentation.get_segment_description(n).segment_label for n in segmentation.segment_numbers] == [
        "L2 vertebra",
        "L1 vertebra",
    ]
    codes = [segmentation.get_segment_description(n).segmented_property_type.value for n in (1, 2)]
    assert codes == ["14293000", "66794005"]  # SNOMED CT: L2 and L1 vertebra
    volume = segmentation.get_volume(combine_segments=True)
    lps = volume.get_affine("LPH")
    painted = np.argwhere(volume.array == 1)
    truth = np.argwhere(series().labels == 30)[:, ::-1]
    world = np.sort(painted @ lps[:3, :3].T + lps[:3, 3], axis=0)
    expected = np.sort(truth * (1.5, 1.25, 5.0) + (-30.5, -40.25, 12.0), axis=0)
    np.testing.assert_allclose(world, expected, atol=1e-4)
    images = [pydicom.dcmread(p) for p in (written / "ct").iterdir()]
    assert {i.FrameOfReferenceUID for i in images} == {segmentation.FrameOfReferenceUID}
    assert {i.StudyInstanceUID for i in images} == {segmentation.StudyInstanceUID}


def test_our_reader_gives_back_what_was_written(written):
    volume = read_volume(written / "scan.zip")
    np.testing.assert_array_equal(volume.hu, series().pixels)
    np.testing.assert_array_equal(read_mask(written / "scan.zip", volume, "totalsegmentator"), series().labels)
    assert volume.acquisition["kvp"] == 80.0 and volume.acquisition["kernel"] == "SOFT"
    assert volume.acquisition["contrast"] is True and volume.acquisition["exposure_mas"] == 160.0


def test_display_export_is_marked_as_such(tmp_path):
    write_ct_zip(tmp_path / "scan.zip", display())
    with zipfile.ZipFile(tmp_path / "scan.zip") as archive, archive.open("ct/0001.dcm") as file:
        image = pydicom.dcmread(file)
    assert list(image.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    assert (image.RescaleSlope, image.RescaleIntercept, image.RescaleType) == (1, 0, "US")
    np.testing.assert_array_equal(image.pixel_array, display().pixels[-1])
    assert "ContrastBolusAgent" not in image
    volume = read_volume(tmp_path / "scan.zip", grey_values="as_display", window_hu=(0, 255))
    np.testing.assert_array_equal(volume.hu, display().pixels)


def test_the_same_series_is_the_same_bytes_at_another_time(tmp_path):
    write_ct_zip(tmp_path / "a.zip", series())
    time.sleep(1.1)
    write_ct_zip(tmp_path / "b.zip", series())
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_series_of_one_patient_share_the_study_and_nothing_else(tmp_path):
    uids = {}
    for name, one in (("a", series()), ("b", display()), ("c", series(patient="phantom-p08", name="x"))):
        write_ct_zip(tmp_path / f"{name}.zip", one)
        with zipfile.ZipFile(tmp_path / f"{name}.zip") as archive, archive.open("ct/0001.dcm") as file:
            uids[name] = pydicom.dcmread(file)
    assert uids["a"].StudyInstanceUID == uids["b"].StudyInstanceUID != uids["c"].StudyInstanceUID
    assert uids["a"].SeriesInstanceUID != uids["b"].SeriesInstanceUID
    assert uids["a"].SOPInstanceUID != uids["b"].SOPInstanceUID


def test_without_labels_there_is_no_segmentation(tmp_path):
    write_ct_zip(tmp_path / "scan.zip", series(labels=np.zeros((4, 24, 20), np.uint8)))
    with zipfile.ZipFile(tmp_path / "scan.zip") as archive:
        assert archive.namelist() == [f"ct/{k:04d}.dcm" for k in range(1, 5)]


def test_faults_are_named():
    with pytest.raises(BadSeries, match="differ in shape"):
        series(labels=np.zeros((4, 24, 21), np.uint8))
    with pytest.raises(BadSeries, match="no vertebra"):
        series(labels=np.full((4, 24, 20), 7, np.uint8))
    with pytest.raises(BadSeries, match="wrong type"):
        dataclasses.replace(series(), pixels=series().pixels.astype(np.float32))
