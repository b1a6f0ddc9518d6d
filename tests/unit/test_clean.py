"""`make clean` takes away what a run made, and names and leaves all else."""

import json
import os
import subprocess
import sys

import pytest

from ctstyle.clean import main
from ctstyle.run.places import check_run
from tests.runs import tree
from tests.unit.audit.a_run import TABLE, SmallRun

OURS = [
    "results/logs/cut_scan/broken.log",
    "results/benchmarks/seal.tsv",
    "results/segmentation/.weights.safetensors-train_unet-0123456789abcdef.state",
]
USERS = [
    "results/notes.txt",
    "results/paper/tables/.hidden",
    "results/logs/cut_scan/mine.txt",
    "results/logs/mine.log",
    "results/paper/.editor-0123456789abcdef.state",
    "results/provenance/records/mine.json",
    "results/mine/paper/table.csv",
    "results/mine/provenance/records/one.json",
    "outside.txt",
]
UNRECORDED = [
    "cohorts/mine/a.zip",
    "provenance/sources.json",
    "report.html",
    "transfer/ours/seed0/.train-0.state",
]
"""What SmallRun writes without a record."""


@pytest.fixture
def run(tmp_path):
    """A run beside a user's own files, with a user's run inside it."""
    made = SmallRun(tmp_path)
    for name in [*OURS, *USERS]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "results" / "linked").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "results" / "folder").symlink_to(tmp_path)
    return made


def test_a_run_goes_and_what_is_not_of_it_stays_and_is_named(run, tmp_path, capsys):
    (tmp_path / TABLE).write_text("with the user's corrections")
    before = tree(tmp_path)
    assert main([str(run.results), "--dry-run"]) == 0 and tree(tmp_path) == before
    assert main([str(run.results)]) == 0
    stays = {*USERS, "results/linked", "results/folder", TABLE, *(f"results/{name}" for name in UNRECORDED)}
    stays |= {name for name in before if not name.startswith("results/")}
    assert tree(tmp_path) == {name: before[name] for name in stays}
    said = capsys.readouterr().out
    for name in ("notes.txt", "mine", "linked", "folder", "paper/tables", "cohorts"):
        assert f": {name}\n" in said
    check_run(run.results, "pathvars: results")


def test_a_run_alone_leaves_nothing(tmp_path, capsys):
    made = SmallRun(tmp_path)
    for name in UNRECORDED:
        (made.results / name).unlink()
    (made.results / "report.html").write_text("<html><title>Snakemake Report</title>")
    assert main([str(made.results)]) == 0
    assert tree(made.results) == {} and "left" not in capsys.readouterr().out
    assert main([str(tmp_path / "none")]) == 0


def test_a_folder_that_is_no_runs_keeps_all(run, tmp_path, capsys):
    (run.results / "provenance").rename(run.results / "elsewhere")
    before = tree(tmp_path)
    assert main([str(run.results)]) == 0 and tree(tmp_path) == before
    assert "0 files" in capsys.readouterr().out


def test_make_clean_takes_the_default_run_alone(run, root, tmp_path):
    before = tree(tmp_path)
    command = ["make", "-f", str(root / "Makefile"), "clean", f"PYTHON={sys.executable}"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert "left, as no record names it as it is: mine\n" in said
    after = tree(tmp_path)
    assert {*USERS, "results/linked", "checkout/ctstyle/run/fit.py"} <= after.keys() and after.items() <= before.items()
    assert not after.keys() & {*OURS, TABLE}


@pytest.mark.parametrize(
    "name", ["results/../outside.txt", "/outside.txt", "outside.txt", "results/folder/outside.txt"]
)
def test_a_forged_record_takes_nothing_outside_of_the_results(run, tmp_path, name):
    path = run.record_path("make_table2", {})
    told = json.loads(path.read_text())
    digest = {"sha256": tree(tmp_path)["outside.txt"]}
    told["subject"].append({"name": name, "digest": digest, "annotations": {"key": "x", "size": 1}})
    path.write_text(json.dumps(told))
    main([str(run.results)])
    assert (tmp_path / "outside.txt").read_text() == "outside.txt"
