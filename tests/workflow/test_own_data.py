"""docs/own-data.md as a user follows it: an archive, its sheet, a run to the PDF, exports; and nobody is named in it.

Virtual patients whose headers are full of planted names lie beside the real CT of ../shared/data, where that is there:
other formats, label schemes, orientations and spacings in one run with lidc0001.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pydicom
import pytest
import yaml

from ctstyle.cohorts.beam import measure
from ctstyle.cohorts.phantom.patient import make_patient
from ctstyle.cohorts.phantom.settings import PhantomSettings
from ctstyle.cohorts.scanner import write_scan
from ctstyle.cohorts.sheet import read_sheet
from tests.phi import leaks, leaks_in, plant
from tests.runs import Workflow

SCANNERS = ("standard", "full_range_sharp")
REAL = ("lumbar_3mm_nifti", "siemens_br38f_t11_t12", "l3_crop_nifti", "ny_sbu_sagittal")


def virtual_patients(folder: Path) -> None:
    """Seven patients, each scanned by one of two scanners, as folders of DICOM with planted headers."""
    settings = PhantomSettings(
        train=dict.fromkeys(SCANNERS, 4),
        val={},
        test_patients=0,
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
                place = folder / str(number) / name
                place.parent.mkdir(parents=True, exist_ok=True)
                dataset.save_as(place, enforce_file_format=True)
        path.unlink()


@pytest.mark.slow
def test_from_an_archive_to_the_pdf_and_the_exports_without_naming_anybody(root, tmp_path):
    virtual_patients(tmp_path / "archive")
    shared = root.parent / "shared" / "data"
    archives = [tmp_path / "archive", *(shared / name for name in REAL if shared.is_dir())]
    sheet = tmp_path / "scans.tsv"
    wrote = subprocess.run(
        [sys.executable, "-m", "ctstyle.sheet", *map(str, archives), "--output", str(sheet)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert wrote.returncode == 0, wrote.stderr.decode()
    assert leaks(wrote.stdout + wrote.stderr + sheet.read_bytes()) == set()
    scans = read_sheet(sheet)
    assert sum(bool(scan.mask) for scan in scans) >= 7 + 3 * shared.is_dir()

    own = yaml.safe_load((root / "tests" / "config" / "tiny.yaml").read_text())
    own |= {"pathvars": {"results": "results/mine"}, "cohorts": ["sheet", "lidc0001"], "sheet": str(sheet)}
    own |= {"on_bad_scan": "skip", "exports": {"formats": ["nnunet", "monai", "dicom"]}}
    own |= {"styles": {"k": 2, "features": ["noise_high", "hu_q99"]}, "split": {"val": 0.2, "test": 0.3}}
    del own["phantom"], own["ablations"]
    own["comparison"]["encoders"] = ["vgg19"]
    own["slices"]["every_mm"] = 10.0
    own["segment"]["arms"] = ["plain", "ours", "oracle"]
    own["transfer"]["models"] = ["ours"]
    config = tmp_path / "my_run.yaml"
    config.write_text(yaml.safe_dump(own))

    workflow = Workflow(root, tmp_path / "run")
    done = workflow.run("--configfile", config, timeout_s=2400)
    assert done.returncode == 0, done.stdout[-5000:]
    results = tmp_path / "run" / "results" / "mine"
    assert (results / "paper" / "paper.pdf").read_bytes().startswith(b"%PDF")
    split = pd.read_csv(results / "styles" / "split.tsv", sep="\t")
    assert set(split["side"]) == {"train", "val", "test"} and {"lidc0001"} < set(split["scan"])
    assert (split.groupby("patient")["side"].nunique() == 1).all()
    for layout in ("nnunet", "monai", "dicom"):
        assert zipfile.is_zipfile(results / "exports" / layout / "ours-seed0.zip")
    assert leaks_in(tmp_path / "run") == {} and leaks(done.stdout.encode()) == set()

    told = subprocess.run(
        [sys.executable, "-m", "ctstyle.audit", str(results / "paper" / "tables" / "table2.csv")],
        cwd=workflow.folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert leaks((told.stdout + told.stderr).encode()) == set()
