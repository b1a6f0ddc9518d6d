"""The seal is what sha256sum itself accepts, until a byte changes."""

import hashlib
import json
import subprocess
from datetime import UTC, datetime

import pytest

from ctstyle.provenance.digest import FileMissing
from ctstyle.provenance.seal import CannotSeal, sealed_names, sums, write_seal


@pytest.fixture
def run(tmp_path):
    """A run's folder with three results."""
    (tmp_path / "results" / "provenance").mkdir(parents=True)
    for name in ("b.npy", "a.tsv", "with a space.csv", "Größe.csv"):
        (tmp_path / "results" / name).write_text(name)
    return tmp_path


def _paths(run):
    return sorted(path.name for path in (run / "results").iterdir() if path.is_file())


def _seal(run):
    when = datetime(2026, 11, 23, 4, tzinfo=UTC)
    facts = {"commit": "c" * 40, "created": when}
    return write_seal(run / "results", paths=_paths(run), **facts)


def _check(run):
    command = ["sha256sum", "--check", "--strict", "--quiet", "provenance/SHA256SUMS"]
    return subprocess.run(command, cwd=run / "results", capture_output=True, text=True, check=False)


def test_sha256sum_accepts_the_list_until_a_file_changes(run):
    root = _seal(run)
    assert _check(run).returncode == 0
    listed = (run / "results" / "provenance" / "SHA256SUMS").read_bytes()
    assert [line[66:].decode() for line in listed.splitlines()] == _paths(run)
    assert root == json.loads((run / "results" / "provenance" / "root.json").read_text())
    assert root == {
        "root": hashlib.sha256(listed).hexdigest(),
        "files": 4,
        "commit": "c" * 40,
        "created": "2026-11-23T04:00:00Z",
    }
    (run / "results" / "a.tsv").write_text("edited")
    assert _check(run).returncode == 1 and "a.tsv: FAILED" in _check(run).stdout


def test_relative_and_absolute_paths_give_the_same_line_once(run):
    results = run / "results"
    text = sums([results / "a.tsv", "../results/a.tsv"], results)
    assert text == sums(["a.tsv"], results) and text.count("\n") == 1


def test_what_is_no_file_of_the_run_is_refused(run, tmp_path_factory):
    outside = tmp_path_factory.mktemp("elsewhere") / "a"
    outside.write_text("a")
    (run / "results" / "back\\slash").write_text("a")
    for path in (outside, "provenance", "back\\slash"):
        with pytest.raises(CannotSeal):
            sums([path], run / "results")
    with pytest.raises(FileMissing):
        sums(["gone"], run / "results")


def test_the_seal_holds_records_and_what_they_name_without_logs_and_itself():
    def dependency(name):
        """As a record lists an input."""
        return {"name": "input:x", "uri": name, "digest": {"sha256": "0"}}

    made = ["results/a.hu.npy", "results/logs/a.log", "results/benchmarks/a.tsv", "results/provenance/SHA256SUMS"]
    read = ["results/cohorts/a.zip", "source:sheet/a", "code:ctstyle/run/fit.py", "git:HEAD"]
    statement = {
        "subject": [{"name": name, "digest": {"sha256": "0"}} for name in made],
        "predicate": {"buildDefinition": {"resolvedDependencies": [dependency(name) for name in read]}},
    }
    manifest = {"files": [{"name": "results/encoders/hed.whl"}, {"name": "source:sheet/a"}]}
    assert sealed_names({"results/provenance/records/cut_scan/a.json": statement}, manifest) == [
        "a.hu.npy",
        "cohorts/a.zip",
        "encoders/hed.whl",
        "provenance/records/cut_scan/a.json",
    ]
