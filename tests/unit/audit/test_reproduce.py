"""Jobs run again by a real Snakemake, on a workflow of three rules that writes records as ours does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from a_run import sha256

from ctstyle.audit.__main__ import main
from ctstyle.provenance.digest import hash_file

SNAKEFILE = """
configfile: Path(workflow.current_basedir) / "config/config.yaml"

pathvars:
    counts="<results>/counts",
    records="<results>/provenance/records",
    tables="<results>/paper/tables",

rule all:
    input: "<tables>/claims.csv",

rule count_slices:
    input: slices="data/{scan}.txt",
    output: table="<counts>/{scan}.tsv", cost="<counts>/{scan}.cost.json", record="<records>/count_slices/{scan}.json",
    log: "<results>/logs/count_slices/{scan}.log",
    script: "scripts/count_slices.py"

rule make_table:
    input: counts=collect("<counts>/{scan}.tsv", scan=["a", "b"]),
    output: csv="<tables>/table1.csv", record="<records>/make_table.json",
    log: "<results>/logs/make_table.log",
    params: factor=config["factor"],
    script: "scripts/make_table.py"

rule make_claims:
    input: table="<tables>/table1.csv",
    output: csv="<tables>/claims.csv", record="<records>/make_claims.json",
    log: "<results>/logs/make_claims.log",
    script: "scripts/make_claims.py"
"""
SCRIPT = """from pathlib import Path
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
"""
BODIES = {
    "count_slices": """
        Path(run.output.table).write_text(f"{len(Path(run.input.slices).read_text())}\\n")
        run.write_cost(run.output.cost)
""",
    "make_table": """
        total = sum(int(Path(path).read_text()) for path in run.input.counts)
        Path(run.output.csv).write_text(f"slices,{total * run.params.factor}\\n")
""",
    "make_claims": """
        Path(run.output.csv).write_text("holds," + Path(run.input.table).read_text())
""",
}
COUNT, COST = "results/counts/a.tsv", "results/counts/a.cost.json"
TABLE, CLAIMS = "results/paper/tables/table1.csv", "results/paper/tables/claims.csv"
RECORDS = "results/provenance/records"


@pytest.fixture(scope="session")
def finished(root, tmp_path_factory) -> Path:
    """A folder with a checkout in `checkout`, and a finished run of it beside."""
    folder = tmp_path_factory.mktemp("toy")
    checkout = folder / "checkout"
    package = checkout / "ctstyle"
    for room in ("study", "provenance", "run"):
        shutil.copytree(root / "ctstyle" / room, package / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "errors.py"):
        shutil.copy(root / "ctstyle" / name, package / name)
    files = {"Snakefile": SNAKEFILE, "config/config.yaml": "factor: 2\n"}
    files |= {"config/toy.yaml": "pathvars: {results: results/toy}\nfactor: 3\n"}
    files |= {f"scripts/{rule}.py": SCRIPT + body for rule, body in BODIES.items()}
    for name, text in files.items():
        path = checkout / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (folder / "data").mkdir()
    for scan in "ab":
        (folder / f"data/{scan}.txt").write_text(scan * 5)
    command = [sys.executable, "-m", "snakemake", "--snakefile", checkout / "Snakefile", "--directory", folder]
    command += ["--cores", "2", "--configfile", checkout / "config/toy.yaml"]
    variables = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    configs = [
        {"name": f"code:config/{name}", "sha256": sha256((checkout / "config" / name).read_bytes()), "kind": "config"}
        for name in ("config.yaml", "toy.yaml")
    ]
    (folder / "results/toy/provenance/sources.json").write_text(json.dumps({"files": configs}))
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch) -> Path:
    """A copy of the finished run, in the current folder."""
    monkeypatch.chdir(shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns(".snakemake")))
    return tmp_path / "run"


@pytest.fixture
def ask(run, capsys):
    """The command's exit status and what it printed on `run`, as JSON."""

    def ask(*arguments):
        """Run the command."""
        status = main([str(run / "results/toy"), "--checkout", str(run / "checkout"), "--json", *arguments])
        return status, json.loads(capsys.readouterr().out)

    return ask


@pytest.fixture
def refused(run, capsys):
    """What the command says where it does not start; its exit status is 2 and no Snakemake runs."""

    def refused(*arguments):
        """Run the command."""
        assert main([str(run / "results/toy"), "--checkout", str(run / "checkout"), *arguments]) == 2
        return capsys.readouterr().err

    return refused


@pytest.fixture
def no_snakemake(monkeypatch):
    """A test in which nothing may start Snakemake."""

    def start(*command, **options):
        pytest.fail(f"started {command}")

    monkeypatch.setattr("ctstyle.audit.reproduce.subprocess.Popen", start)


def by_file(told):
    """Severity and what is said of each file, warnings apart."""
    return {one["file"]: (one["severity"], one["what"]) for one in told["findings"] if one["severity"] != "warning"}


def place(run, name):
    """Where a file of the results lies."""
    return run / "results/toy" / name.removeprefix("results/")


def forge(run, name, record, text):
    """Edit an output and its record alike, so that they agree."""
    place(run, name).write_text(text)
    path = place(run, RECORDS) / record
    statement = json.loads(path.read_text())
    subject = next(one for one in statement["subject"] if one["name"] == name)
    subject["digest"]["sha256"] = sha256(text.encode())
    path.write_text(json.dumps(statement))


def snapshot(folder):
    """Every file below a folder with its bytes and time."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_job_is_reproduced_alone_and_nothing_is_written_into_the_run(run, ask):
    before = snapshot(run / "results")
    status, told = ask("--reproduce", "count_slices", "--wildcards", "scan=a")
    assert (status, told["verdict"], told["jobs"]) == (0, "reproduced", 1)
    assert by_file(told) == {
        COUNT: ("reproduced", "byte for byte the same"),
        COST: ("not verified", "not compared: it tells the time"),
        f"{RECORDS}/count_slices/a.json": ("not verified", "not compared: it tells the time"),
    }
    assert told["counts"]["warning"] == 0
    assert snapshot(run / "results") == before


def change(run, name, edit):
    """Change the JSON of a file of the results."""
    path = place(run, name)
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


FORGED = {
    "subject": lambda told: told["subject"][0].update(name="--snakefile=evil.smk"),
    "rule": lambda told: told["predicate"]["buildDefinition"]["externalParameters"].update(rule="--snakefile=evil.smk"),
    "wildcard": lambda told: told["predicate"]["buildDefinition"]["externalParameters"].update(
        wildcards={"--snakefile": "evil.smk"}
    ),
    "key": lambda told: told["subject"][0]["annotations"].update(key="--snakefile=evil.smk"),
    "input": lambda told: told["predicate"]["buildDefinition"]["resolvedDependencies"][0].update(uri="snakemake.py"),
    "threads": lambda told: told["predicate"]["buildDefinition"]["internalParameters"].update(threads="1 -s evil.smk"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_record_whose_parts_are_options_runs_nothing(run, refused, no_snakemake, what):
    for record in ("make_table.json", "make_claims.json"):
        change(run, f"{RECORDS}/{record}", FORGED[what])
    rule = "--snakefile=evil.smk" if what == "rule" else "make_table"
    assert "no job of this rule has a record" in refused(f"--reproduce={rule}")
    assert "no record of a table or a figure" in refused("--recompute")


def test_code_and_configs_beside_the_results_are_never_used(run, ask, capsys):
    marker = run / "forged"
    python = f"open({str(marker)!r}, 'w').close()\nraise SystemExit('forged')\n"
    for folder in (run, run / "results/toy", run / "results"):
        for name in ("Snakefile", "workflow/Snakefile", "snakemake/__init__.py", "yaml.py", "json.py", "ctstyle.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(python)
        for name in ("profiles/default/profile.yaml", "config/config.yaml"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("snakefile: Snakefile\nfactor: 9\n")
    status, told = ask("--reproduce", "make_table")
    assert status == 0 and by_file(told)[TABLE][0] == "reproduced" and not marker.exists()


@pytest.mark.parametrize("name", ["code:results/toy/evil.yaml", "code:data/evil.yaml"])
def test_a_config_in_the_results_is_not_taken_for_one_of_the_checkout(run, capsys, no_snakemake, name):
    # the usual place of results is in the checkout; and a folder of it may be a link into them
    checkout, evil = run / "checkout", run / "results/toy/evil.yaml"
    evil.write_text("factor: 9\n")
    shutil.move(run / "results", checkout / "results")
    (checkout / "data").symlink_to(checkout / "results/toy")
    results = checkout / "results/toy"
    manifest = {"files": [{"name": name, "sha256": sha256(b"factor: 9\n"), "kind": "config"}]}
    (results / "provenance/sources.json").write_text(json.dumps(manifest))
    assert main([str(results), "--checkout", str(checkout), "--reproduce", "make_table"]) == 2
    assert f"{name}: the config that the run read is not in the checkout" in capsys.readouterr().err


def test_a_folder_as_input_is_no_way_into_the_results(run, ask):
    digest = hash_file(place(run, "results/paper")).sha256

    def add_input(told):
        inputs = told["predicate"]["buildDefinition"]["resolvedDependencies"]
        inputs.append({"name": "input:more", "uri": "results/paper", "digest": {"sha256": digest}})

    change(run, f"{RECORDS}/make_table.json", add_input)
    before = snapshot(run / "results")
    _, told = ask("--reproduce", "make_table")
    assert by_file(told)[TABLE][0] == "reproduced"
    assert snapshot(run / "results") == before


def test_a_log_as_input_is_not_written_to(run, ask):
    log = "results/logs/make_table.log"
    place(run, log).write_text("of the run\n")
    one = {"name": "input:log", "uri": log, "digest": {"sha256": sha256(b"of the run\n")}}
    change(
        run,
        f"{RECORDS}/make_table.json",
        lambda told: told["predicate"]["buildDefinition"]["resolvedDependencies"].append(one),
    )
    ask("--reproduce", "make_table")
    assert place(run, log).read_text() == "of the run\n"


def test_a_forged_key_does_not_keep_a_table_from_being_compared(run, ask):
    forge(run, TABLE, "make_table.json", "slices,99\n")
    change(run, f"{RECORDS}/make_table.json", lambda told: told["subject"][0]["annotations"].update(key="cost"))
    status, told = ask("--reproduce", "make_table")
    assert status == 1 and by_file(told)[TABLE] == ("broken", "differs from what make_table made")


def test_both_options_say_first_that_they_run_code(run, no_snakemake, capsys):
    place(run, COUNT).write_text("6\n")
    for option in (["--recompute"], ["--reproduce", "make_table"]):
        assert main([str(run / "results/toy"), "--checkout", str(run / "checkout"), *option]) == 1
        assert f"this runs the code of {run / 'checkout'} on files of" in capsys.readouterr().err


def test_cores_of_a_record_are_no_more_than_the_machine_has(run, monkeypatch):
    internal = "internalParameters"
    change(
        run,
        f"{RECORDS}/make_table.json",
        lambda told: told["predicate"]["buildDefinition"][internal].update(threads=4096),
    )
    commands = []

    def start(command, **options):
        commands.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr("ctstyle.audit.reproduce.subprocess.Popen", start)
    with pytest.raises(KeyboardInterrupt):
        main([str(run / "results/toy"), "--checkout", str(run / "checkout"), "--reproduce", "make_table"])
    (command,) = commands
    assert int(command[command.index("--cores") + 1]) <= os.cpu_count()
    assert command[command.index("--") + 1 :] == [TABLE]


def test_an_output_edited_together_with_its_record_differs(run, ask):
    forge(run, TABLE, "make_table.json", "slices,99\n")
    status, told = ask("--reproduce", "make_table")
    finding = next(one for one in told["findings"] if one["file"] == TABLE)
    assert status == 1 and finding["what"] == "differs from what make_table made"
    assert finding["found"] == sha256(b"slices,30\n")[:12] and finding["expected"] == sha256(b"slices,99\n")[:12]


def test_tables_are_recomputed_and_what_follows_from_another_table_is_not_compared(run, ask):
    script = run / "checkout/scripts/make_table.py"
    script.write_text(script.read_text().replace("total *", "-total *"))
    status, told = ask("--recompute")
    assert (status, told["jobs"], told["log"]) == (1, 2, "")
    assert by_file(told)[TABLE] == ("broken", "differs from what make_table made")
    assert by_file(told)[CLAIMS] == ("not verified", f"not compared: it is made from {TABLE}, which came out different")
    warnings = {one["file"]: one["what"] for one in told["findings"] if one["severity"] == "warning"}
    assert warnings == {
        TABLE: "made again with other code: code:scripts/make_table.py",
        CLAIMS: f"made again with other inputs: {TABLE}",
    }


def test_a_job_that_fails_is_told_with_the_end_of_the_log(run, ask):
    (run / "checkout/scripts/make_table.py").write_text("raise SystemExit('no numbers today')\n")
    status, told = ask("--recompute")
    assert status == 1 and "make_table" in told["log"]
    assert {by_file(told)[name][1].partition(",")[0] for name in (TABLE, CLAIMS)} == {"not made again: the job failed"}


def test_a_run_that_takes_too_long_is_stopped(run, ask):
    status, told = ask("--reproduce", "make_table", "--time-limit", "0.2")
    assert status == 1 and told["log"].endswith("stopped after 0.2 s, the time limit")
    assert by_file(told)[TABLE][0] == "broken"


def test_other_params_are_named(run, ask):
    config = run / "checkout/config/other.yaml"
    config.write_text("pathvars: {results: results/toy}\nfactor: 4\n")
    sources = {"files": [{"name": "code:config/other.yaml", "sha256": sha256(config.read_bytes()), "kind": "config"}]}
    (run / "results/toy/provenance/sources.json").write_text(json.dumps(sources))
    status, told = ask("--reproduce", "make_table", "--configfile", str(config))
    warning = [one["what"] for one in told["findings"] if one["severity"] == "warning"]
    assert status == 1 and warning == ["made again with other params"]


@pytest.mark.parametrize("problem", ["missing", "changed"])
def test_a_job_with_another_input_is_not_run_nor_what_needs_it(run, ask, no_snakemake, problem):
    if problem == "missing":
        place(run, COUNT).unlink()
    else:
        place(run, COUNT).write_text("6\n")
    status, told = ask("--recompute")
    assert (status, told["jobs"]) == (1, 0)
    assert by_file(told) == {
        TABLE: ("broken", f"not made again: {COUNT}, which it is made from, is {problem}"),
        CLAIMS: ("broken", f"not made again: {TABLE}, which it is made from, is not made again"),
    }


def test_what_cannot_be_run_is_refused(run, refused, no_snakemake):
    assert "no job of this rule has a record (found train_unet)" in refused("--reproduce", "train_unet")
    several = refused("--reproduce", "count_slices")
    assert "several jobs" in several and "count_slices scan=a, count_slices scan=b" in several
    assert "no job of the rule" in refused("--reproduce", "count_slices", "--wildcards", "scan=c")
    config = run / "checkout/config/toy.yaml"
    assert "not the config files of the run" in refused("--recompute", "--configfile", str(run / "data/a.txt"))
    config.write_text(config.read_text() + "# edited\n")
    assert "code:config/toy.yaml: the config that the run read is not in the checkout" in refused("--recompute")
    (run / "checkout/config/config.yaml").write_text("factor: 5\n")
    assert "config.yaml: not the config that the run read" in refused("--recompute")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--reproduce", "make_table", "--recompute"],
        ["--wildcards", "scan=a"],
        ["--recompute", "--wildcards", "scan=a"],
        ["--reproduce", "count_slices", "--wildcards", "a"],
        ["--recompute", "--explain"],
        ["--time-limit", "3"],
        ["--recompute", "--cores", "0"],
    ],
)
def test_options_that_do_not_belong_together_are_refused(run, capsys, no_snakemake, arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(run / "results/toy"), *arguments])
    assert stop.value.code == 2


def test_without_snakemake_the_command_says_so(root, run):
    # -S hides all installed packages: what is left is the standard library
    command = [sys.executable, "-S", "-m", "ctstyle.audit", run / "results/toy", "--reproduce", "make_table"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and "Snakemake is not installed" in done.stderr
