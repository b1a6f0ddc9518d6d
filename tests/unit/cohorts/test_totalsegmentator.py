"""TotalSegmentator's training data out of an archive as Zenodo serves it, merged as its authors number vertebrae."""

import hashlib
import io
import time
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

from ctstyle.cohorts import totalsegmentator
from ctstyle.cohorts.download import SourceChanged, SourceUnavailable
from ctstyle.cohorts.pinned import UnusableList
from ctstyle.cohorts.totalsegmentator import UnequalGrids
from ctstyle.ct.anatomy import VERTEBRA_NAMES
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.study.cohorts import TotalSegmentatorSettings
from tests.bucket_server import Bucket, served

NAME = "Totalsegmentator_dataset_small_v201.zip"
KEY = f"records/10047263/files/{NAME}"
ZENODO = '"md5:{}"'
META = "image_id;age;gender;institute;manufacturer\ns0011;70;f;A;siemens\ns0058;50;m;B;\n"


@pytest.fixture
def waits(monkeypatch):
    """What would be waited, in seconds."""
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def nifti(folder, image):
    path = folder / "volume.nii.gz"
    sitk.WriteImage(image, str(path), useCompression=True)
    return path.read_bytes()


def subject(folder, ct, labels):
    """A subject's files as the archive holds them: one binary file for each of the vertebrae, and other organs."""
    files = {"ct.nii.gz": nifti(folder, ct), "segmentations/liver.nii.gz": b"not wanted"}
    values = sitk.GetArrayFromImage(labels)
    for label, name in VERTEBRA_NAMES.items():
        mask = sitk.GetImageFromArray((values == label).astype(np.uint8))
        mask.CopyInformation(labels)
        file = "sacrum" if name == "sacrum" else f"vertebrae_{name}"
        files[f"segmentations/{file}.nii.gz"] = nifti(folder, mask)
    return files


def made(shape=(6, 8, 10), label=31):
    values = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
    labels = np.zeros(shape, np.uint8)
    labels[2:4, 3:6] = label
    images = [sitk.GetImageFromArray(values), sitk.GetImageFromArray(labels)]
    for image in images:
        image.SetSpacing((1.5, 1.5, 1.5))
        image.SetOrigin((3.0, -4.0, 5.0))
    return images


def zipped(subjects, meta=META):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, files in subjects.items():
            for file, data in files.items():
                archive.writestr(f"{name}/{file}", data)
        archive.writestr("meta.csv", "\ufeff" + meta)
    return stream.getvalue()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("totalsegmentator")
    return zipped({"s0011": subject(folder, *made()), "s0058": subject(folder, *made(label=0))})


@pytest.fixture
def listed(archive, tmp_path, monkeypatch):
    """The server, the settings, and the folder with the table as a user would pin it."""
    published = (len(archive), hashlib.md5(archive).hexdigest())
    monkeypatch.setitem(totalsegmentator.PUBLISHED, NAME, published)
    with served(Bucket({KEY: archive}, etag=ZENODO)) as server:
        address = f"{server.address}/{KEY}?download=1"
        settings = TotalSegmentatorSettings(address=address, pinned="ts.tsv")
        totalsegmentator.list_scans(settings, tmp_path / "ts.tsv", cache=tmp_path / "cache")
        yield server, settings, tmp_path


def test_subjects_are_listed_with_what_is_known_of_their_scanner(listed):
    _, settings, folder = listed
    table = totalsegmentator.pinned(settings, folder)
    assert list(table["subject"]) == ["s0011", "s0058"] and list(table["manufacturer"]) == ["siemens", "B"]
    text = (folder / "ts.tsv").read_text()
    assert "CC BY 4.0" in text and "\tf\t" not in text
    scan = totalsegmentator.scans(settings, "results/cohorts/totalsegmentator", folder)[0]
    assert (scan.scan, scan.patient) == ("totalsegmentator-s0011", "totalsegmentator-s0011")
    assert scan.mask == "results/cohorts/totalsegmentator/s0011/labels.nii.gz" and scan.licence == "CC BY 4.0"
    with pytest.raises(UnusableList, match=r"unknown subjects .*s9999.*cohorts/totalsegmentator"):
        totalsegmentator.pinned(TotalSegmentatorSettings(("s9999",), pinned="ts.tsv"), folder)


def test_a_subject_costs_one_request_and_waits_for_a_busy_server(listed, archive, waits):
    server, settings, folder = listed
    asked, sent = server.asked[KEY], server.sent
    server.refused[KEY], server.refusal, server.retry_after = 1, 429, "59"
    row = totalsegmentator.pinned(settings, folder).iloc[0].to_dict()
    totalsegmentator.fetch(row, settings.address, folder, cache=folder / "cache")
    assert server.asked[KEY] - asked == 2 and waits == [59.0]
    assert server.sent - sent < 0.6 * len(archive)
    assert sorted(one.name for one in (folder / "s0011").iterdir()) == ["LICENCE.txt", "ct.nii.gz", "labels.nii.gz"]
    with zipfile.ZipFile(io.BytesIO(archive)) as whole:
        assert (folder / "s0011" / "ct.nii.gz").read_bytes() == whole.read("s0011/ct.nii.gz")
    volume = read_volume(folder / "s0011" / "ct.nii.gz")
    labels = read_mask(folder / "s0011" / "labels.nii.gz", volume, "totalsegmentator")
    assert np.array_equal(labels, sitk.GetArrayFromImage(made()[1]))
    known = (folder / "cache" / "s0011.sha256").read_text()
    assert known.count("\n") == 1 + len(VERTEBRA_NAMES)
    again = (folder / "s0011" / "labels.nii.gz").read_bytes()
    totalsegmentator.fetch(row, settings.address, folder, cache=folder / "cache")
    assert (folder / "s0011" / "labels.nii.gz").read_bytes() == again


def test_a_subject_without_vertebrae_in_view_arrives_and_says_so(listed, caplog):
    _, settings, folder = listed
    row = totalsegmentator.pinned(settings, folder).iloc[1].to_dict()
    totalsegmentator.fetch(row, settings.address, folder, cache=folder / "cache")
    assert not sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "s0058" / "labels.nii.gz"))).any()
    assert "no vertebra is in view" in caplog.text


def test_merged_files_are_the_authors_own_label_file(shared_data, tmp_path):
    labels = sitk.ReadImage(str(shared_data / "lumbar_3mm_nifti" / "vertebrae_S1-T11.nii.gz"))
    ct = sitk.ReadImage(str(shared_data / "lumbar_3mm_nifti" / "example_ct.nii.gz"))
    for name, data in subject(tmp_path, ct, labels).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    masks = {tmp_path / "segmentations" / name: label for name, label in totalsegmentator.MASKS.items()}
    totalsegmentator.merge_masks(tmp_path / "ct.nii.gz", masks, tmp_path / "labels.nii.gz")
    merged = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "labels.nii.gz")))
    assert np.array_equal(merged, sitk.GetArrayFromImage(labels)) and set(np.unique(merged)) >= {0, 26, 31, 33}


def test_a_mask_on_another_grid_is_refused(tmp_path):
    ct, labels = made()
    (tmp_path / "ct.nii.gz").write_bytes(nifti(tmp_path, ct))
    labels.SetOrigin((0.0, 0.0, 0.0))
    (tmp_path / "mask.nii.gz").write_bytes(nifti(tmp_path, labels))
    with pytest.raises(UnequalGrids, match=r"mask\.nii\.gz: a mask does not lie on the grid.*Leave the subject out"):
        totalsegmentator.merge_masks(tmp_path / "ct.nii.gz", {tmp_path / "mask.nii.gz": 31}, tmp_path / "labels.nii.gz")


def test_an_archive_other_than_the_published_is_refused(archive, tmp_path, monkeypatch):
    with served(Bucket({KEY: archive}, etag=ZENODO)) as server:
        settings = TotalSegmentatorSettings(address=f"{server.address}/{KEY}?download=1")
        with pytest.raises(SourceChanged, match=r"not the archive that was published .*expected 3244617817 bytes"):
            totalsegmentator.list_scans(settings, tmp_path / "ts.tsv", cache=tmp_path)
        monkeypatch.setitem(totalsegmentator.PUBLISHED, NAME, (len(archive), "0" * 32))
        with pytest.raises(SourceChanged, match=r"ETag \"md5:\w+\", expected \d+ bytes, MD5 0{32}"):
            totalsegmentator.list_scans(settings, tmp_path / "ts.tsv", cache=tmp_path)


def test_a_record_that_is_gone_is_named(tmp_path, waits):
    with served(Bucket({}, etag=ZENODO)) as server, pytest.raises(SourceUnavailable, match=r"404 Client Error"):
        settings = TotalSegmentatorSettings(address=f"{server.address}/{KEY}?download=1")
        totalsegmentator.list_scans(settings, tmp_path / "ts.tsv", cache=tmp_path)


def test_an_archive_of_another_layout_is_named(tmp_path):
    (tmp_path / "other.zip").write_bytes(zipped({"case1": {"ct.nii.gz": b""}}))
    settings = TotalSegmentatorSettings(address=str(tmp_path / "other.zip"))
    with pytest.raises(UnusableList, match=r"no scan of the expected layout .*s0011/ct"):
        totalsegmentator.list_scans(settings, tmp_path / "ts.tsv", cache=tmp_path)
