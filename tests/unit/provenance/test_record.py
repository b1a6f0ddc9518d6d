"""A record says what the contract asks, the same on every machine, and nothing private."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from ctstyle.audit.checks import check_fingerprints
from ctstyle.audit.records import Place, parse_record
from ctstyle.provenance import machine, record
from ctstyle.provenance.code import code_digest
from ctstyle.provenance.digest import digests, sha256_file
from ctstyle.provenance.names import names_of_job
from ctstyle.provenance.record import Job, NotRecordable, fingerprint, scrub, statement

PRIVATE = {"home": "/home/erika", "user": "erika", "host": "ward7.clinic.example"}
MACHINE = {
    "python": "3.11.7",
    "packages": {"numpy": "2.0"},
    "cpu": "a cpu",
    "gpu": "none",
    "driver": "none",
    "commit": "c" * 40,
    "dirty": False,
    "ctstyle": "0.1.0",
}


@pytest.fixture
def made(tmp_path, root):
    """Make a finished job in a folder of its own below `tmp_path`, with facts replaced."""

    def make(place="run", content=b"hu", **facts):
        """The job, its input digests and its output digests."""
        folder = tmp_path / place
        (folder / "results").mkdir(parents=True, exist_ok=True)
        (folder / "results" / "a.zip").write_bytes(b"dicom")
        (folder / "results" / "a.hu.npy").write_bytes(content)
        (folder / "results" / "a.tsv").write_bytes(b"z\n")
        job = Job(
            rule="cut_scan",
            wildcards={"scan": "a"},
            params={"slices": {"size_px": 128}, "code": "0" * 64},
            seed=0,
            threads=1,
            device="cpu",
            deterministic=True,
            inputs={"series": ["results/a.zip"]},
            outputs={"hu": ["results/a.hu.npy"], "rows": [Path("results/a.tsv")]},
            script=root / "scripts" / "cut_scan.py",
            names=None,
            started=datetime(2026, 11, 23, 5, tzinfo=timezone(timedelta(hours=1))),
            finished=datetime(2026, 11, 23, 4, 1, tzinfo=UTC),
        )
        job = replace(job, **facts)
        where = {"results": "results", "root": root, "working_folder": folder}
        job = replace(job, names=names_of_job(job.rule, job.params, job.inputs, **where))

        def sha256(files):
            """Digests by the paths as the job names them."""
            paths = [Path(path) for one in files.values() for path in one]
            found = digests([folder / path for path in paths])
            return {path: found[folder / path] for path in paths}

        return job, sha256(job.inputs), sha256(job.outputs)

    return make


def _statement(made, **facts):
    return statement(*made(**facts), MACHINE, private=PRIVATE)


def _told(made, **facts):
    return record.canonical_json(_statement(made, **facts))


def test_a_record_is_that_of_the_contract(made, root, tmp_path):
    told = _statement(made)
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    assert told["subject"][0] == {
        "name": "results/a.hu.npy",
        "digest": {"sha256": sha256_file(tmp_path / "run" / "results" / "a.hu.npy")},
        "annotations": {"key": "hu", "size": 2},
    }
    definition, details = told["predicate"]["buildDefinition"], told["predicate"]["runDetails"]
    assert definition["externalParameters"] == {
        "rule": "cut_scan",
        "wildcards": {"scan": "a"},
        "params": {"slices": {"size_px": 128}, "code": "0" * 64},
        "seed": 0,
    }
    assert definition["internalParameters"]["packages"] == {"numpy": "2.0"}
    by_name = {one["name"]: one for one in definition["resolvedDependencies"]}
    assert by_name["input:series"]["uri"] == "results/a.zip"
    for name in ("scripts/cut_scan.py", "ctstyle/ct/index.py"):
        assert by_name[f"code:{name}"]["digest"] == {"sha256": sha256_file(root / name)}
    assert by_name["git"]["digest"] == {"gitCommit": "c" * 40} and by_name["git"]["annotations"] == {"dirty": False}
    assert details["metadata"]["startedOn"] == "2026-11-23T04:00:00Z"
    assert details["metadata"]["finishedOn"] == "2026-11-23T04:01:00Z"


def test_the_fingerprint_is_the_same_elsewhere_and_later_and_with_other_outputs(made):
    first = _statement(made)
    later = _statement(made, place="elsewhere", content=b"other", finished=datetime(2027, 1, 1, tzinfo=UTC))
    ids = [one["predicate"]["runDetails"]["metadata"]["invocationId"] for one in (first, later)]
    assert ids[0] == ids[1]
    job, inputs, _ = made()
    assert record.job_fingerprint(replace(job, finished=None), inputs, private=PRIVATE) == ids[0]


def test_to_the_audit_a_record_is_of_the_work_of_its_fingerprint(made, root):
    files = {"Snakefile": sha256_file(root / "Snakefile")}
    code = code_digest(root / "scripts" / "cut_scan.py", root)
    params = {"slices": {"size_px": 128, "names": ["Größe", 0.1]}, "files": files, "code": code}
    told = parse_record(Path("results/a.json"), json.loads(_told(made, params=params)))
    evidence = SimpleNamespace(records=[told], place=Place(results=Path("results"), checkout=root))
    assert list(check_fingerprints(evidence)) == []


def test_the_fingerprint_changes_with_rule_wildcards_params_and_inputs():
    base = ("train", {"seed": "0"}, {"a": 1, "b": 2}, [("x", "results/x", "0"), ("y", "results/y", "1")])
    others = [
        ("test", *base[1:]),
        (base[0], {"seed": "1"}, *base[2:]),
        (*base[:2], {"a": 2, "b": 1}, base[3]),
        (*base[:3], [("x", "results/x", "2"), ("y", "results/y", "1")]),
        (*base[:3], [("y", "results/x", "0"), ("x", "results/y", "1")]),
        (*base[:3], base[3][:1]),
    ]
    assert len({fingerprint(*one) for one in [base, *others]}) == len(others) + 1
    assert fingerprint(*base[:3], base[3][::-1]) == fingerprint(*base)


def test_what_is_private_is_in_no_record(made, tmp_path):
    private = tmp_path / "home" / "erika"
    private.mkdir(parents=True)
    (private / "ct.zip").write_bytes(b"dicom")
    words = {"home": str(private), "user": "erika", "host": "ward7.clinic.example"}
    params = {
        "scan": {"series": str(private / "ct.zip"), "mask": "", "scan": "a", "cohort": "mine"},
        "note": f"by Erika erika on ward7, in {private}/x",
        "wheels": str(private),
        "log": "see /mnt/erika/deep/log and file:///mnt/x/y",
        "list": ["ward7.clinic.example", Path(private)],
    }
    job, inputs, outputs = made(
        params=params, inputs={"series": [private / "ct.zip"]}, segments=[{"where": str(private), "steps": [0, 4]}]
    )
    machine = {**MACHINE, "cpu": "the cpu of erika"}
    told = record.canonical_json(statement(job, inputs, outputs, machine, private=words))
    for word in ("erika", "ward7", "clinic", str(tmp_path), '"/', " /"):
        assert word not in told, word
    told = json.loads(told)["predicate"]["buildDefinition"]
    assert told["resolvedDependencies"][0]["uri"] == "source:mine/a"
    assert told["externalParameters"]["params"]["scan"]["series"] == "source:mine/a"


def test_scrub_takes_whole_words_and_leaves_the_rest():
    words = {"home": "/", "user": "ct", "host": "box"}
    value = {"ct": ["ctstyle/run/fit.py 5 mm/px, https://ctstyle/job", "a ct on box.", 3, None, True]}
    assert scrub(value, **words) == {
        "ct": ["ctstyle/run/fit.py 5 mm/px, https://ctstyle/job", "a <user> on <host>.", 3, None, True]
    }
    assert scrub("text", home="", user="", host="") == "text"


def test_a_record_is_canonical_and_whole_or_absent(tmp_path):
    path = tmp_path / "records" / "a.json"
    record.write_record(path, {"b": 1, "a": {"é": [1.5]}})
    assert path.read_bytes() == '{\n "a": {\n  "é": [\n   1.5\n  ]\n },\n "b": 1\n}\n'.encode()
    for bad in (float("nan"), object()):
        with pytest.raises(NotRecordable):
            record.write_record(path, {"b": bad})
    assert [one.name for one in path.parent.iterdir()] == ["a.json"] and "1.5" in path.read_text()


def test_values_without_a_plain_form_and_times_without_a_zone_are_refused(made):
    for params in ({"a": float("inf")}, {"a": object()}):
        with pytest.raises(NotRecordable):
            _told(made, params=params)
    with pytest.raises(NotRecordable):
        _told(made, finished=None)
    with pytest.raises(NotRecordable):
        _told(made, started=datetime(2026, 1, 1))


def test_the_environment_tells_imported_packages_and_the_commit_of_a_clone(tmp_path):
    ask = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*ask, "init", "-q"], check=True)
    (tmp_path / "a.py").write_text("a = 1\n")
    subprocess.run([*ask, "add", "a.py"], check=True)
    subprocess.run([*ask, "commit", "-q", "-m", "a"], check=True)
    head = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    told = record.environment(tmp_path)
    assert (told["commit"], told["dirty"], told["gpu"], told["driver"]) == (head, False, "none", "none")
    assert told["packages"]["pytest"] == metadata.version("pytest") and "snakemake" not in told["packages"]
    machine.commit_of.cache_clear()
    (tmp_path / "a.py").write_text("a = 2\n")
    assert record.environment(tmp_path)["dirty"] is True
    (tmp_path / "unpacked").mkdir()
    told = record.environment(tmp_path / "unpacked")
    assert (told["commit"], told["dirty"]) == ("unknown", None)


def test_files_by_key_keeps_files_without_a_key():
    class Named(list):
        """As Snakemake's named lists: files in order, `items()` for those with a key."""

        def items(self):
            """The keyed ones."""
            return [("split", "s.tsv"), ("slices", ["a.npy", "b.npy"])]

    found = record.files_by_key(Named(["w.whl", "s.tsv", "a.npy", "b.npy"]))
    assert found == {"0": [Path("w.whl")], "split": [Path("s.tsv")], "slices": [Path("a.npy"), Path("b.npy")]}


def test_records_are_written_without_torch_snakemake_or_pydicom(root):
    names = ("digest", "record", "seal", "lineage")
    code = f"import sys\nfor n in {names}: __import__('ctstyle.provenance.' + n)\nprint(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert not {"torch", "snakemake", "pydicom", "numpy"} & set(told.stdout.split())
