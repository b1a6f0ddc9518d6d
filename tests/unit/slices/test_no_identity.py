"""Nothing that names a patient leaves the reader: known values in every attribute of PS3.15's list are searched for."""

import base64
import gzip
import io
import json
import logging
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from ctstyle.cohorts.sheet import Scan
from ctstyle.errors import CTStyleError
from ctstyle.slices.archive import ScanFiles
from ctstyle.slices.cut import slice_scan
from ctstyle.study.data import SliceSettings
from tests.dicom_series import ct_series, segmentation, write
from tests.dicom_structures import structure_set
from tests.phi import leaks, leaks_in, plant, planted

SETTINGS = SliceSettings(size_px=32, spacing_mm=2.0)
SHAPE = (6, 64, 64)


def body_hu():
    rows, columns = np.mgrid[: SHAPE[1], : SHAPE[2]]
    inside = np.hypot(rows - 32, columns - 32) < 26
    return np.broadcast_to(np.where(inside, 40, -1000), SHAPE).astype(np.int16)


def archive(tmp_path, change=None):
    """A series with a planted CT and a planted mask; `change` is made after planting."""

    def alter(k, dataset):
        plant(dataset, "1")
        if change is not None:
            change(k, dataset)

    series = ct_series(body_hu())
    mask = np.zeros(SHAPE[1:], bool)
    mask[28:36, 28:36] = True
    seg = segmentation([(1, tuple(one.ImagePositionPatient), mask) for one in series], {1: "T12 vertebra"})
    plant(seg, "1")
    seg.FrameOfReferenceUID = series[0].FrameOfReferenceUID
    folder = write(series, tmp_path / "ct", alter)
    seg.SegmentSequence[0].SegmentLabel = "T12 vertebra"
    (tmp_path / "seg").mkdir()
    seg.save_as(tmp_path / "seg" / "seg.dcm", enforce_file_format=True)
    return folder, tmp_path / "seg"


def run(tmp_path, caplog, change=None, **how):
    folder, seg = archive(tmp_path, change)
    scan = Scan(scan="s", patient="p", series=str(folder), mask=str(seg), label_map="totalsegmentator")
    out = tmp_path / "out"
    out.mkdir()
    with caplog.at_level(logging.DEBUG):
        slice_scan(scan, SETTINGS, ScanFiles.beside(out / "s.hu.npy"), **how)
    return out


def test_the_search_finds_what_was_planted(tmp_path):
    folder, seg = archive(tmp_path)
    for place in (folder, seg):
        found = set().union(*leaks_in(place).values())
        assert {value.partition("^")[0] for value in planted().values() if value.startswith("PHIQ")} <= found
        assert {value for value in planted().values() if value.isdigit()} <= found
    assert leaks(b'"date": "1871-02-03"') and not leaks(b"c0ffee18710203 0.18710203")


def test_the_search_looks_into_names_and_whatever_is_packed(tmp_path):
    word = b"PHIQ0001X"
    np.save(tmp_path / "texts.npy", np.array([word.decode()]))
    (tmp_path / "a.gz").write_bytes(gzip.compress(word))
    (tmp_path / "a.pdf").write_bytes(b"%PDF stream\n" + zlib.compress(word * 9) + b"\nendstream")
    (tmp_path / "a.html").write_bytes(b'<img src="data:image/png;base64,' + base64.b64encode(word) + b'">')
    text = PngInfo()
    text.add_text("Comment", word.decode() * 9, zip=True)
    Image.new("L", (2, 2)).save(tmp_path / "a.png", pnginfo=text)
    (tmp_path / "phiq0001x").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("PHIQ0001X", b"")
    assert len(leaks_in(tmp_path)) == 7 == len(list(tmp_path.iterdir()))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a").write_bytes(word)
    assert len(leaks_in(tmp_path, but="logs")) == 7


def test_slices_manifest_record_and_log_name_nobody(tmp_path, caplog):
    out = run(tmp_path, caplog)
    assert len(list(out.iterdir())) == 4 and np.load(out / "s.labels.npy").any()
    assert leaks_in(out) == {} and leaks(caplog.text.encode()) == set()


def drop_rescale(k, dataset):
    del dataset.RescaleIntercept


def double(k, dataset):
    dataset.ImagePositionPatient = [0, 0, 0]


def no_position(k, dataset):
    dataset.ImagePositionPatient = None


def other_patient(k, dataset):
    dataset.PatientID = "PHIQ7777X"


def other_frame(k, dataset):
    dataset.FrameOfReferenceUID = "1.2.3"


def cut_off(k, dataset):
    dataset.PixelData = dataset.PixelData[:100]


@pytest.mark.parametrize("change", [drop_rescale, double, no_position, other_patient, other_frame, cut_off])
def test_messages_and_skipped_scans_name_nobody(tmp_path, caplog, change):
    out = run(tmp_path, caplog, change, on_bad_scan="skip")
    assert '"status": "skipped"' in (out / "s.json").read_text()
    assert leaks_in(out) == {} and leaks(caplog.text.encode()) == set()
    (tmp_path / "again").mkdir()
    with pytest.raises(CTStyleError) as fault:
        run(tmp_path / "again", caplog, change)
    assert leaks(str(fault.value).encode()) == set()


def write_zip(series, path, member):
    """The series as a zip whose members are called `member` and a number."""
    with zipfile.ZipFile(path, "w") as archive:
        for k, dataset in enumerate(series):
            buffer = io.BytesIO()
            dataset.save_as(buffer, enforce_file_format=True)
            archive.writestr(f"{member}-{k}.dcm", buffer.getvalue())


FOLDER = "PHIQ9010X_JOHN_1970"
"""A name for folders and files."""


def text(keyword, value="PHIQ9020X", kind="LO"):
    """A change that writes a name into a tag, whatever may stand in it."""

    def change(series):
        for one in series:
            one[keyword] = DataElement(Tag(keyword), kind, value)

    return change


def place(number, *position):
    """A change that moves one slice."""

    def change(series):
        series[number].ImagePositionPatient = list(position)

    return change


def two_series(series):
    series[0].SeriesInstanceUID = "PHIQ9021X"


def cut_short(series):
    series[0].PixelData = series[0].PixelData[:100]


FAULTS = {
    "RescaleType (0028,1054)": text("RescaleType"),
    "ImagePositionPatient (0020,0032) is missing": text("ImagePositionPatient"),
    "PixelSpacing (0028,0030) is missing": text("PixelSpacing"),
    "RescaleSlope (0028,1053) is missing": text("RescaleSlope"),
    "PhotometricInterpretation (0028,0004)": text("PhotometricInterpretation"),
    "BitsStored (0028,0101)": text("BitsStored"),
    "HighBit (0028,0102)": text("HighBit"),
    "SamplesPerPixel (0028,0002)": text("SamplesPerPixel"),
    "NumberOfFrames (0028,0008)": text("NumberOfFrames"),
    "found 6 DICOM of an unknown Modality": text("Modality"),
    "2 CT series in one place": two_series,
    "1 slice lies where another one does": place(1, -10, -20, 30),
    "about 4 slices are missing": place(5, -10, -20, 52.5),
    "the slices are not equally spaced": place(5, -10, -20, 43.1),
    "gantry tilt": place(5, -10, 20, 42.5),
    "the pixel data is cut off or damaged": cut_short,
}


def refused(tmp_path, scan):
    """The reason of a skipped scan, after everything that was written was searched; and the whole error."""
    out = tmp_path / "out"
    out.mkdir()
    files = ScanFiles.beside(out / "s.hu.npy")
    slice_scan(scan, SETTINGS, files, on_bad_scan="skip")
    assert leaks_in(out) == {}
    with pytest.raises(CTStyleError) as fault:
        slice_scan(scan, SETTINGS, files)
    return json.loads(files.about.read_text())["reason"], str(fault.value)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("words", FAULTS)
def test_the_reason_of_a_skipped_scan_says_what_is_wrong_and_quotes_neither_tag_nor_path(tmp_path, words, packed):
    series = ct_series(body_hu())
    FAULTS[words](series)
    source = tmp_path / FOLDER / "PHIQ9011X.zip"
    if packed:
        source.parent.mkdir()
        write_zip(series, source, "PHIQ9012X")
    else:
        write(series, source)
    reason, whole = refused(tmp_path, Scan(scan="s", patient="p", series=str(source)))
    assert words in reason and reason[-1] == "."
    assert FOLDER in whole  # the terminal and the log say where


MASK_FAULTS = {
    "no vertebra among the segments; SegmentLabel (0062,0005)": {"names": {1: "PHIQ9030X"}},
    "FrameOfReferenceUID (0020,0052)": {"FrameOfReferenceUID": "PHIQ9031X"},
    "PatientID (0010,0020)": {"PatientID": "PHIQ9032X"},
    "label_map name:PATTERN": {"label_map": "name:PHIQ9033X*"},
    "unknown label_map": {"label_map": "PHIQ9034X"},
}


@pytest.mark.parametrize("words", MASK_FAULTS)
@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_the_reason_of_a_mask_quotes_no_label_no_roi_and_no_pattern(tmp_path, words, kind):
    tags = dict(MASK_FAULTS[words])
    names, label_map = tags.pop("names", {1: "T12 vertebra"}), tags.pop("label_map", "totalsegmentator")
    series = ct_series(body_hu())
    folder = write(series, tmp_path / FOLDER / "ct")
    if kind == "seg":
        mask = segmentation([(1, (-10, -20, 30), np.ones(SHAPE[1:], bool))], names, **tags)
    else:
        points = np.array([(0, 0, 30), (20, 0, 30), (20, 20, 30)], float)
        mask = structure_set({names[1]: [points]}, **{k: v for k, v in tags.items() if k == "PatientID"})
        if "FrameOfReferenceUID" in tags:
            mask.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = tags["FrameOfReferenceUID"]
        words = words.replace("SegmentLabel (0062,0005)", "ROIName (3006,0026)")
    path = tmp_path / FOLDER / "PHIQ9035X.dcm"
    mask.save_as(path, enforce_file_format=True)
    scan = Scan(scan="s", patient="p", series=str(folder), mask=str(path), label_map=label_map)
    reason, whole = refused(tmp_path, scan)
    assert words in reason and "PHIQ90" in whole


@pytest.mark.parametrize("name", ["PHIQ9040X", "PHIQ9040X.zip", "PHIQ9040X.nii.gz", "PHIQ9040X.nrrd"])
@pytest.mark.parametrize("content", [None, b"PHIQ9041X", b"PK\x05\x06PHIQ9041X"])
def test_the_reason_of_a_file_that_is_missing_or_damaged_does_not_name_it(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    reason, whole = refused(tmp_path, Scan(scan="s", patient="p", series=str(tmp_path / name)))
    assert reason and "PHIQ9040X" in whole
