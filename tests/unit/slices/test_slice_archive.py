"""The archive: what is written is read, nothing identifying leaves, and a skipped scan is an empty valid archive."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pydicom
import pytest

from ctstyle.cohorts.sheet import Scan
from ctstyle.ct.read import read_volume
from ctstyle.ct.series import MissingSlices
from ctstyle.errors import CTStyleError
from ctstyle.slices import crop
from ctstyle.slices.archive import COLUMNS, Archive, BrokenArchive, ScanFiles, gather, write_scan
from ctstyle.slices.cut import cut, slice_scan
from ctstyle.study.data import SliceSettings
from tests.dicom_series import NAME, ct_series, segmentation, write

SETTINGS = SliceSettings(size_px=24, spacing_mm=3.0, every_mm=2.5)


def body(shift=0):
    """HU `[6, 40, 40]` at 1.5 mm with a trunk and a vertebra in the four middle slices, and the mask of it."""
    z, y, x = np.mgrid[:6, :40, :40]
    hu = np.where((x - 20) ** 2 + (y - 20) ** 2 < 18**2, 30 + shift, -1000)
    mask = (abs(x - 20) < 5) & (abs(y - 26) < 5) & (z > 0) & (z < 5)
    hu[mask] = 500
    return hu.astype(np.int16), mask


def make_scan(tmp_path, name, shift=0):
    hu, mask = body(shift)
    folder = write(ct_series(hu), tmp_path / "dicom" / name)
    frames = [(1, (-10.0, -20.0, 30.0 + 2.5 * k), mask[k]) for k in range(6)]
    segmentation(frames, {1: "T12 vertebra"}).save_as(folder / "seg.dcm", enforce_file_format=True)
    return Scan(
        scan=name,
        patient=f"p-{name}",
        cohort="test",
        series=str(folder),
        mask=str(folder),
        label_map="totalsegmentator",
    )


@pytest.fixture
def written(tmp_path):
    """Two scans and a skipped one, sliced; returns the paths of their HU."""
    paths = []
    for k, name in enumerate(("a", "gap", "b")):
        scan = make_scan(tmp_path, name, shift=10 * k)
        if name == "gap":
            (tmp_path / "dicom" / name / "024.dcm").unlink()
        paths.append(tmp_path / "slices" / f"{name}.hu.npy")
        slice_scan(scan, SETTINGS, ScanFiles.beside(paths[-1]), on_bad_scan="skip")
    return paths


def test_what_was_cut_is_read_back(written):
    archive = Archive.open(written)
    assert len(archive) == 8 and list(archive.rows.columns) == list(COLUMNS)
    assert archive.hu().shape == (8, 24, 24) and archive.hu().dtype == np.int16
    assert archive.labels().dtype == np.uint8 and set(np.unique(archive.labels())) == {0, 32}
    assert (archive.rows.level == 32).all()
    assert archive.rows.scan.tolist() == ["a"] * 4 + ["b"] * 4
    direct = np.load(written[2], mmap_mode="r")
    np.testing.assert_array_equal(archive.hu([5, 4]), direct[[1, 0]])
    assert archive.scans["a"]["acquisition"]["kernel"] == "Br38f/3" and archive.scans["a"]["spacing_mm"] == 3.0


def test_arrays_stay_on_disk(written):
    archive = Archive.open(written)
    assert all(isinstance(array, np.memmap) for array in (archive._hu["a"], archive._labels["b"]))


def test_scans_laid_together_are_the_same_archive(written, tmp_path):
    files = ScanFiles.beside(tmp_path / "all" / "slices.hu.npy")
    gather(written, files)
    apart, together = Archive.open(written), Archive.open([files.hu])
    pd.testing.assert_frame_equal(together.rows, apart.rows)
    assert together.scans == apart.scans and together.reasons == apart.reasons
    np.testing.assert_array_equal(together.hu([7, 0, 5]), apart.hu([7, 0, 5]))
    np.testing.assert_array_equal(together.select(scan="b").labels(), apart.select(scan="b").labels())
    assert isinstance(together._hu["b"], np.memmap) and together._hu["gap"].shape == (0, 24, 24)
    lines = files.rows.read_text().splitlines()
    assert lines[1:] == [line for path in written for line in ScanFiles.beside(path).rows.read_text().splitlines()[1:]]
    np.save(files.hu, np.load(files.hu)[:-1])
    with pytest.raises(BrokenArchive, match="fit together"):
        Archive.open([files.hu])


def test_only_skipped_scans_can_be_laid_together(written, tmp_path):
    files = ScanFiles.beside(tmp_path / "slices.hu.npy")
    gather(written[1:2], files)
    assert Archive.open([files.hu]).reasons == Archive.open(written).reasons


def test_selections(written):
    archive = Archive.open(written)
    table = pd.DataFrame({"scan": ["b", "a", "gap"], "style": ["s2", "s1", "s1"], "patient": ["x", "y", "z"]})
    joined = archive.join(table)
    assert joined.select(style="s2").rows.scan.unique().tolist() == ["b"]
    assert joined.select(style=["s1", "s2"], index=[0, 1]).hu().shape[0] == 4
    assert joined.rows.patient.tolist() == archive.rows.patient.tolist(), "columns that are there are kept"
    chosen = joined.select(style="s2").take([3, 0])
    np.testing.assert_array_equal(chosen.hu(), archive.hu([7, 4]))
    assert len(joined.select(style="s9")) == 0 and joined.select(style="s9").hu().shape == (0, 24, 24)
    with pytest.raises(BrokenArchive, match=r"found \['b'\]"):
        archive.join(table[1:])


def test_slices_of_two_crops_are_laid_over_each_other_by_whole_pixels(tmp_path, monkeypatch):
    hu, _ = body()
    folder = write(ct_series(hu), tmp_path / "ct")
    volume = read_volume(folder)
    monkeypatch.setattr(crop, "CROP_STEP_MM", 3.0)  # in wide steps these two crops are the same
    here, there = cut(volume, None, SETTINGS), cut(volume, None, replace(SETTINGS, crop="body"))
    assert (here[2].row0_mm != there[2].row0_mm).any()
    archive = []
    for name, (hu, labels, rows) in (("here", here), ("there", there)):
        files = ScanFiles.beside(tmp_path / f"{name}.hu.npy")
        write_scan(
            files,
            hu=hu,
            labels=labels,
            rows=rows,
            scan=name,
            patient="p",
            cohort="test",
            acquisition={},
            grey_values="hounsfield",
            spacing_mm=3.0,
        )
        archive.append(Archive.open([files.hu]))
    got = archive[1].hu_in_field(archive[0].rows, outside_hu=-251)
    known = got != -251
    assert 0.5 < known.mean() < 1
    np.testing.assert_array_equal(got[known], archive[0].hu()[known])
    np.testing.assert_array_equal(archive[0].hu_in_field(archive[0].rows, outside_hu=0), archive[0].hu())
    with pytest.raises(BrokenArchive, match="do not show the same plane"):
        archive[0].take([0]).hu_in_field(archive[1].rows[3:4], outside_hu=0)


def test_a_skipped_scan_is_empty_and_says_why(written):
    archive = Archive.open(written)
    assert list(archive.reasons) == ["gap"]
    assert "slice is missing" in archive.reasons["gap"] and "024" not in archive.reasons["gap"]
    assert np.load(written[1]).shape == (0, 24, 24)
    only = Archive.open(written[1:2])
    assert len(only) == 0 and only.hu().shape == (0, 24, 24) and list(only.rows.columns) == list(COLUMNS)


def test_on_bad_scan_fail_raises_and_writes_nothing(tmp_path):
    scan = make_scan(tmp_path, "gap")
    (tmp_path / "dicom" / "gap" / "024.dcm").unlink()
    with pytest.raises(MissingSlices):
        slice_scan(scan, SETTINGS, ScanFiles.beside(tmp_path / "out" / "gap.hu.npy"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(CTStyleError, match="on_bad_scan"):
        slice_scan(scan, SETTINGS, ScanFiles.beside(tmp_path / "out" / "gap.hu.npy"), on_bad_scan="ignore")


def test_burnt_in_text_skips_a_scan_or_is_noted(tmp_path):
    scan = make_scan(tmp_path, "a")
    for path in (tmp_path / "dicom" / "a").glob("0*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.BurnedInAnnotation = "YES"
        dataset.save_as(path)
    skipped, accepted = (ScanFiles.beside(tmp_path / name / "a.hu.npy") for name in ("skipped", "accepted"))
    slice_scan(scan, SETTINGS, skipped, on_bad_scan="skip")
    assert "text is burnt into the pixels" in Archive.open([skipped.hu]).reasons["a"]
    slice_scan(scan, replace(SETTINGS, burned_in="accept"), accepted)
    about = json.loads(accepted.about.read_text())
    assert about["status"] == "ok" and about["burned_in"] == "yes"


def test_no_identifying_tag_leaves_this_stage(written):
    secrets = [NAME, "Mustermann", "Erika", "ID-4711", "19500101", "Nimmerlein", "ACC-0815"]
    for path in written[0].parent.iterdir():
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path
    files = sorted(path.name for path in written[0].parent.iterdir())
    assert files == sorted(f"{n}.{e}" for n in ("a", "b", "gap") for e in ("hu.npy", "labels.npy", "tsv", "json"))
    about = json.loads((written[0].parent / "a.json").read_text())
    assert set(about) == {
        "scan",
        "patient",
        "cohort",
        "status",
        "reason",
        "grey_values",
        "burned_in",
        "spacing_mm",
        "acquisition",
    }
    assert not [key for key in about["acquisition"] if re.search("patient|name|date|birth|id$", key)]


def test_the_same_scan_gives_the_same_bytes(tmp_path, written):
    scan = make_scan(tmp_path / "again", "a")
    slice_scan(scan, SETTINGS, ScanFiles.beside(tmp_path / "twice" / "a.hu.npy"))
    for path in (tmp_path / "twice").iterdir():
        assert path.read_bytes() == (written[0].parent / path.name).read_bytes(), path.name


def test_files_that_do_not_fit_together_are_named(written, tmp_path):
    np.save(written[0], np.load(written[0])[:2])
    with pytest.raises(BrokenArchive, match=r"a\.hu\.npy.*\(2, 24, 24\) slices, \(4, 24, 24\) labels, 4 rows"):
        Archive.open(written)
    written[0].unlink()
    with pytest.raises(BrokenArchive, match="FileNotFoundError"):
        Archive.open(written)
    with pytest.raises(BrokenArchive, match="no scan to open"):
        Archive.open([])


def test_scans_of_another_size_are_refused(written, tmp_path):
    path = tmp_path / "slices" / "large.hu.npy"
    slice_scan(make_scan(tmp_path, "large"), replace(SETTINGS, size_px=32), ScanFiles.beside(path))
    with pytest.raises(BrokenArchive, match="different slice size"):
        Archive.open([*written, path])


def test_archives_open_where_no_dicom_library_is():
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['pydicom', 'SimpleITK', 'highdicom', 'snakemake', 'lpips']))\n"
        "import ctstyle.slices.archive, ctstyle.slices.body, ctstyle.slices.cut"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_at_size_averages_areas_and_lets_labels_vote():
    hu = np.arange(36, dtype=np.int16).reshape(1, 6, 6) * 10
    labels = np.zeros((1, 6, 6), np.uint8)
    labels[0, :3, :3] = 31
    rows = pd.DataFrame([{"scan": "a", "index": 0}])
    small = Archive(rows, {}, {"a": hu}, {"a": labels}).at_size(4)
    # 6 to 4: an output is 1.5 pixels wide, so two neighbours share a pixel half and half
    weights = np.zeros((4, 6))
    weights[0, :2], weights[1, 1:3] = (1, 0.5), (0.5, 1)
    weights[2, 3:5], weights[3, 4:] = (1, 0.5), (0.5, 1)
    expected = (weights @ hu[0] @ weights.T) / 2.25
    np.testing.assert_array_equal(small.hu()[0], np.rint(expected).astype(np.int16))
    assert (small.labels()[0, :2, :2] == 31).all() and small.labels().sum() == 4 * 31
    assert np.array_equal(small.take([0]).at_size(6).hu(), hu)
