"""A user's own sheet: a broken scan stops the run with one message or is skipped by name; nothing is half-made."""

import json

import numpy as np
import pytest
import yaml

from tests.dicom_series import ct_series, write
from tests.runs import audit


def _disc(patient: int) -> np.ndarray:
    """HU `[6, 120, 120]`: a trunk of 90 mm radius with a square vertebra."""
    y, x = np.mgrid[:120, :120]
    hu = np.full((6, 120, 120), -1000)
    hu[:, np.hypot(y - 60, x - 60) < 54] = 40 + patient
    hu[:, 65:85, 50:70] = 300
    return hu.astype(np.int16)


def _without_slope(_, dataset):
    del dataset.RescaleSlope


@pytest.fixture
def sheet(tmp_path):
    """Three scans of which `broken` lacks its rescale tags, and the config that names them."""
    rows = ["scan\tpatient\tcohort\tseries"]
    for number, scan in enumerate(("good", "broken", "fine")):
        folder = tmp_path / "dicom" / scan
        write(ct_series(_disc(number)), folder, _without_slope if scan == "broken" else None)
        rows.append(f"{scan}\tp{number}\tmine\t{folder}")
    (tmp_path / "scans.tsv").write_text("\n".join(rows) + "\n")

    def config(**keys):
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump({"cohorts": ["sheet"], "sheet": str(tmp_path / "scans.tsv"), **keys}))
        return path

    return config


def test_a_broken_scan_stops_the_run_with_one_message_and_nothing_half_written(workflow, sheet):
    done = workflow.run("--configfile", sheet(), "--until", "cut_scan", "--keep-going")
    assert done.returncode != 0
    (message,) = [line for line in done.stdout.splitlines() if line.startswith("cut_scan: ")]
    assert "RescaleSlope" in message and "broken" in message and "expected" in message
    slices = workflow.folder / "results" / "slices"
    assert sorted(path.name.split(".")[0] for path in slices.glob("*.hu.npy")) == ["fine", "good"]
    assert not list(slices.glob("broken*"))
    log = (workflow.folder / "results" / "logs" / "cut_scan" / "broken.log").read_text()
    assert "Traceback" in log


def test_a_skipped_scan_is_listed_with_its_reason(workflow, sheet):
    done = workflow.run("--configfile", sheet(on_bad_scan="skip"), "--until", "cut_scan")
    assert done.returncode == 0, done.stdout
    about = json.loads((workflow.folder / "results" / "slices" / "broken.json").read_text())
    assert about["status"] == "skipped" and "RescaleSlope" in about["reason"]
    assert np.load(workflow.folder / "results" / "slices" / "broken.hu.npy").shape[0] == 0


def test_one_patient_alone_cannot_be_split(workflow, sheet, tmp_path):
    path = sheet()
    lines = (tmp_path / "scans.tsv").read_text().splitlines()
    (tmp_path / "scans.tsv").write_text("\n".join(lines[:2]) + "\n")
    done = workflow.run("--configfile", path, "--until", "find_styles")
    assert done.returncode != 0
    (message,) = [line for line in done.stdout.splitlines() if line.startswith("find_styles: ")]
    assert "no split by patient is possible" in message and "at least two patients" in message


def test_a_missing_folder_is_named_before_any_job(workflow, sheet, tmp_path):
    path = sheet()
    (tmp_path / "scans.tsv").write_text("scan\tpatient\tseries\na\tp\t/nowhere/ct\n")
    done = workflow.run("--configfile", path, "--until", "cut_scan")
    assert done.returncode != 0 and "/nowhere/ct" in done.stdout


def test_results_on_another_disk_get_their_lineages_and_nothing_but_the_seal_is_missed(workflow, sheet, tmp_path):
    results = tmp_path / "scratch" / "DOE_JOHN"
    own = sheet(on_bad_scan="skip", pathvars={"results": str(results)})
    asked = (results / "paper" / "tables" / "errata.lineage.json", results / "slices.tsv")
    done = workflow.run(*asked, "--configfile", own)
    assert done.returncode == 0, done.stdout[-3000:]
    told = audit(results)
    broken = {(one["check"], one["file"]) for one in told["findings"] if one["severity"] == "broken"}
    assert broken == {("seal", "results/provenance/SHA256SUMS")}
    names = {one["file"] for one in told["findings"] if one["severity"] == "not verified"}
    assert names == {"source:config/0", "source:mine/broken", "source:mine/fine", "source:mine/good", "source:sheet"}
    assert {one["check"] for one in told["findings"] if one["severity"] == "warning"} <= {"commit"}
    for path in (results / "provenance").rglob("*.json"):
        assert "DOE_JOHN" not in path.read_text() and str(tmp_path) not in path.read_text(), path
