"""`snakemake stylize`: nothing else is planned, faults are one message, and a scan comes back on its own grid."""

import json
import re

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK

from ctstyle.ct.read import read_volume
from tests.bundles import random_bundle
from tests.dicom_series import NAME, ct_series, write
from tests.runs import tree


def trunk() -> np.ndarray:
    """HU `[6, 120, 120]`: a trunk of 81 mm radius with a square vertebra, lung-like gas and metal in it."""
    y, x = np.mgrid[:120, :120]
    hu = np.random.default_rng(0).normal(-1000, 5, (6, 120, 120))
    hu[:, np.hypot(y - 60, x - 60) < 54] += 1040
    hu[:, 65:85, 50:70] = 300
    hu[:, 40:46, 50:56] = -800
    hu[:, 74:76, 58:60] = 2000
    return np.rint(hu).astype(np.int16)


@pytest.fixture
def place(tmp_path):
    """A bundle, a DICOM folder whose name is a patient's, the same scan as NIfTI, and a mask."""
    random_bundle().save(tmp_path / "one.bundle.safetensors")
    folder = write(ct_series(trunk()), tmp_path / "Mustermann_Erika" / "ct")
    image = read_volume(folder).to_sitk()
    SimpleITK.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    labels = SimpleITK.Cast(SimpleITK.And(image > 250, image < 350), SimpleITK.sitkUInt8) * 29
    SimpleITK.WriteImage(labels, str(tmp_path / "mask.nii.gz"))
    return tmp_path


def arguments(place, content, style="sharp", model="one.bundle.safetensors", **more) -> list[str]:
    keys = {"content": place / content, "style": style, "model": place / model, **more}
    return ["--config", *(f"{key}={value}" for key, value in keys.items()), "--", "stylize"]


def test_only_its_own_rule_is_planned(workflow, place):
    assert workflow.planned(*arguments(place, "Mustermann_Erika")) == {"stylize"}
    assert "stylize" not in workflow.planned()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "the target stylize needs to know what to stylise (found no content, no style, no model"),
        ({"content": "gone"}, "content: no such file or folder"),
        ({"style": "s9"}, "no such style (found s9, expected s1 (standard) | s2 (sharp))"),
        ({"model": "scan.nii.gz"}, "this file holds no generator bundle that can be used"),
        ({"stylize": "{alpha: 2}"}, "stylize: alpha: this value cannot be (found '2', expected at most 1)"),
    ],
)
def test_a_fault_is_one_message_before_any_job(workflow, place, change, message):
    asked = ["stylize"] if change is None else arguments(place, **{"content": "scan.nii.gz", **change})
    done = workflow.run("--dry-run", *asked)
    assert done.returncode != 0 and message in " ".join(done.stdout.split())
    assert "Traceback (most recent call last)" not in done.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"content": "p2/dicom", "stylize": "{output: p2}"}, "stylize: output: .* contains the content of stylize"),
        ({"content": "scan.nii.gz", "stylize": "{output: p3}"}, "found about.json, dicom/notes.txt, slices.tsv"),
        ({"content": "scan.nii.gz", "pathvars": "{results: p2}"}, r"pathvars: results: .*\(found dicom"),
    ],
)
def test_a_place_with_files_of_the_users_is_refused_and_nothing_is_touched(workflow, place, more, message):
    (place / "Mustermann_Erika").rename(place / "p2")
    (place / "p2" / "ct").rename(place / "p2" / "dicom")
    for name in ("p3/dicom/notes.txt", "p3/about.json", "p3/slices.tsv"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("mine")
    before = tree(place)
    done = workflow.run(*arguments(place, **more))
    assert done.returncode != 0 and re.search(message, " ".join(done.stdout.split())), done.stdout
    assert "Traceback (most recent call last)" not in done.stdout
    assert {name: one for name, one in tree(place).items() if not name.startswith(".snakemake")} == before


@pytest.mark.slow
def test_an_earlier_series_stays_until_the_new_one_is_whole(workflow, place):
    def users() -> dict[str, str]:
        return {name: one for name, one in tree(place).items() if not name.startswith((".snakemake", "results"))}

    def run(content, **stylize):
        return workflow.run(*arguments(place, content, stylize=str({"output": "mine/p1", **stylize})))

    (place / "broken.nii.gz").write_bytes(b"no volume")
    before = users()
    failed = run("broken.nii.gz")
    assert failed.returncode != 0 and "stylize: " in failed.stdout and users() == before
    assert run("scan.nii.gz").returncode == 0
    first = users()
    assert {name for name in first if name not in before} == {
        f"mine/p1/{name}"
        for name in ("ct.nii.gz", "slices.tsv", "about.json", "picture.png", "provenance/records/stylize.json")
    }
    assert run("broken.nii.gz").returncode != 0 and users() == first
    (place / "mine" / "p1" / "notes.txt").write_text("mine")
    first = users()
    refused = run("scan.nii.gz", alpha=0.5)
    assert refused.returncode != 0 and "found notes.txt" in " ".join(refused.stdout.split()) and users() == first
    (place / "mine" / "p1" / "notes.txt").rename(place / "notes.txt")
    done = run("scan.nii.gz", alpha=0.5, format="dicom")
    assert done.returncode == 0, done.stdout[-3000:]
    made = {name for name in users() if name.startswith("mine/")}
    assert "mine/p1/ct.nii.gz" not in made and sum(name.startswith("mine/p1/dicom/ct/") for name in made) == 6
    assert {name: one for name, one in users().items() if name in before} == before
    told = json.loads((place / "mine/p1/provenance/records/stylize.json").read_text())
    assert {f"mine/p1/{one['name'].partition('/')[2]}" for one in told["subject"]} <= made
    assert len(told["subject"]) == len(made) - 1
    assert "Nothing to be done" in run("scan.nii.gz", alpha=0.5, format="dicom").stdout


@pytest.mark.slow
def test_a_dicom_series_comes_back_as_derived_dicom_on_its_grid(workflow, place):
    asked = arguments(place, "Mustermann_Erika", mask=place / "mask.nii.gz")
    done = workflow.run(*asked)
    assert done.returncode == 0, done.stdout[-3000:]
    made = workflow.folder / "results" / "stylized"
    old, new = read_volume(place / "Mustermann_Erika"), read_volume(made / "dicom" / "ct")
    for field in ("origin_mm", "spacing_mm", "direction"):
        np.testing.assert_allclose(getattr(new, field), getattr(old, field), atol=1e-6)
    outside = (old.hu < -250) | (old.hu > 750)
    np.testing.assert_array_equal(new.hu[outside], old.hu[outside])
    assert new.hu[~outside].min() >= -250 and new.hu[~outside].max() <= 750 and (new.hu != old.hu).mean() > 0.3
    headers = {
        float(one.ImagePositionPatient[2]): one for one in map(pydicom.dcmread, (made / "dicom" / "ct").iterdir())
    }
    sources = [headers[z].SourceImageSequence[0].ReferencedSOPInstanceUID for z in sorted(headers)]
    assert sources == list(old.sop_instance_uids)
    assert not {one.SOPInstanceUID for one in headers.values()} & set(sources)
    assert {str(one.PatientName) for one in headers.values()} != {NAME}
    for path in [one for one in made.rglob("*") if one.is_file()]:
        data = path.read_bytes()
        assert b"Mustermann" not in data and b"4711" not in data and b"Nimmerlein" not in data, path
    labels = pydicom.dcmread(made / "dicom" / "seg.dcm")
    assert [one.SegmentLabel for one in labels.SegmentSequence] == ["L3 vertebra"]
    rows, about = pd.read_csv(made / "slices.tsv", sep="\t"), json.loads((made / "about.json").read_text())
    assert len(rows) == 6 and about["style"] == "s2 (sharp)" and set(about["flicker"]) == {"volume", "slice"}
    assert (made / "picture.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((made / "provenance" / "records" / "stylize.json").read_text())
    assert "source:stylize/content" in {
        one["uri"] for one in record["predicate"]["buildDefinition"]["resolvedDependencies"]
    }
    assert "Nothing to be done" in workflow.run(*asked).stdout


@pytest.mark.slow
def test_a_nifti_comes_back_as_nifti_with_its_mask_and_the_style_of_another_scan(workflow, place):
    keys = {"style": place / "Mustermann_Erika", "mask": place / "mask.nii.gz"}
    asked = arguments(place, "scan.nii.gz", **keys, stylize="{output: mine/p1, flagged: original}")
    done = workflow.run(*asked)
    assert done.returncode == 0, done.stdout[-3000:]
    old, new = (
        SimpleITK.ReadImage(str(one)) for one in (place / "scan.nii.gz", workflow.folder / "mine" / "p1" / "ct.nii.gz")
    )
    mask = SimpleITK.ReadImage(str(workflow.folder / "mine" / "p1" / "mask.nii.gz"))
    for one in (new, mask):
        assert one.GetSize() == old.GetSize()
        for part in ("GetOrigin", "GetSpacing", "GetDirection"):
            np.testing.assert_allclose(getattr(one, part)(), getattr(old, part)(), atol=1e-5)
    # the same scan is its own style: random weights change nothing
    assert np.abs(SimpleITK.GetArrayFromImage(new).astype(int) - SimpleITK.GetArrayFromImage(old)).max() <= 1
    given = SimpleITK.ReadImage(str(place / "mask.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(mask), SimpleITK.GetArrayFromImage(given))
    assert "Nothing to be done" in workflow.run(*asked).stdout
