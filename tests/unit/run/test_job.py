"""A job: its log, its one error message, its fingerprint."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ctstyle.audit.checks import check_fingerprints
from ctstyle.audit.records import Place, parse_record
from ctstyle.errors import CTStyleError
from ctstyle.run.job import job


class _Names(dict):
    """Stands in for Snakemake's named lists: values by name and by position."""

    def __getattr__(self, name):
        return self[name]

    def __iter__(self):
        return iter(self.values())

    def __getitem__(self, key):
        return list(self.values())[key] if isinstance(key, int) else super().__getitem__(key)

    def keys(self):
        return list(super().keys())


def snakemake_of(folder, *, rule="make_thing", **params):
    """Stands in for the object that Snakemake gives a script."""
    (folder / "in.txt").write_text("slices")
    return SimpleNamespace(
        rule=rule,
        input=_Names(slices=str(folder / "in.txt")),
        output=_Names(thing=str(folder / "out.txt")),
        params=_Names(compute={"threads": 1}, **params),
        wildcards=_Names(seed="3"),
        resources=_Names(gpu=0),
        log=[str(folder / "logs" / "job.log")],
    )


def test_a_job_hands_out_files_params_and_seed_and_logs_what_is_printed(tmp_path, capfd):
    with job(snakemake_of(tmp_path, steps=5)) as run:
        assert (run.input.slices, run.params.steps, run.seed) == (str(tmp_path / "in.txt"), 5, 3)
        print("step 1")
        subprocess.run([sys.executable, "-c", "print('from a child process')"], check=True)
    log = (tmp_path / "logs" / "job.log").read_text()
    assert "step 1" in log and "from a child process" in log
    assert capfd.readouterr().out == ""


def test_a_user_s_error_is_one_message_on_the_terminal_and_a_traceback_in_the_log(tmp_path, capfd):
    with pytest.raises(SystemExit) as stop, job(snakemake_of(tmp_path)):
        raise CTStyleError("no slices", where="a.dcm", found=0, expected="at least 1", fix="Add some.")
    assert stop.value.code == 1
    terminal = capfd.readouterr().err
    assert terminal.strip() == "make_thing: a.dcm: no slices (found 0, expected at least 1). Add some."
    assert "Traceback" in (tmp_path / "logs" / "job.log").read_text()


def test_another_error_is_not_hidden(tmp_path):
    with pytest.raises(ZeroDivisionError), job(snakemake_of(tmp_path)):
        raise ZeroDivisionError
    assert "ZeroDivisionError" in (tmp_path / "logs" / "job.log").read_text()


def test_the_fingerprint_changes_with_parameters_by_name_and_with_input_bytes(tmp_path):
    def fingerprint(**params):
        with job(snakemake_of(tmp_path, **params)) as run:
            return run.fingerprint

    same, swapped = fingerprint(a=1, b=2), fingerprint(a=2, b=1)
    assert same == fingerprint(a=1, b=2) != swapped
    snakemake = snakemake_of(tmp_path, a=1, b=2)
    (tmp_path / "in.txt").write_text("other slices")
    with job(snakemake) as run:
        assert run.fingerprint != same
        assert run.checkpoint.path.parent == tmp_path


def test_a_promised_gpu_that_is_not_there_is_an_error(tmp_path, capfd):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    snakemake = snakemake_of(tmp_path)
    snakemake.resources = _Names(gpu=1)
    with pytest.raises(SystemExit), job(snakemake):
        pass
    assert "Run with `--resources gpu=0`" in capfd.readouterr().err


def _write_anew(path):
    path.write_text("others")


def _put_back(path):
    """Other bytes of the same size for a while, the old ones and their time afterwards."""
    told, text = path.stat(), path.read_text()
    path.write_text("others")
    path.write_text(text)
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


def _replace(path):
    told = path.stat()
    path.with_name("new").write_text(path.read_text())
    os.utime(path.with_name("new"), ns=(told.st_atime_ns, told.st_mtime_ns))
    path.with_name("new").rename(path)


def _forged_time(path):
    told = path.stat()
    path.write_text("others")
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A job with a record whose input is a file or a folder of one file, old enough for its digest to be kept."""
    monkeypatch.chdir(tmp_path)

    def recorded(kind):
        """What Snakemake would give the script, and the file."""
        snakemake = snakemake_of(tmp_path, rule="gather_slices")
        record = tmp_path / "results" / "provenance" / "records" / "gather_slices.json"
        record.parent.mkdir(parents=True)
        (tmp_path / "results" / "thing").write_text("made")
        snakemake.output = _Names(thing="results/thing", record=str(record))
        file = tmp_path / "in.txt"
        if kind == "folder":
            (tmp_path / "DOE_JOHN").mkdir()
            file = file.rename(tmp_path / "DOE_JOHN" / "in.txt")
            snakemake.input = _Names(slices=str(file.parent))
        os.utime(file, (1e9, 1e9))
        return snakemake, file

    return recorded


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("change", [_write_anew, _replace, _forged_time, Path.unlink])
def test_an_input_that_changes_while_the_job_runs_fails_it_under_its_public_name(recorded, capfd, kind, change):
    snakemake, file = recorded(kind)
    with pytest.raises(SystemExit), job(snakemake):
        change(file)
    said = " ".join(capfd.readouterr().err.split())
    assert (
        said.startswith("gather_slices: source:gather_slices/slices: changed while the job ran") and "DOE" not in said
    )
    assert not Path(snakemake.output.record).exists()


def test_a_file_that_is_added_to_an_input_folder_fails_the_job(recorded, capfd):
    snakemake, file = recorded("folder")
    with pytest.raises(SystemExit), job(snakemake):
        file.with_name("more.txt").write_text("")
    assert "changed while the job ran" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_input_that_was_changed_and_put_back_is_in_the_record_and_a_warning_of_the_audit(recorded, kind):
    snakemake, file = recorded(kind)
    with job(snakemake):
        _put_back(file)
    path = Path(snakemake.output.record)
    record = parse_record(path, json.loads(path.read_text()))
    assert record.touched == ("source:gather_slices/slices",)
    evidence = SimpleNamespace(records=[record], place=Place(results=path.parents[2], checkout=path))
    warnings = [one for one in check_fingerprints(evidence) if one.severity == "warning"]
    assert [one.file for one in warnings] == ["source:gather_slices/slices"] and "gather_slices" in warnings[0].what


def test_an_input_that_rests_is_in_no_note(recorded):
    snakemake, _ = recorded("file")
    with job(snakemake):
        pass
    assert json.loads(Path(snakemake.output.record).read_text())["predicate"]["runDetails"]["byproducts"] == []
