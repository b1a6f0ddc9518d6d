"""Forgeries by somebody who may write every file: each kind is found, with the anchor where one is needed."""

import json

import pytest
from a_run import EXTRA_ROWS, TABLE, TEST_ROWS, SmallRun

from ctstyle.audit.__main__ import main

RECORD = "results/provenance/records/make_table2/all.json"


@pytest.fixture
def run(tmp_path):
    """A sound run."""
    return SmallRun(tmp_path / "run")


@pytest.fixture
def broken(run, capsys):
    """What the audit finds broken, as (check, file); of all results or of some files, with an anchor if one is given."""

    def broken(*paths, root=None):
        """Run the command and read what it printed."""
        asked = [str(run.folder / path) for path in paths or ["results"]]
        status = main([*asked, "--json", "--checkout", str(run.checkout), *(["--root", root] if root else [])])
        told = json.loads(capsys.readouterr().out)
        found = {(one["check"], one["file"]) for one in told["findings"] if one["severity"] == "broken"}
        assert status == bool(found)
        return found

    return broken


def edit_record(run, edit, path=RECORD):
    """Change a record by `edit(build definition)`, as a forger would, and seal everything anew."""
    place = run.folder / path
    record = json.loads(place.read_text())
    edit(record["predicate"]["buildDefinition"])
    place.write_text(json.dumps(record))
    run.seal()


def _params(build):
    build["externalParameters"]["params"]["steps"] = 300


def _other_params(build):
    build["externalParameters"]["params"] = {}


def _not_a_number(build):
    build["externalParameters"]["params"]["steps"] = float("nan")


def _no_inputs(build):
    build["resolvedDependencies"] = [one for one in build["resolvedDependencies"] if "input" not in one["name"]]


def _other_input(build):
    build["resolvedDependencies"][0]["uri"] = TABLE.replace("table2", "table3")


def _no_code(build):
    build["resolvedDependencies"] = [one for one in build["resolvedDependencies"] if "code" not in one["name"]]


def _other_code(build):
    next(one for one in build["resolvedDependencies"] if "code" in one["name"])["digest"]["sha256"] = "0" * 64


def _code_twice(build):
    build["resolvedDependencies"] += [one for one in build["resolvedDependencies"] if "code" in one["name"]]


def _code_as_a_file(build):
    one = next(one for one in build["resolvedDependencies"] if "code" in one["name"])
    build["externalParameters"]["params"]["files"] = {one["uri"].removeprefix("code:"): one["digest"]["sha256"]}


@pytest.mark.parametrize(
    "edit",
    [
        _params,
        _other_params,
        _not_a_number,
        _no_inputs,
        _other_input,
        _no_code,
        _other_code,
        _code_twice,
        _code_as_a_file,
    ],
)
def test_a_record_of_other_work_than_its_fingerprint_is_found_although_all_is_sealed_anew(run, broken, edit):
    assert broken() == set() == broken(TABLE)
    edit_record(run, edit)
    assert ("fingerprint", RECORD) in broken() and ("fingerprint", RECORD) in broken(TABLE)
