"""Nothing that names a patient leaves the reader: known values in every attribute of PS3.15's list are searched for."""

import logging

import numpy as np
import pytest

from ctstyle.cohorts.sheet import Scan
from ctstyle.errors import CTStyleError
from ctstyle.slices.archive import ScanFiles
from ctstyle.slices.cut import SliceSettings
from ctstyle.slices.scan import slice_scan
from tests.dicom_series import ct_series, segmentation, write
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
