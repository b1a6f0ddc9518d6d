"""VerSe out of remote archives of its layout: which scans there are, whose they are, and that they arrive whole."""

import io
import json
import time
import zipfile
from collections import Counter

import numpy as np
import pytest
import SimpleITK as sitk

from ctstyle.cohorts import sheet, verse
from ctstyle.cohorts.download import SourceChanged
from ctstyle.cohorts.pinned import UnusableList
from ctstyle.ct.anatomy import VERTEBRA_NAMES
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.slices.split import split
from ctstyle.study.cohorts import VerseSettings
from ctstyle.study.data import SplitSettings
from tests.bucket_server import Bucket, served


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(time, "sleep", [].append)


def nifti(folder, values, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    """The bytes of a compressed NIfTI."""
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.8, 0.9, 2.0))
    image.SetDirection(direction)
    path = folder / "volume.nii.gz"
    sitk.WriteImage(image, str(path), useCompression=True)
    return path.read_bytes()


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Two archives by key: verse004 in both, verse401 with two scans, gl003 turned, and what else lies there."""
    folder = tmp_path_factory.mktemp("verse")
    source = np.random.default_rng(0)
    old, new = {}, {}

    def add(target, top, subject, entities="", maker="", turned=False, mask=True):
        hu = source.integers(-1000, 1500, (5, 7, 9)).astype(np.int16)
        labels = np.zeros(hu.shape, np.uint8)
        labels[1], labels[3] = 20, 28
        direction = (0, 0, 1, 1, 0, 0, 0, 1, 0) if turned else (1, 0, 0, 0, 1, 0, 0, 0, 1)
        stem = f"{subject}/{subject}{entities}"
        target[f"{top}/rawdata/{stem}_ct.nii.gz"] = nifti(folder, hu, direction)
        if mask:
            target[f"{top}/derivatives/{stem}_seg-vert_msk.nii.gz"] = nifti(folder, labels, direction)
        target[f"{top}/derivatives/{stem}_seg-vert_snp.png"] = b"a picture"
        if maker:
            target[f"{top}/rawdata/{stem}_ct.json"] = json.dumps({"Manufacturer": maker, "KVP": "120"}).encode()

    add(old, "dataset-verse19training", "sub-verse004", maker="Philips")
    add(old, "dataset-verse19training", "sub-verse401", "_split-verse201", "Siemens")
    add(old, "dataset-verse19training", "sub-verse401", "_split-verse253", "Siemens")
    old["__MACOSX/dataset-verse19training/rawdata/sub-verse004/._sub-verse004_ct.nii.gz"] = b"junk"
    add(new, "dataset-01training", "sub-verse004", "_dir-ax", "Philips")
    add(new, "dataset-01training", "sub-gl003", "_dir-sag", turned=True)
    add(new, "dataset-01training", "sub-gl999", "_dir-ax", mask=False)
    return {
        f"public/dataset-{name}.zip": zipped(members)
        for name, members in (("verse19training", old), ("verse20training", new))
    }


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def settings_of(server, sets=("verse19training", "verse20training"), **changes):
    return VerseSettings(sets, address=f"{server.address}/public", **changes)


@pytest.fixture
def listed(archives, tmp_path):
    """The server, its settings and the folder where the table was written as a user would pin it."""
    with served(Bucket(dict(archives))) as server:
        settings = settings_of(server, pinned="verse.tsv")
        verse.list_scans(settings, tmp_path / "verse.tsv", cache=tmp_path / "cache")
        yield server, settings, tmp_path


def test_every_scan_is_listed_once_without_fetching_it(listed, archives):
    server, settings, folder = listed
    table = verse.pinned(settings, folder)
    assert list(table["case"]) == ["gl003", "verse004", "verse401-verse201", "verse401-verse253"]
    assert list(table["set"]) == ["verse20training", *["verse19training"] * 3]
    assert list(table["manufacturer"]) == ["", "Philips", "Siemens", "Siemens"]
    assert "CC BY-SA 4.0" in (folder / "verse.tsv").read_text().splitlines()[1]
    # the order of the sets decides which of two versions of a scan is taken
    turned = settings_of(server, sets=("verse20training", "verse19training"))
    verse.list_scans(turned, folder / "turned.tsv", cache=folder / "cache")
    assert "dataset-01training/rawdata/sub-verse004/sub-verse004_dir-ax_ct" in (folder / "turned.tsv").read_text()


def test_a_subject_is_a_patient_and_stands_on_one_side(listed):
    _, settings, folder = listed
    scans = verse.scans(settings, "results/cohorts/verse", folder)
    assert [scan.patient for scan in scans] == ["verse-gl003", "verse-verse004", "verse-verse401", "verse-verse401"]
    assert scans[2].series == "results/cohorts/verse/verse401-verse201/ct.nii.gz" != scans[3].series
    assert {scan.label_map for scan in scans} == {"verse"} and {scan.licence for scan in scans} == {"CC BY-SA 4.0"}
    sheet.sheet_frame(scans).to_csv(folder / "sheet.tsv", sep="\t", index=False)
    assert sheet.read_sheet(folder / "sheet.tsv") == scans
    frame = sheet.sheet_frame(scans).assign(group="")
    for seed in range(10):
        sides = split(frame, SplitSettings(val=0, test=0.4, seed=seed))
        assert sides["verse-verse401-verse201"] == sides["verse-verse401-verse253"]


def test_subjects_and_sets_choose_and_a_missing_list_says_how_it_is_made(listed):
    server, _, folder = listed
    chosen = settings_of(server, pinned="verse.tsv", subjects=("sub-verse401",))
    assert list(verse.pinned(chosen, folder)["case"]) == ["verse401-verse201", "verse401-verse253"]
    only = settings_of(server, pinned="verse.tsv", sets=("verse20training",))
    assert list(verse.pinned(only, folder)["case"]) == ["gl003"]
    with pytest.raises(UnusableList, match=r"verse: subjects: unknown subjects .*sub-none.*cohorts/verse"):
        verse.pinned(settings_of(server, pinned="verse.tsv", subjects=("sub-none",)), folder)
    with pytest.raises(UnusableList, match=r"none of its scans takes part .*verse19test"):
        verse.pinned(settings_of(server, pinned="verse.tsv", sets=("verse19test",)), folder)
    with pytest.raises(UnusableList, match=r"nowhere\.tsv: .*cannot be read.*results/cohorts/verse.tsv"):
        verse.pinned(settings_of(server, pinned="nowhere.tsv"), folder)


@pytest.mark.parametrize("case", ["gl003", "verse401-verse253"])
def test_a_scan_arrives_as_published_through_a_bad_network(listed, archives, case):
    server, settings, folder = listed
    row = verse.pinned(settings, folder).set_index("case", drop=False).loc[case].to_dict()
    key = f"public/dataset-{row['set']}.zip"
    server.dropped, server.corrupted, server.refused = Counter({key: 1}), Counter({key: 1}), Counter({key: 1})
    target = folder / "results" / case
    verse.fetch(row, settings.address, target.parent, cache=folder / "cache")
    assert sorted(one.name for one in target.iterdir()) == ["LICENCE.txt", "ct.nii.gz", "labels.nii.gz"]
    assert not list(target.parent.glob(".*"))
    with zipfile.ZipFile(io.BytesIO(archives[key])) as whole:
        assert (target / "ct.nii.gz").read_bytes() == whole.read(row["ct"])
        assert (target / "labels.nii.gz").read_bytes() == whole.read(row["mask"])
    licence = (target / "LICENCE.txt").read_text()
    assert "CC BY-SA 4.0" in licence and "10.1016/j.media.2021.102166" in licence
    volume = read_volume(target / "ct.nii.gz")
    labels = read_mask(target / "labels.nii.gz", volume, "verse")
    # 20 is L1; a thirteenth thoracic vertebra (28) counts as T12
    assert {VERTEBRA_NAMES[label] for label in np.unique(labels) if label} == {"L1", "T12"}


def test_an_archive_with_other_scans_than_pinned_is_refused(listed):
    _, settings, folder = listed
    row = verse.pinned(settings, folder).iloc[0].to_dict()
    verse.fetch(row, settings.address, folder / "a", cache=folder / "cache")
    with pytest.raises(SourceChanged, match=r"sub-gl003.*does not hold what is pinned.*List the archive again"):
        verse.fetch(row | {"sha256": "0" * 64}, settings.address, folder / "b", cache=folder / "cache")
    known = folder / "cache" / "verse20training-gl003.sha256"
    known.write_text(known.read_text().replace(known.read_text()[:8], "00000000"))
    with pytest.raises(SourceChanged, match=r"other files than at the first fetch.*gl003\.sha256"):
        verse.fetch(row, settings.address, folder / "c", cache=folder / "cache")


def test_archives_in_a_folder_serve_as_well(archives, tmp_path):
    for key, data in archives.items():
        (tmp_path / key.rpartition("/")[2]).write_bytes(data)
    settings = VerseSettings(("verse19training", "verse20training"), address=str(tmp_path), pinned="verse.tsv")
    verse.list_scans(settings, tmp_path / "verse.tsv", cache=tmp_path / "cache")
    row = verse.pinned(settings, tmp_path).iloc[1].to_dict()
    verse.fetch(row, settings.address, tmp_path / "out", cache=tmp_path / "cache")
    assert read_volume(tmp_path / "out" / row["case"] / "ct.nii.gz").hu.shape == (5, 7, 9)


def test_an_archive_of_another_layout_is_named(tmp_path):
    (tmp_path / "dataset-verse19test.zip").write_bytes(zipped({"sub-verse004_ct.nii.gz": b""}))
    settings = VerseSettings(("verse19test",), address=str(tmp_path))
    with pytest.raises(UnusableList, match=r"no scan of the expected layout .*rawdata/sub-"):
        verse.list_scans(settings, tmp_path / "verse.tsv", cache=tmp_path)
