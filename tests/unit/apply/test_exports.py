"""Cases and layouts: geometry against the manifest, files against SimpleITK, nnU-Net's and MONAI's own code."""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK
from monai.data import load_decathlon_datalist

from ctstyle.apply.cases import NothingToExport, cases, stacks
from ctstyle.apply.layouts import classes
from ctstyle.apply.write import write_export
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.segment.generate import Generated, generate, training_slices
from ctstyle.slices.archive import ScanFiles
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.analysis import AugmentSettings
from tests.synthetic_run import write_run, write_split

WINDOW = Window(-250, 750)
DATASET = "Dataset501_ctstyle_ours_seed0"
NNUNET = ["nnunetv2==2.8.1"]


def darker(content_hu, style_hu, target_style, rng):
    """A painter that leaves its mark."""
    return content_hu.astype(float) - 7


def painted(archive, **settings) -> Generated:
    content, style = training_slices(archive)
    made = AugmentSettings(pairing="random", **settings)
    return generate(darker, content, style, made, window=WINDOW, model="ours", seed=0, guarded=False)


def without(generated: Generated, refused) -> Generated:
    """What the guard would have left, had it refused these rows."""
    kept = generated.rows["index"][~refused].to_numpy()
    rows = generated.rows.assign(accepted=(~refused).astype(int), index=-1, reason="")
    rows.loc[~refused, "index"] = np.arange(len(kept))
    rows.loc[refused, "reason"] = "structure lost"
    return Generated(generated.hu[kept], generated.labels[kept], rows)


@pytest.fixture
def archive(tmp_path):
    paths, sheet = write_run(tmp_path / "slices")
    write_split(sheet, tmp_path / "split.tsv")
    return open_run(paths, tmp_path / "split.tsv")


@pytest.fixture
def made(archive):
    return cases(archive, painted(archive), arm="ours", originals=True, every_mm=5.0)


def unpacked(path: Path, made, layout: str, labels: str = "foreground") -> Path:
    write_export(path.with_suffix(".zip"), made, layout=layout, labels=labels, dataset=DATASET)
    with zipfile.ZipFile(path.with_suffix(".zip")) as archive:
        archive.extractall(path)
    return path


def test_every_slice_of_a_case_comes_from_its_row_and_keeps_its_mask(archive, made):
    case = next(case for case in made if case.name == "ours_p1-a_as_s2_0_000")
    content = archive.select(scan="p1-a")
    hu = np.clip(content.hu().astype(int) - 7, -250, 750)
    np.testing.assert_array_equal(case.hu(), hu)
    np.testing.assert_array_equal(case.labels(), content.labels())
    assert case.volume().sop_instance_uids == tuple(content.rows["sop_instance_uid"])
    assert list(case.rows["content_index"]) == [0, 1, 2, 3] and set(case.rows["style_scan"]) == {"p3-b"}


def test_one_case_for_each_content_scan_and_style_the_originals_and_the_validation_patients(made):
    names = [case.name for case in made]
    assert names == sorted(
        [f"ours_p{p}-a_as_{style}_0_000" for p in range(3) for style in ("s2", "s3")]
        + [f"original_p{p}-a_000" for p in (0, 1, 2, 5)]
    )
    assert [case.name for case in made if case.side == "val"] == ["original_p5-a_000"]
    assert all(case.synthetic == case.name.startswith("ours") for case in made)


def test_no_patient_lies_on_two_sides_and_none_that_tests_is_exported(archive, made):
    patients = {side: {case.patient for case in made if case.side == side} for side in ("train", "val")}
    assert not patients["train"] & patients["val"]
    assert not set(archive.select(side="test").rows["patient"]) & set().union(*patients.values())


def test_without_originals_the_validation_patients_stay(archive):
    made = cases(archive, painted(archive), arm="ours", originals=False, every_mm=5.0)
    assert [case.name for case in made if not case.synthetic] == ["original_p5-a_000"]


def test_several_outputs_of_a_slice_are_several_cases(archive):
    made = cases(archive, painted(archive, per_content=2), arm="ours", originals=False, every_mm=5.0)
    assert {case.name for case in made if "p0-a_as_s2" in case.name} == {
        "ours_p0-a_as_s2_0_000",
        "ours_p0-a_as_s2_1_000",
    }


def test_a_refused_slice_parts_a_case_in_two(archive):
    generated = painted(archive)
    refused = (generated.rows["content_scan"] == "p0-a") & (generated.rows["content_index"] == 1)
    made = cases(archive, without(generated, refused), arm="ours", originals=False, every_mm=5.0)
    parts = {case.name: list(case.rows["content_index"]) for case in made if "p0-a_as_s3" in case.name}
    assert parts == {"ours_p0-a_as_s3_0_000": [0], "ours_p0-a_as_s3_0_002": [2, 3]}
    alone, pair = (case.volume() for case in made if "p0-a_as_s3" in case.name)
    assert alone.spacing_mm == pair.spacing_mm == (2.0, 2.0, 5.0) and pair.origin_mm == (-32.0, -32.0, 10.0)
    np.testing.assert_array_equal(pair.hu, archive.select(scan="p0-a").hu([2, 3]).astype(int).clip(-243) - 7)


def test_a_step_of_another_length_begins_a_new_run():
    rows = pd.DataFrame({"content_index": range(6), "position_mm": [0, 6, 9, 15, 21, 24], "orientation": "axial"})
    assert [list(run["position_mm"]) for run in stacks(rows)] == [[0, 6], [9, 15, 21], [24]]


def test_no_accepted_slice_is_an_error_that_says_why(archive):
    generated = painted(archive)
    everything = without(generated, np.ones(len(generated.rows), bool))
    with pytest.raises(NothingToExport, match=r"arm noise.*structure lost': 24"):
        cases(archive, everything, arm="noise", originals=True, every_mm=5.0)


def test_voxels_lie_where_the_manifest_says_axial_and_sagittal(tmp_path):
    for orientation in ("axial", "sagittal"):
        folder = tmp_path / orientation
        paths, sheet = write_run(folder)
        for path in (path for path in paths if path.name.endswith(".hu.npy")):
            rows = pd.read_csv(ScanFiles.beside(path).rows, sep="\t")
            rows = rows.assign(orientation=orientation, row0_mm=-31.0, column0_mm=12.0)
            rows.to_csv(ScanFiles.beside(path).rows, sep="\t", index=False)
        write_split(sheet, folder / "split.tsv")
        archive = open_run(paths, folder / "split.tsv")
        made = cases(archive, painted(archive), arm="ours", originals=False, every_mm=5.0)
        root = unpacked(folder / "nnunet", made, "nnunet") / DATASET
        image = SimpleITK.ReadImage(root / "imagesTr" / "ours_p2-a_as_s3_0_000_0000.nii.gz")
        assert np.linalg.det(np.reshape(image.GetDirection(), (3, 3))) == pytest.approx(1)
        values = SimpleITK.GetArrayFromImage(image)
        content = archive.select(scan="p2-a")
        for index, at in enumerate(content.rows["position_mm"]):
            for row, column in ((0, 0), (18, 20), (31, 5)):
                down, across = -31.0 + 2 * row, 12.0 + 2 * column
                point = (across, down, at) if orientation == "axial" else (at, across, -31.0 - 2 * row)
                i, j, k = image.TransformPhysicalPointToIndex([float(value) for value in point])
                assert (j, i) == (row, column)
                assert values[k, j, i] == max(content.hu([index])[0, row, column] - 7, -250)


def test_classes_are_consecutive_and_named():
    @dataclasses.dataclass
    class Labelled:
        present: list

        def labels(self):
            return np.array(self.present, np.uint8)

    some = [Labelled([0, 31, 255]), Labelled([0, 25, 28])]
    names, table = classes(some, "levels")
    assert names == {"background": 0, "sacrum": 1, "L4": 2, "L1": 3, "vertebra": 4}
    assert [table[label] for label in (0, 25, 28, 31, 255)] == [0, 1, 2, 3, 4]
    names, table = classes(some, "foreground")
    assert names == {"background": 0, "vertebra": 1} and set(table[1:]) == {1} and table[0] == 0


@pytest.mark.parametrize("labels", ["foreground", "levels"])
def test_nnunet_s_folder_holds_every_case(tmp_path, made, labels):
    root = unpacked(tmp_path / "out", made, "nnunet", labels) / DATASET
    about = json.loads((root / "dataset.json").read_text())
    assert about["numTraining"] == len(made) == len(list((root / "imagesTr").iterdir()))
    assert (
        about["labels"]
        == {
            "foreground": {"background": 0, "vertebra": 1},
            "levels": {"background": 0, "L4": 1, "L3": 2, "L2": 3, "L1": 4},
        }[labels]
    )
    for case in made:
        image = SimpleITK.ReadImage(root / "imagesTr" / f"{case.name}_0000.nii.gz")
        label = SimpleITK.ReadImage(root / "labelsTr" / f"{case.name}.nii.gz")
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), case.hu())
        expected = np.where(case.labels() > 0, case.labels() - 27 if labels == "levels" else 1, 0)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(label), expected)
        assert label.GetOrigin() == image.GetOrigin() and label.GetDirection() == image.GetDirection()
    (fold,) = json.loads((root / "splits_final.json").read_text())
    assert fold["val"] == ["original_p5-a_000"] and len(fold["train"]) == len(made) - 1
    rows = pd.read_csv(root / "slices.tsv", sep="\t")
    assert len(rows) == sum(len(case.rows) for case in made) and set(rows["side"]) == {"train", "val"}


def test_monai_reads_its_data_list(tmp_path, made):
    root = unpacked(tmp_path / "out", made, "monai")
    found = {key: load_decathlon_datalist(root / "datalist.json", True, key) for key in ("training", "validation")}
    assert [item["patient"] for item in found["validation"]] == ["p5"]
    assert len(found["training"]) == len(made) - 1
    by_name = {case.name: case for case in made}
    for item in (*found["training"], *found["validation"]):
        case = by_name[Path(item["image"]).name.removesuffix(".nii.gz")]
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(item["image"])), case.hu())
        label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(item["label"]))
        np.testing.assert_array_equal(label, case.labels() > 0)


def test_dicom_has_a_series_and_a_segmentation_for_every_case(tmp_path, made):
    root = unpacked(tmp_path / "out", made, "dicom")
    frames = {}
    for case in made:
        folder = root / case.side / case.name
        volume = read_volume(folder)
        np.testing.assert_array_equal(volume.hu, case.hu())
        np.testing.assert_array_equal(read_mask(folder, volume, "totalsegmentator"), case.labels())
        images = [pydicom.dcmread(path) for path in sorted((folder / "ct").iterdir(), reverse=True)]
        sources = [image.SourceImageSequence[0].ReferencedSOPInstanceUID for image in images]
        assert sources == list(case.rows["sop_instance_uid"])
        assert {image.SyntheticData for image in images} == {"YES" if case.synthetic else "NO"}
        # the grey scale of a painted slice is no longer that of the content's tube
        assert {bool(image.KVP) for image in images} == {not case.synthetic}
        assert case.scan in images[0].DerivationDescription
        frames.setdefault(case.scan, set()).update(image.FrameOfReferenceUID for image in images)
    assert all(len(one) == 1 for one in frames.values()) and len(set().union(*frames.values())) == len(frames)


@pytest.mark.parametrize("layout", ["nnunet", "monai", "dicom"])
def test_the_same_cases_are_the_same_bytes_at_another_time(tmp_path, made, layout):
    paths = [tmp_path / "one.zip", tmp_path / "two.zip"]
    for path in paths:
        write_export(path, made, layout=layout, labels="levels", dataset=DATASET)
        time.sleep(1.1)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.glob(".export-*")) == []


def test_the_archive_names_nobody_else(tmp_path, made):
    write_export(tmp_path / "a.zip", made, layout="dicom", labels="levels", dataset="")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".dcm")]
        identities = {
            (str(one.PatientID), one.PatientIdentityRemoved, str(one.PatientBirthDate))
            for one in (pydicom.dcmread(io.BytesIO(archive.read(name))) for name in names if "seg" not in name)
        }
    assert identities == {(f"p{number}", "YES", "") for number in (0, 1, 2, 5)}


@pytest.fixture(scope="session")
def nnunet(tmp_path_factory):
    """A folder with nnU-Net and nibabel for PYTHONPATH; torch is ours, so that the folder stays below a gigabyte."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("uv, which makes nnU-Net's folder, is not here")
    folder = tmp_path_factory.mktemp("nnunet")
    (folder / "ours.txt").write_text("torch\ntorchvision\n")
    options = ["--python", sys.executable, "--target", folder / "packages", "--excludes", folder / "ours.txt"]
    done = subprocess.run([uv, "pip", "install", "--quiet", *options, *NNUNET], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no package index gave {NNUNET}: {done.stderr.strip().splitlines()[-1]}")
    return folder / "packages"


def _run(packages: Path, script: Path, text: str, *arguments) -> subprocess.CompletedProcess:
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    command = [sys.executable, script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


VERIFY = """
import sys
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
if __name__ == "__main__":
    verify_dataset_integrity(sys.argv[1], num_processes=1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["foreground", "levels"])
def test_nnunet_finds_its_dataset_sound(tmp_path, made, nnunet, labels):
    root = unpacked(tmp_path / "out", made, "nnunet", labels) / DATASET
    done = _run(nnunet, tmp_path / "verify.py", VERIFY, root)
    assert done.returncode == 0 and "verify_dataset_integrity Done" in done.stdout, done.stdout + done.stderr
    assert "Warning" not in done.stdout and "Error" not in done.stdout


@pytest.mark.slow
def test_nnunet_s_check_would_find_a_fault(tmp_path, made, nnunet):
    root = unpacked(tmp_path / "out", made, "nnunet") / DATASET
    label = root / "labelsTr" / f"{made[0].name}.nii.gz"
    image = SimpleITK.ReadImage(label)
    SimpleITK.WriteImage(image * 9, label)
    done = _run(nnunet, tmp_path / "verify.py", VERIFY, root)
    assert done.returncode != 0 and "Unexpected labels" in done.stdout


LOAD = """
import sys
import numpy as np
from monai.data import load_decathlon_datalist
from monai.transforms import LoadImaged
load = LoadImaged(keys=["image", "label"], reader="NibabelReader", image_only=True)
items = load_decathlon_datalist(sys.argv[1] + "/datalist.json", True, "training")
for number, item in enumerate(map(load, items)):
    arrays = {key: np.asarray(item[key]).T for key in ("image", "label")}
    np.savez(f"{sys.argv[1]}/{number}.npz", affine=np.asarray(item["image"].affine), **arrays)
"""


@pytest.mark.slow
def test_monai_loads_the_same_arrays_in_the_same_place(tmp_path, made, nnunet):
    root = unpacked(tmp_path / "out", made, "monai")
    done = _run(nnunet, tmp_path / "load.py", LOAD, str(root))
    assert done.returncode == 0, done.stderr
    training = [case for case in made if case.side == "train"]
    for number, case in enumerate(training):
        loaded, volume = np.load(root / f"{number}.npz"), case.volume()
        np.testing.assert_array_equal(loaded["image"], volume.hu)
        np.testing.assert_array_equal(loaded["label"], case.labels() > 0)
        lps = np.diag([-1, -1, 1, 1]) @ loaded["affine"]
        np.testing.assert_allclose(lps[:3, :3], volume.direction * volume.spacing_mm, atol=1e-5)
        np.testing.assert_allclose(lps[:3, 3], volume.origin_mm, atol=1e-4)
