"""Derived DICOM against SimpleITK, pydicom, highdicom, dciodvfy and our own readers."""

import dataclasses
import hashlib
import shutil
import subprocess

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.ct.volume import Volume
from ctstyle.ct.write import BadSeries, write_derived

OBLIQUE = Rotation.from_euler("xyz", [10, 20, -35], degrees=True).as_matrix()
# row to the back, column down, slices to the patient's right
SAGITTAL = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0.0]])
LABELS = np.zeros((5, 24, 20), np.uint8)
LABELS[0, 1:3, 2:4] = 26
LABELS[1:3, 4:10, 5:9] = 31
LABELS[3, 1:3, 2:4] = 25


def volume(**change) -> Volume:
    values = {
        "hu": np.random.default_rng(0).integers(-1024, 3071, LABELS.shape).astype(np.int16),
        "origin_mm": (-30.5, -40.25, 1200.123),
        "spacing_mm": (1.5, 1.25, 4.9),
        "direction": OBLIQUE,
        "sop_instance_uids": tuple(f"1.2.3.{k}" for k in range(5)),
        "acquisition": {"kvp": 120.0, "kernel": "B/70", "exposure_mas": 33.3, "contrast": True, "model": None},
    }
    return Volume(**{**values, **change})


def write(folder, one=None, **change):
    values = {"patient": "p01", "name": "p01-s1-as-s2", "description": "painted in style s2", "labels": LABELS}
    return write_derived(folder, one or volume(), **{**values, **change})


@pytest.mark.parametrize("direction", [np.eye(3), OBLIQUE, SAGITTAL], ids=["axial", "oblique", "sagittal"])
def test_simpleitk_reads_the_same_voxels_in_the_same_place(tmp_path, direction):
    write(tmp_path, volume(direction=direction))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "ct")))
    image = reader.Execute()
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), volume().hu)
    np.testing.assert_allclose(image.GetOrigin(), volume().origin_mm, atol=1e-4)
    np.testing.assert_allclose(image.GetSpacing(), volume().spacing_mm, atol=1e-4)
    np.testing.assert_allclose(np.reshape(image.GetDirection(), (3, 3)), direction, atol=1e-6)


@pytest.mark.parametrize("low, high", [(-32768, 32767), (0, 255)], ids=["all of int16", "like a display export"])
def test_any_int16_volume_keeps_its_hounsfield_units(tmp_path, low, high):
    hu = np.linspace(low, high, LABELS.size).reshape(LABELS.shape).astype(np.int16)
    images = [pydicom.dcmread(path) for path in write(tmp_path, volume(hu=hu), labels=None)]
    stored = np.stack([image.pixel_array for image in images[::-1]]).astype(int)
    np.testing.assert_array_equal(stored * int(images[0].RescaleSlope) + int(images[0].RescaleIntercept), hu)
    read = read_volume(tmp_path)
    assert read.grey_values == "hounsfield"
    np.testing.assert_array_equal(read.hu, np.maximum(hu, -1024))


def test_the_files_say_what_they_are_made_of_and_whom_they_hide(tmp_path):
    first = pydicom.dcmread(write(tmp_path, frame_of_reference_uid="1.2.9")[0])
    assert list(first.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert first.DerivationDescription == "painted in style s2"
    (source,) = first.SourceImageSequence
    # the first file is the last slice
    assert (source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID) == (first.SOPClassUID, "1.2.3.4")
    assert (first.PatientID, str(first.PatientName), first.PatientBirthDate) == ("p01", "p01^", "")
    assert (first.PatientIdentityRemoved, first.BurnedInAnnotation, first.SyntheticData) == ("YES", "NO", "YES")
    assert (first.KVP, first.Exposure, list(first.ConvolutionKernel)) == (120, 33, ["B", "70"])
    assert first.FrameOfReferenceUID == "1.2.9" and "ManufacturerModelName" in first


def test_a_slice_without_a_source_names_none(tmp_path):
    unknown = volume(sop_instance_uids=("", *volume().sop_instance_uids[1:]))
    images = [pydicom.dcmread(path) for path in write(tmp_path, unknown, labels=None, synthetic=False)]
    assert ["SourceImageSequence" in image for image in images] == [True, True, True, True, False]
    assert {image.SyntheticData for image in images} == {"NO"}


def test_segments_have_their_codes_and_lie_where_the_labels_lie(tmp_path):
    labels = np.where(np.arange(5)[:, None, None] == 4, np.uint8(255), LABELS)
    path = write(tmp_path, labels=labels)[-1]
    segmentation = highdicom.seg.segread(path)
    described = [segmentation.get_segment_description(n) for n in segmentation.segment_numbers]
    # SNOMED CT: sacrum, first sacral vertebra, L1, vertebra
    assert [(one.segment_label, one.segmented_property_type.value) for one in described] == [
        ("sacrum", "54735007"),
        ("S1 vertebra", "65985001"),
        ("L1 vertebra", "66794005"),
        ("vertebra", "51282000"),
    ]
    affine = segmentation.get_volume(combine_segments=True).get_affine("LPH")
    painted = np.argwhere(segmentation.get_volume(combine_segments=True).array == 3)
    world = np.argwhere(labels == 31)[:, ::-1] * volume().spacing_mm @ OBLIQUE.T + volume().origin_mm
    found = painted @ affine[:3, :3].T + affine[:3, 3]
    distance = abs(found[:, None] - world[None]).max(axis=2)
    assert len(found) == len(world) and distance.min(axis=0).max() < 1e-3 and distance.min(axis=1).max() < 1e-3


def test_our_readers_give_back_volume_and_labels(tmp_path):
    write(tmp_path)
    read = read_volume(tmp_path)
    np.testing.assert_array_equal(read.hu, volume().hu)
    np.testing.assert_array_equal(read_mask(tmp_path, read, "totalsegmentator"), LABELS)
    assert read.acquisition["kernel"] == "B/70" and read.acquisition["contrast"] is True


def test_the_same_call_gives_the_same_bytes_and_other_content_other_uids(tmp_path):
    digests = [
        [hashlib.sha256(path.read_bytes()).hexdigest() for path in write(tmp_path / name)] for name in ("one", "two")
    ]
    assert digests[0] == digests[1]
    other = dataclasses.replace(volume(), hu=volume().hu + np.int16(1))
    paths = [*(tmp_path / "one" / "ct").iterdir(), *write(tmp_path / "three", other, labels=None)]
    images = [pydicom.dcmread(path) for path in paths]
    assert len({image.SOPInstanceUID for image in images}) == 10
    assert len({image.SeriesInstanceUID for image in images}) == 2
    assert len({image.StudyInstanceUID for image in images}) == 1


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("direction", [np.eye(3), OBLIQUE, SAGITTAL], ids=["axial", "oblique", "sagittal"])
def test_dciodvfy_finds_no_error(tmp_path, direction):
    # in the standard since 2023, as pydicom's dictionary of it knows; the dciodvfy of Debian 12 is of 2022
    assert pydicom.datadict.dictionary_description(0x0008001C) == "Synthetic Data"
    for path in write(tmp_path, volume(direction=direction)):
        said = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False).stderr
        found = [line for line in said.splitlines() if line.startswith("Error") and "(0008,001c)" not in line]
        assert not found and ("CTImage" in said or "Segmentation" in said)


def test_dciodvfy_would_find_one(tmp_path):
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    path = write(tmp_path)[0]
    dataset = pydicom.dcmread(path)
    del dataset.RescaleIntercept
    dataset.save_as(path)
    said = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False).stderr
    assert "Error - </RescaleIntercept" in said


def test_faults_are_named(tmp_path):
    with pytest.raises(BadSeries, match=r"no vertebra.*found \[7\]"):
        write(tmp_path / "a", labels=np.full(LABELS.shape, 7, np.uint8))
    with pytest.raises(BadSeries, match="differ in shape"):
        write(tmp_path / "a", labels=LABELS[1:])
    with pytest.raises(BadSeries, match=r"wrong type.*float32"):
        write(tmp_path / "a", volume(hu=volume().hu.astype(np.float32)))
    with pytest.raises(BadSeries, match="not at right angles"):
        write(tmp_path / "a", volume(direction=np.array([[1, 0, 0], [0, 1, 0.2], [0, 0, 1.0]])))
    with pytest.raises(BadSeries, match=r"another number of slices.*found 2, expected 5"):
        write(tmp_path / "a", volume(sop_instance_uids=("1.2", "1.3")))
    with pytest.raises(BadSeries, match="pseudonym that DICOM cannot hold"):
        write(tmp_path / "a", patient="Doe^Jane")
    assert not (tmp_path / "a").exists()
    write(tmp_path / "b")
    with pytest.raises(BadSeries, match="not empty"):
        write(tmp_path / "b")
