"""Spine-Mets-CT-SEG from a bucket that drops, corrupts and refuses: what arrives is whole, pinned, always the same."""

import csv
import io
import zipfile
from collections import Counter

import pytest

from ctstyle.cohorts import download, spine_mets
from ctstyle.cohorts.download import NoSpace, SourceChanged, SourceUnavailable
from ctstyle.cohorts.pinned import UnusableList
from ctstyle.cohorts.spine_mets import COLLECTION, UnexpectedSeries
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.study.cohorts import SpineMetsSettings
from tests.bucket_server import Bucket, served
from tests.dicom_series import ct_series, random_hu, segmentation


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.01)


@pytest.fixture(scope="module")
def patient():
    """One patient: the objects of the bucket and the pinned row."""
    images = ct_series(random_hu(shape=(5, 8, 6)))
    mask = random_hu(shape=(5, 8, 6)) > 0
    frames = [(1, tuple(image.ImagePositionPatient), mask[k]) for k, image in enumerate(images)]
    seg = segmentation(frames, {1: "T12 vertebra"}, SeriesInstanceUID="1.2.826.0.1.3680043.10.1.2")
    objects = {f"ct-uuid/{k:04d}.dcm": _bytes(image) for k, image in enumerate(images)} | {
        "seg-uuid/1.dcm": _bytes(seg)
    }
    objects["ct-uuid/LICENSE"] = b"not an image"
    row = dict.fromkeys(COLLECTION.columns, "") | {
        "patient": "13800",
        "manufacturer": "SIEMENS",
        "ct_files": "5",
        "mb": "0.1",
    }
    row |= {"ct_files": "5", "mb": "0.1", "ct_uid": images[0].SeriesInstanceUID, "ct_folder": "ct-uuid"}
    return objects, row | {"seg_uid": seg.SeriesInstanceUID, "seg_folder": "seg-uuid"}


def _bytes(dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def fetched(served_bucket, row, folder, cache="cache"):
    spine_mets.fetch(row, served_bucket.address, folder, cache=folder / cache)
    return folder / "13800.zip"


def test_a_patient_arrives_whole_through_a_bad_network(patient, tmp_path):
    objects, row = patient
    faults = {"dropped": Counter({"ct-uuid/0000.dcm": 2}), "corrupted": Counter({"ct-uuid/0001.dcm": 1})}
    with served(Bucket(objects, **faults, refused=Counter({"ct-uuid/0002.dcm": 3, "seg-uuid/1.dcm": 1}))) as bad:
        path = fetched(bad, row, tmp_path)
        assert bad.asked["list ct-uuid/"] == 2  # two pages
        assert bad.asked["ct-uuid/0000.dcm"] == 3 and bad.asked["ct-uuid/0002.dcm"] == 4
        # what was dropped is resumed, what was corrupted fetched again
        expected = sum(map(len, objects.values())) - len(objects["ct-uuid/LICENSE"]) + len(objects["ct-uuid/0001.dcm"])
        assert bad.sent == expected
    with zipfile.ZipFile(path) as archive:
        names = [f"ct/{k:04d}.dcm" for k in range(5)] + ["seg/1.dcm"]
        assert archive.namelist() == ["LICENCE.txt", *names]
        licence = archive.read("LICENCE.txt").decode()
        assert "CC BY 4.0" in licence and "doi 10.7937/kh36-ds04" in licence
        assert all(archive.read(name) == objects[name.replace("/", "-uuid/")] for name in names)
    assert {one.name for one in tmp_path.iterdir()} == {"13800.zip", "cache"}
    volume = read_volume(path)
    assert volume.hu.shape == (5, 8, 6) and set(read_mask(path, volume, "totalsegmentator").ravel()) == {0, 32}


def test_a_stopped_fetch_goes_on_and_gives_the_same_bytes(patient, tmp_path):
    objects, row = patient
    with served(Bucket(objects)) as good:
        whole = fetched(good, row, tmp_path / "a").read_bytes()
    (tmp_path / "b").mkdir()
    with served(Bucket(objects, refused=Counter({"ct-uuid/0004.dcm": 99}))) as bad:
        with pytest.raises(SourceUnavailable, match=r"0004\.dcm.*503.*Run again"):
            fetched(bad, row, tmp_path / "b")
        assert not (tmp_path / "b" / "13800.zip").exists()
    with served(Bucket(objects)) as good:
        assert fetched(good, row, tmp_path / "b").read_bytes() == whole
        assert good.asked["ct-uuid/0000.dcm"] == 0 and good.asked["ct-uuid/0004.dcm"] == 1


def test_what_is_not_pinned_or_not_what_it_was_is_refused(patient, tmp_path):
    objects, row = patient
    with served(Bucket(objects)) as good:
        with pytest.raises(UnexpectedSeries, match="found 5, expected 6"):
            fetched(good, row | {"ct_files": "6"}, tmp_path)
        with pytest.raises(UnexpectedSeries, match="another series"):
            fetched(good, row | {"seg_uid": "1.2.3"}, tmp_path)
        fetched(good, row, tmp_path).unlink()
    assert not list(tmp_path.glob(".*"))
    other = objects | {"ct-uuid/0003.dcm": objects["ct-uuid/0003.dcm"] + b"\0\0"}
    with (
        served(Bucket(other)) as changed,
        pytest.raises(SourceChanged, match=r"other files than at the first.*0003"),
    ):
        fetched(changed, row, tmp_path)


def test_a_bucket_that_is_not_there_and_a_full_disk_are_named(patient, tmp_path, monkeypatch):
    _, row = patient
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1:9.*docs/own-data"):
        spine_mets.fetch(row, "http://127.0.0.1:9", tmp_path, cache=tmp_path)
    with pytest.raises(NoSpace, match=r"GB free, expected .*pathvars"):
        spine_mets.fetch(row | {"mb": "1e12"}, "http://127.0.0.1:9", tmp_path, cache=tmp_path)


def test_the_pinned_table_is_the_collection(root, shared_data):
    table = spine_mets.pinned(SpineMetsSettings(), root)
    assert len(table) == table["patient"].nunique() == table["ct_uid"].nunique() == 55
    with (shared_data / "spine_mets_ct_seg_idc.csv").open(newline="") as stream:
        told = {row["PatientID"]: row for row in csv.DictReader(stream)}
    for row in table.itertuples():
        one = told[row.patient]
        assert (row.ct_uid, row.seg_uid, row.ct_files) == (one["ct_uid"], one["seg_uid"], one["n"])
        assert one["ct_url"] == f"s3://idc-open-data/{row.ct_folder}/*" and row.seg_folder in one["seg_url"]


def test_patients_can_be_chosen_and_unknown_ones_are_named(root):
    asked = SpineMetsSettings(patients=("13843", "13800"))
    scans = spine_mets.scans(asked, "results/cohorts/spine_mets", root)
    assert [scan.scan for scan in scans] == ["spine-mets-13800", "spine-mets-13843"]
    assert (
        scans[0].series == scans[0].mask == "results/cohorts/spine_mets/13800.zip" and scans[0].licence == "CC BY 4.0"
    )
    with pytest.raises(UnusableList, match="99999"):
        spine_mets.pinned(SpineMetsSettings(patients=("99999",)), root)
    with pytest.raises(UnusableList, match="cannot be read"):
        spine_mets.pinned(SpineMetsSettings(pinned="config/none.tsv"), root)
