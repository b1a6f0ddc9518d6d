"""Each recipe of docs/extend.md, performed on a copy of the repository: it edits few files, and what it adds works."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.runs import ROOT, Workflow

SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", flags=re.DOTALL | re.MULTILINE)
RECIPES = dict(SECTION.findall((ROOT / "docs" / "extend.md").read_text()))


@pytest.fixture
def extended(tmp_path):
    """A function that performs a recipe on a copy; it returns Snakemake there, and the number of files it edits."""

    def perform(recipe: str) -> tuple[Workflow, int]:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        copy = tmp_path / "copy"
        for name in filter(None, listed.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():
                shutil.copy(ROOT / name, copy / name)
        edit = "".join(re.findall(r"```diff\n(.*?)```", RECIPES[recipe], flags=re.DOTALL))
        subprocess.run(["git", "apply", "-C1", "-"], cwd=copy, input=edit, text=True, check=True)
        done = subprocess.run(
            [sys.executable, "-m", "ctstyle.study.config"], cwd=copy, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return Workflow(copy, tmp_path), len(re.findall(r"^\+\+\+ ", edit, flags=re.MULTILINE))

    return perform


def python(workflow: Workflow, code: str) -> list[float]:
    """The numbers that Python code prints which runs on the copy."""
    done = subprocess.run([sys.executable, "-c", code], cwd=workflow.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


ENCODER = """
import torch
from ctstyle.encoders import network, weights

maps = network.build("vgg13", weights.random("vgg13", seed=0).state)(torch.rand(1, 1, 32, 32), ["relu3_1", "relu4_2"])
print(*maps["relu3_1"].shape, *maps["relu4_2"].shape)
"""


def test_an_encoder_is_one_file(extended):
    workflow, files = extended("An encoder")
    assert files == 1
    config = ("encoders={main: {name: vgg13, weights: random}}", "comparison={encoders: [vgg13]}", "cohorts=[phantom]")
    done = workflow.run("--dry-run", "results/paper/tables/table3.csv", "--config", *config)
    assert done.returncode == 0 and "encoder=vgg13, weights=domain" in done.stdout, done.stdout
    assert python(workflow, ENCODER) == [1, 256, 8, 8, 1, 512, 4, 4]


ARM = """
import numpy as np
from ctstyle.segment.controls import PAINTERS
from ctstyle.slices.window import Window

hu = np.random.default_rng(0).integers(-200, 200, (2, 32, 32)).astype(np.int16)
print(PAINTERS["blur"](Window(-250, 750), None)(hu, hu, ["s2"] * 2, None).std() / hu.std())
"""


def test_an_arm_is_two_files(extended):
    workflow, files = extended("An arm")
    assert files <= 2
    done = workflow.run("--dry-run", "--config", "segment={arms: [plain, blur, oracle]}", "cohorts=[phantom]")
    assert done.returncode == 0 and "augmented/blur/seed0.hu.npy" in done.stdout, done.stdout
    (left,) = python(workflow, ARM)
    assert 0.2 < left < 0.4


def test_a_cohort_is_two_files(extended, tmp_path):
    workflow, files = extended("A cohort")
    assert files <= 2
    (tmp_path / "mine").mkdir()
    for name in ("a", "b"):
        (tmp_path / "mine" / f"{name}.nii.gz").touch()
    own = tmp_path / "own.yaml"
    own.write_text(f"cohorts: [phantom, archive]\narchive: {{folder: {tmp_path / 'mine'}}}\n")
    done = workflow.run("--dry-run", "--configfile", own)
    assert done.returncode == 0 and done.stdout.count("rule cut_scan:") == 2, done.stdout
    own.write_text("archive: {foldr: x}\n")
    assert "Did you mean `folder`?" in workflow.run("--dry-run", "--configfile", own).stdout


MEASURE = """
import numpy as np, pandas as pd
from ctstyle.measures.evaluate import transfer_frame
from ctstyle.paper.tables import table1
from ctstyle.slices.window import Window
from ctstyle.study.analysis import Intervals

hu = np.random.default_rng(0).integers(0, 200, (32, 32)).astype(np.int16)
row = {"index": 0, "content_scan": "a", "content_index": 0, "style_scan": "b", "style_index": 0, "patient": "p"}
row |= {"source_style": "s1", "target_style": "s2", "target_scan": "", "target_index": -1, "kind": "transfer"}
lookup = lambda scan, index: (hu, hu > 100)
window = Window(-250, 750)
frame = transfer_frame(hu[None] + 7, pd.DataFrame([row]), lookup=lookup, window=window, perceptual=None, segmenter=None)
table = table1({"ours": [frame]}, {}, {}, Intervals())
print(frame["hu_change"][0], table.printed.count("hu_change"), table.frame["hu_change"][0])
"""


def test_a_measure_is_two_files(extended):
    workflow, files = extended("A measure")
    assert files <= 2
    assert python(workflow, MEASURE) == [7, 1, 7]


ANATOMY = """
import tempfile
from pathlib import Path
import numpy as np, pydicom
from ctstyle.ct.volume import Volume
from ctstyle.ct.write import write_derived

hu, labels = np.zeros((4, 16, 16), np.int16), np.zeros((4, 16, 16), np.uint8)
labels[1:3, 4:9, 4:9] = 255
place = {"origin_mm": (0, 0, 0), "spacing_mm": (1, 1, 2), "direction": np.eye(3)}
volume = Volume(hu=hu, sop_instance_uids=(), acquisition={}, **place)
with tempfile.TemporaryDirectory() as folder:
    told = {"patient": "p", "name": "n", "description": "d", "synthetic": True}
    files = write_derived(Path(folder) / "new", volume, labels=labels, **told)
    segmentations = [one for one in map(pydicom.dcmread, files) if one.Modality == "SEG"]
    print(segmentations[0].SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue)
"""


def test_another_anatomy_is_one_file(extended):
    workflow, files = extended("Another anatomy")
    assert files == 1
    assert python(workflow, ANATOMY) == [10200004]


U_NET = """
from ctstyle.segment.unet import build_unet
from ctstyle.study.analysis import UNetSettings

for variant in ("leaky", "residual"):
    network = build_unet(UNetSettings(variant=variant), seed=0)
    print(sum(type(module).__name__ == "LeakyReLU" for module in network.modules()))
"""


def test_a_unet_is_one_file(extended):
    workflow, files = extended("A U-Net")
    assert files == 1
    done = workflow.run("--dry-run", "--config", "segment={training: {unet: {variant: leaky}}}", "cohorts=[phantom]")
    assert done.returncode == 0, done.stdout
    leaky, residual = python(workflow, U_NET)
    assert leaky > 0 and residual == 0
