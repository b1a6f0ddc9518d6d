"""The paper-scale configuration as far as a small machine can go: four patients of a bucket, through to the PDF."""

import zipfile
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from ctstyle.cohorts.phantom.patient import make_patient
from ctstyle.cohorts.phantom.scanner import measure, write_scan
from ctstyle.cohorts.spine_mets import COLLECTION
from ctstyle.run.places import default_cache
from ctstyle.study.data import PhantomSettings
from tests.bucket_server import Bucket, served
from tests.runs import Workflow

SCANNERS = {"SIEMENS": "standard", "GE MEDICAL SYSTEMS": "full_range_sharp"}
CUT = """
pathvars: {{results: results/cut}}
cohorts: [spine_mets]
seeds: [0]
styles: {{k: 2, features: [noise_high, hu_q99], source: SIEMENS}}
split: {{val: 0, test: 0.25}}
spine_mets: {{address: "{address}", pinned: "{pinned}"}}
slices: {{size_px: 64, spacing_mm: 3.0}}
encoders:
  main: {{weights: domain}}
  domain: {{steps: 20, batch: 4, size_px: 32}}
  layers: {{slices: 8, positions_per_slice: 32}}
transfer:
  warm_up: {{stride: 4, steps: 20, batch: 2}}
  training: {{steps: 20, batch: 2}}
  contextual: {{warm_up_steps: 20, steps: 20, stride: 4, crn: {{channels: 8, fine_channels: 8}}}}
  gatys: {{steps: 20}}
comparison: {{encoders: [vgg19], size_px: 32, warm_up_steps: 20, steps: 20, style_weights: [1, 10]}}
augment:
  guard: {{min_deviation_hu: 0, min_body_iou: 0, min_gradient_ssim: -1, max_style_ratio: 100}}
segment:
  training:
    steps: 20
    batch: 4
    validate_every: 10
    unet: {{channels: [4, 8, 16], strides: [2, 2], residual_units: 1}}
metrics:
  lpips_trunk: hed
  classifier: {{weights: scratch, steps: 20, batch: 4, size_px: 80}}
paper:
  intervals: {{replicates: 100}}
"""


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Four virtual patients of two scanners as the bucket keeps Spine-Mets-CT-SEG: objects, and the pinned table."""
    folder = tmp_path_factory.mktemp("collection")
    settings = PhantomSettings(
        train={name: 2 for name in SCANNERS.values()},
        val={},
        test_patients=1,
        slices=6,
        thickness_mm=10.0,
        grid_px=128,
        pixel_mm=3.2,
        angles=90,
    )
    objects, rows = {}, []
    for number in range(4):
        maker, style = list(SCANNERS.items())[number % 2]
        path = folder / f"{number}.zip"
        beam = measure(settings.style(style).kvp)
        write_scan(path, settings, make_patient(settings, f"phantom-p{number:02d}"), style, beam)
        row = dict.fromkeys(COLLECTION.columns, "") | {"patient": f"138{number:02d}", "manufacturer": maker, "mb": "2"}
        with zipfile.ZipFile(path) as archive:
            kinds = {name: "seg" if "seg" in name else "ct" for name in archive.namelist()}
            for name, kind in kinds.items():
                data = archive.read(name)
                objects[f"{kind}-{number}/{Path(name).name}"] = data
                row[f"{kind}_uid"] = str(pydicom.dcmread(archive.open(name), stop_before_pixels=True).SeriesInstanceUID)
                row[f"{kind}_folder"] = f"{kind}-{number}"
        rows.append(row | {"ct_files": str(list(kinds.values()).count("ct"))})
    pinned = folder / "pinned.tsv"
    pd.DataFrame(rows, columns=list(COLLECTION.columns)).to_csv(pinned, sep="\t", index=False)
    return objects, pinned


@pytest.mark.slow
def test_a_cut_of_the_paper_scale_runs_from_the_bucket_to_the_pdf(collection, root, tmp_path, monkeypatch):
    objects, pinned = collection
    wheels = default_cache()  # digests of made patients do not belong into the user's cache, the wheels do
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wheels.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / "ctstyle").mkdir(parents=True)
    (tmp_path / "cache" / "ctstyle" / "wheels").symlink_to(wheels)
    workflow = Workflow(root, tmp_path)
    with served(Bucket(objects, page=1000)) as bucket:
        cut = tmp_path / "cut.yaml"
        cut.write_text(CUT.format(address=bucket.address, pinned=pinned))
        configs = ("--configfile", root / "config" / "paper.yaml", cut)
        done = workflow.run(*configs, timeout_s=2400)
        assert done.returncode == 0, done.stdout[-5000:]
    assert "nothing" in workflow.run("--dry-run", *configs).stdout.lower()
    results = tmp_path / "results" / "cut"
    assert (results / "paper" / "paper.pdf").read_bytes().startswith(b"%PDF")
    table = pd.read_csv(results / "paper" / "tables" / "table2.csv")
    assert set(table["patients"]) == {1} and "transductive" not in set(table["arm"])
    split = pd.read_csv(results / "styles" / "split.tsv", sep="\t")
    assert split["patient"].nunique() == 4 and sorted(split["side"]) == ["test", "train", "train", "train"]
