"""`make clean` takes away what a run made, and names and leaves all else."""

import json

import pytest

from ctstyle.clean import main
from ctstyle.places import check_run
from tests.runs import tree
from tests.unit.audit.a_run import TABLE, SmallRun

OURS = [
    "results/logs/train.log",
    "results/benchmarks/train.tsv",
    "results/segmentation/.weights.safetensors-train_unet-0123456789abcdef.state",
]
USERS = [
    "results/notes.txt",
    "results/paper/tables/.hidden",
    "results/logs/mine.txt",
    "results/provenance/records/mine.json",
    "results/mine/paper/table.csv",
    "results/mine/provenance/records/one.json",
    "outside.txt",
]
UNRECORDED = ["cohorts/mine/a.zip", "provenance/sources.json", "report.html"]
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
    for name in ("notes.txt", "mine", "linked", "folder", "paper/tables/table2.csv"):
        assert name in said
    assert "mine/paper/table.csv" not in said
    check_run(run.results, "pathvars: results")


def test_a_run_alone_leaves_nothing(tmp_path, capsys):
    made = SmallRun(tmp_path)
    for name in UNRECORDED:
        (made.results / name).unlink()
    assert main([str(made.results)]) == 0
    assert tree(made.results) == {} and "left" not in capsys.readouterr().out
    assert main([str(tmp_path / "none")]) == 0


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
