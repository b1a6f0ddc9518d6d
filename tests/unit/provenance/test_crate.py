"""The crate of a run says what its records say, the same each time and nothing private, and is valid."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rocrate import vocabs

from ctstyle.provenance import crate
from ctstyle.provenance.digest import digests
from ctstyle.provenance.names import Names
from ctstyle.provenance.record import Job, statement, write_record

CONTEXTS = Path(__file__).parent / "crate_contexts"
VALIDATOR = "roc-validator==0.13.0"
PRIVATE = {"home": "/home/erika", "user": "erika", "host": "ward7.clinic.example"}
MACHINE = {
    "python": "3.11.7",
    "packages": {"numpy": "2.0", "snakemake": "9.27.0"},
    "cpu": "a cpu",
    "gpu": "none",
    "driver": "none",
    "commit": "c" * 40,
    "dirty": False,
    "ctstyle": "0.1.0",
}
CONFIG = {"cohorts": ["phantom"], "seeds": [0, 1], "slices": {"size_px": 96, "window_hu": [-250, 750]}, "sheet": None}
START = datetime(2026, 11, 23, 4, tzinfo=UTC)
SCAN, SLICES, TABLE = "results/cohorts/a b.zip", "results/slices/a.npy", "results/paper/tables/table2.csv"


@pytest.fixture
def ran(tmp_path, root, monkeypatch):
    """A finished run of three jobs in a folder that is now the current one: its records and its manifest."""
    monkeypatch.chdir(tmp_path)
    private = tmp_path / "erika" / "ward7.zip"
    for path in (private, SCAN, SLICES, TABLE):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(f"content of {Path(path).name}".encode())
    base = Job(
        rule="cut_scan",
        wildcards={"scan": "a"},
        params={"code": "0" * 64},
        seed=0,
        threads=1,
        device="cpu",
        deterministic=True,
        inputs={"series": [SCAN]},
        outputs={"hu": [SLICES]},
        script=root / "scripts" / "cut_scan.py",
        names=Names(Path("results"), root, tmp_path, {private: "source:own/b"}),
        started=START + timedelta(minutes=1),
        finished=START + timedelta(minutes=2),
    )
    scan = {"rule": "scan_patient", "outputs": {"zip": [SCAN]}, "script": root / "scripts" / "simulate_scan.py"}
    table = {"rule": "make_table2", "outputs": {"table": [TABLE]}, "script": root / "scripts" / "make_table.py"}
    late = {"started": base.finished, "finished": START + timedelta(hours=1)}
    jobs = {
        "make_table2": replace(base, **table, **late, wildcards={}, inputs={"slices": [SLICES, private]}),
        "cut_scan/a": base,
        "scan_patient/a": replace(base, **scan, inputs={}, started=START),
    }
    records = {}
    for name, job in jobs.items():
        files = [Path(path) for paths in (*job.inputs.values(), *job.outputs.values()) for path in paths]
        found = digests(files)
        records[f"results/provenance/records/{name}.json"] = statement(job, found, found, MACHINE, private=PRIVATE)
    for name, record in records.items():
        write_record(name, record)
    facts = {"sha256": hashlib.sha256(private.read_bytes()).hexdigest(), "size": private.stat().st_size}
    source = {"name": "source:own/b", **facts, "licence": "CC BY 3.0", "address": "https://example.org/b.zip"}
    simulated = {"name": SCAN, "sha256": "0" * 64, "size": 1, "licence": "MIT"}
    return records, {"files": [source, simulated]}


@pytest.fixture
def options(root):
    """What the workflow adds to the records."""
    files = {path: root / path for path in ("Snakefile", "rules/slices.smk")}
    return {"workflow_files": files, "config": CONFIG, "finals": [TABLE]}


def _entities(ran, options):
    return {entity["@id"]: entity for entity in crate.crate_of(*ran, **options)["@graph"]}


def _ids(value):
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def test_a_job_of_the_crate_is_that_of_its_record(ran, options):
    entities, name = _entities(ran, options), "results/provenance/records/make_table2.json"
    job, record = entities["#job/make_table2"], ran[0][name]
    assert job["identifier"] == record["predicate"]["runDetails"]["metadata"]["invocationId"]
    assert (job["startTime"], job["endTime"]) == ("2026-11-23T04:02:00Z", "2026-11-23T05:00:00Z")
    assert _ids(job["object"]) == ["slices/a.npy", "#source:own/b"]
    assert _ids(job["result"]) == ["paper/tables/table2.csv"]
    tool = entities[job["instrument"]["@id"]]
    dependencies = record["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"sha256": tool["sha256"]} in [
        one["digest"] for one in dependencies if one["uri"].endswith("/make_table.py")
    ]
    assert entities["#job/cut_scan/a"]["name"] == "cut_scan scan=a"
    step = entities[entities["#control/make_table2"]["instrument"]["@id"]]
    assert (step["name"], step["position"], _ids(step["workExample"])) == ("make_table2", "3", [tool["@id"]])


def test_files_have_the_digest_and_size_that_they_have(ran, options):
    entities = _entities(ran, options)
    files = {name: entity for name, entity in entities.items() if "File" in entity["@type"]}
    crate.write_crate("results", *ran, **options)
    assert {"cohorts/a%20b.zip", "provenance/records/cut_scan/a.json", crate.MAIN} <= files.keys()
    assert files.keys() == set(_ids(entities["./"]["hasPart"]))
    for name, entity in files.items():
        content = Path("results", name.replace("%20", " ")).read_bytes()
        assert entity["sha256"] == hashlib.sha256(content).hexdigest(), name
        assert entity["contentSize"] == str(len(content)), name


def test_the_run_leads_from_the_sources_to_the_finals(ran, options):
    entities = _entities(ran, options)
    run, source = entities["#run"], entities["#source:own/b"]
    assert run["instrument"] == entities["./"]["mainEntity"] == {"@id": crate.MAIN}
    assert _ids(run["result"]) == ["paper/tables/table2.csv"]
    assert [name for name in _ids(run["object"]) if not name.startswith("#value/")] == ["#source:own/b"]
    assert source["@type"] == "CreativeWork" and entities[source["license"]["@id"]]["name"] == "CC BY 3.0"
    assert entities[entities["cohorts/a%20b.zip"]["license"]["@id"]]["name"] == "MIT"
    assert set(_ids(entities["#snakemake"]["object"])) == {name for name in entities if name.startswith("#control/")}
    assert (run["startTime"], run["endTime"]) == ("2026-11-23T04:00:00Z", "2026-11-23T05:00:00Z")


def test_parameters_are_those_of_the_config(ran, options):
    entities = _entities(ran, options)
    told = {name: entity["value"] for name, entity in entities.items() if name.startswith("#value/")}
    assert told == {
        "#value/cohorts": '["phantom"]',
        "#value/seeds": "[0, 1]",
        "#value/slices.size_px": 96,
        "#value/slices.window_hu": "[-250, 750]",
    }
    assert entities["#parameter/slices.size_px"]["additionalType"] == "Integer"


def test_every_reference_within_the_crate_has_its_entity(ran, options):
    entities = _entities(ran, options)
    for entity in entities.values():
        values = [value for one in entity.values() for value in (one if isinstance(one, list) else [one])]
        references = {value["@id"] for value in values if isinstance(value, dict)}
        assert {one for one in references if not one.startswith("https://")} <= entities.keys()


def test_every_key_and_type_has_a_meaning_in_the_contexts_that_the_crate_names(ran, options):
    terms = {}
    for path in CONTEXTS.glob("*.json"):
        terms |= json.loads(path.read_text())["@context"]
    for entity in _entities(ran, options).values():
        types = entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]
        assert {*types, *entity} - {"@id", "@type"} <= terms.keys()
    # our copies hold what we use; rocrate brings a newer context with the same terms of schema.org
    published = vocabs.RO_CRATE["@context"]
    for term, meaning in terms.items():
        if meaning.startswith("schema:"):
            assert published[term] == meaning.replace("schema:", "http://schema.org/")


def test_the_crate_is_the_same_each_time_and_holds_nothing_private(ran, options, tmp_path):
    first = crate.crate_text(crate.crate_of(*ran, **options))
    assert first == crate.crate_text(crate.crate_of(dict(reversed(ran[0].items())), ran[1], **options))
    for word in (str(tmp_path), "/home", "erika", "ward7"):
        assert word not in first


def test_jobs_that_the_finals_do_not_come_from_are_left_out(ran, options):
    crate.write_crate("results", *ran, **{**options, "finals": [SLICES]})
    told = json.loads(Path("results", crate.CRATE).read_text())
    jobs = [entity["@id"] for entity in told["@graph"] if entity["@id"].startswith("#job/")]
    assert sorted(jobs) == ["#job/cut_scan/a", "#job/scan_patient/a"]


def test_two_versions_of_a_script_are_two_tools_of_one_step(ran, options):
    name = "results/provenance/records/cut_scan/b.json"
    other = json.loads(json.dumps(ran[0]["results/provenance/records/cut_scan/a.json"]))
    for one in other["predicate"]["buildDefinition"]["resolvedDependencies"]:
        if one["name"] == "code:scripts/cut_scan.py":
            one["digest"]["sha256"] = "f" * 64
    entities = _entities(({**ran[0], name: other}, ran[1]), options)
    tools = _ids(entities["#step/cut_scan"]["workExample"])
    assert (
        len(tools) == 2 and entities["#job/cut_scan/b"]["instrument"]["@id"] == f"#code:scripts/cut_scan.py@{'f' * 12}"
    )
    assert set(tools) <= set(_ids(entities[crate.MAIN]["hasPart"]))


def test_a_run_without_records_has_no_crate(ran, options):
    with pytest.raises(crate.CannotDescribe, match="0 records"):
        crate.crate_of({}, ran[1], **options)


@pytest.fixture(scope="session")
def validator(tmp_path_factory):
    """The Python of an environment with roc-validator, whose pins conflict with ours."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("uv, which makes the validator's environment, is not here")
    folder = tmp_path_factory.mktemp("validator")
    python = folder / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, VALIDATOR], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no package index gave {VALIDATOR}: {done.stderr.strip().splitlines()[-1]}")
    return python


def _validate(python, folder):
    command = [python, CONTEXTS / "validate.py", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_crate_passes_every_required_check_of_the_profile(ran, options, validator):
    crate.write_crate("results", *ran, **options)
    done = _validate(validator, "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[-2]) > 50


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damaged", "link", "told"),
    [
        ("#control/cut_scan/a", "object", "A ControlAction must reference the action"),
        ("#snakemake", "instrument", "An OrganizeAction must reference an entity representing the workflow engine"),
        ("#step/cut_scan", "workExample", "A HowToStep must refer to its corresponding tool"),
        ("#run", "instrument", "MUST reference the root data entity's mainEntity"),
    ],
)
def test_the_validator_sees_a_crate_without_one_of_its_links(ran, options, validator, damaged, link, told):
    crate.write_crate("results", *ran, **options)
    path = Path("results", crate.CRATE)
    whole = json.loads(path.read_text())
    next(entity for entity in whole["@graph"] if entity["@id"] == damaged).pop(link)
    path.write_text(json.dumps(whole))
    done = _validate(validator, "results")
    assert done.returncode == 1 and told in done.stdout
