"""docs/own-data.md as a user follows it: an archive, its sheet, a run to the PDF, exports; and nobody is named in it.

Virtual patients whose headers, labels, folders and files are full of planted names lie beside the real CT of
../shared/data, where that is there: other formats, label schemes, orientations and spacings in one run with lidc0001.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pydicom
import pytest
import yaml

from ctstyle.cohorts.phantom.patient import make_patient
from ctstyle.cohorts.phantom.scanner import measure, write_scan
from ctstyle.cohorts.sheet import COLUMNS, read_sheet
from ctstyle.study.data import PhantomSettings
from tests.phi import leaks, leaks_in, plant
from tests.runs import Workflow, audit

SCANNERS = ("standard", "full_range_sharp")
PATHS = {name: f"PHIQ91{number:02d}X_JOHN" for number, name in enumerate(("archive", "sheet", "config", "file", "zip"))}
"""Names for the folders and files of an archive."""
UMASK = 0o027
REAL = ("lumbar_3mm_nifti", "siemens_br38f_t11_t12", "l3_crop_nifti", "ny_sbu_sagittal")


def virtual_patients(folder: Path) -> None:
    """Seven patients, each scanned by one of two scanners, with planted names in headers, labels and paths.

    They are folders of DICOM, the last one a zip. A file that is no CT lies beside the first patient, and an eighth one
    cannot be read.
    """
    settings = PhantomSettings(
        train=dict.fromkeys(SCANNERS, 4),
        val={},
        test_patients=1,
        slices=4,
        thickness_mm=10.0,
        grid_px=128,
        pixel_mm=3.2,
        angles=90,
    )
    folder.mkdir()
    for number in range(7):
        path = folder / f"{number}.zip"
        style = SCANNERS[number % 2]
        beam = measure(settings.style(style).kvp)
        write_scan(path, settings, make_patient(settings, f"phantom-p{number:02d}"), style, beam)
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                dataset = pydicom.dcmread(archive.open(name))
                plant(dataset, str(number))
                for one in dataset.get("SegmentSequence", ()):
                    one.SegmentLabel = "PHIQ9110X"
                place = folder / f"{PATHS['archive']}_{number}" / name.replace(".dcm", f"{PATHS['file']}.dcm")
                place.parent.mkdir(parents=True, exist_ok=True)
                dataset.save_as(place, enforce_file_format=True)
        path.unlink()
    last, broken = place.parent, folder / f"{PATHS['archive']}_broken"
    other = next((folder / f"{PATHS['archive']}_0").rglob("*.dcm"))
    for file in sorted(last.rglob("*0*.dcm")):
        dataset = pydicom.dcmread(file)
        dataset.RescaleType, dataset.SeriesInstanceUID, dataset.PatientID = "PHIQ9111X", "1.2.3.4", "PHIQ9112X"
        broken.mkdir(exist_ok=True)
        dataset.save_as(broken / f"{PATHS['file']}_{file.name}", enforce_file_format=True)
    dataset = pydicom.dcmread(other)
    dataset.Modality = "PHIQ9113X"
    dataset.save_as(other.with_name(f"{PATHS['file']}_other.dcm"), enforce_file_format=True)
    with zipfile.ZipFile(folder / f"{PATHS['zip']}.zip", "w") as archive:
        for file in sorted(last.rglob("*.dcm")):
            archive.write(file, f"{PATHS['zip']}/{file.relative_to(last)}")
    shutil.rmtree(last)


@pytest.mark.slow
def test_from_an_archive_to_the_pdf_and_the_exports_without_naming_anybody(root, tmp_path):
    virtual_patients(tmp_path / "archive")
    shared = root.parent / "shared" / "data"
    archives = [tmp_path / "archive", *(shared / name for name in REAL if shared.is_dir())]
    sheet = tmp_path / f"{PATHS['sheet']}.tsv"
    wrote = subprocess.run(
        [sys.executable, "-m", "ctstyle.sheet", *map(str, archives), "--output", str(sheet)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert wrote.returncode == 0, wrote.stderr.decode()
    # its purpose is to name the user's files, and nothing else of them
    assert leaks(wrote.stdout + wrote.stderr + sheet.read_bytes()) <= {name[:9] for name in PATHS.values()}
    # a scan that the run will skip, with a name in its fault
    broken = tmp_path / "archive" / f"{PATHS['archive']}_broken"
    with sheet.open("a") as stream:
        stream.write(
            "\t".join({"scan": "bad", "patient": "bad", "series": str(broken)}.get(k, "") for k in COLUMNS) + "\n"
        )
    scans = read_sheet(sheet)
    assert sum(bool(scan.mask) for scan in scans) >= 7 + 3 * shared.is_dir()

    own = yaml.safe_load((root / "tests" / "config" / "tiny.yaml").read_text())
    results = tmp_path / "scratch" / "mine"  # as on a cluster, where the results lie on another disk
    own |= {"pathvars": {"results": str(results)}, "cohorts": ["sheet", "lidc0001"], "sheet": str(sheet)}
    own |= {"on_bad_scan": "skip", "exports": {"formats": ["nnunet", "monai", "dicom"]}}
    own |= {"styles": {"k": 2, "features": ["noise_high", "hu_q99"]}, "split": {"val": 0.2, "test": 0.3}}
    del own["phantom"], own["ablations"]
    own["comparison"]["encoders"] = ["vgg19"]
    own["slices"]["every_mm"] = 10.0
    own["segment"]["arms"] = ["plain", "ours", "oracle"]
    own["transfer"]["models"] = ["ours"]
    config = tmp_path / f"{PATHS['config']}.yaml"
    config.write_text(yaml.safe_dump(own))

    workflow = Workflow(root, tmp_path / "run")
    before = os.umask(UMASK)
    try:
        done = workflow.run("--configfile", config, timeout_s=2400)
        told = workflow.run("--configfile", config, "--report", workflow.folder / "report.html", timeout_s=300)
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stdout[-5000:]
    assert told.returncode == 0, told.stdout[-5000:]
    reason = json.loads((results / "slices" / "bad.json").read_text())["reason"]
    assert "RescaleType (0028,1054)" in reason and "Export the original CT series" in reason
    assert (results / "paper" / "paper.pdf").read_bytes().startswith(b"%PDF")
    split = pd.read_csv(results / "styles" / "split.tsv", sep="\t")
    assert set(split["side"]) == {"train", "val", "test"} and {"lidc0001"} < set(split["scan"])
    assert (split.groupby("patient")["side"].nunique() == 1).all()
    for layout in ("nnunet", "monai", "dicom"):
        assert zipfile.is_zipfile(results / "exports" / layout / "ours-seed0.zip")
    # logs stay on the machine: they are in no seal, no crate and no report
    assert leaks_in(results, but="logs") == {}
    assert leaks((workflow.folder / "report.html").read_bytes()) == set()
    for file in ("provenance/SHA256SUMS", "ro-crate-metadata.json"):
        assert "logs/" not in (results / file).read_text()
    modes = {path.name: path.stat().st_mode & 0o777 for path in results.rglob("*") if path.is_file()}
    assert {name: oct(mode) for name, mode in modes.items() if mode != 0o666 & ~UMASK} == {}

    told = audit(results)
    assert told["verdict"] == "sound", told["findings"]
    # the checkout of a developer may have changes, and its commit may be another than when the run began
    assert [one for one in told["findings"] if one["severity"] == "warning" and one["check"] != "commit"] == []
    assert leaks(json.dumps(told).encode()) == set()
