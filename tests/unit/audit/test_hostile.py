"""Results that somebody made to fool or to hurt the auditor: nothing hangs, fills the memory, or acts on a terminal."""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from a_run import SERIES, SPLIT_NAME, TABLE, SmallRun, sha256

from ctstyle.audit.__main__ import main
from ctstyle.audit.finding import printable

RECORD = "results/provenance/records/make_table2.json"
MANIFEST, SUMS, ROOT = (f"results/provenance/{name}" for name in ("sources.json", "SHA256SUMS", "root.json"))
ESCAPES = "\x1b[2K\x1b[1ASOUND\r\n\x07\x9b31m\u202eDNUOS\u2066\udcff\u2028"
MEMORY, SECONDS = 1 << 30, 60


@pytest.fixture
def run(tmp_path):
    """A sound run."""
    return SmallRun(tmp_path / "run")


@pytest.fixture
def said(run, capsys):
    """Exit status, findings as (severity, check, file, what), and what a terminal was given, of the whole run."""

    def said(*arguments):
        """Run the command twice: as text and as JSON."""
        asked = [str(run.results), "--checkout", str(run.checkout), *arguments]
        status = main([*asked, "--explain"])
        shown = capsys.readouterr()
        assert all(one == "\n" or one.isprintable() for one in shown.out + shown.err)
        assert "could not finish" not in shown.err and main([*asked, "--json"]) == status
        told = json.loads(capsys.readouterr().out or '{"findings": []}')
        return (
            status,
            [tuple(one[key] for key in ("severity", "check", "file", "what")) for one in told["findings"]],
            shown,
        )

    return said


def audit_apart(run: SmallRun) -> subprocess.CompletedProcess:
    """The audit in a process of limited time and memory."""
    command = [sys.executable, "-S", "-m", "ctstyle.audit", run.results, "--checkout", run.checkout]
    return subprocess.run(
        [str(part) for part in command],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )


def edit(path: Path, change) -> None:
    """Change the JSON of a file."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def build(record):
    """The part of a record that holds what the job was."""
    return record["predicate"]["buildDefinition"]


def put(record, dotted, value):
    """Set a value deep in a record; numbers are places in lists."""
    *way, last = [int(part) if part.isdigit() else part for part in dotted.split(".")]
    for part in way:
        record = record[part]
    record[last] = value


BUILD = "predicate.buildDefinition"
PLACES = {
    "subject.0.name": ["--snakefile=evil.smk", "-s", "results/--snakefile", "results/a b", "results/.hidden", "all"],
    "subject.0.annotations.key": ["--key", "a.b", 7, None],
    f"{BUILD}.externalParameters.rule": ["--snakefile=evil.smk", "a b", "", "rule\n", 7, "r" * 101],
    f"{BUILD}.externalParameters.wildcards": [{"--seed": "0"}, {"seed": "--all"}, {"seed": "a/b"}, {"seed": 0}, []],
    f"{BUILD}.resolvedDependencies.0.uri": ["--cores=99", "snakemake/__init__.py", "git:x", "source:../x", "code:/x"],
    f"{BUILD}.resolvedDependencies.0.name": ["--role", "input:--x", "input:", "code:other.py"],
    f"{BUILD}.resolvedDependencies.0.digest.sha256": ["A" * 64, "0" * 63, "0" * 64 + "\n", 0],
    f"{BUILD}.resolvedDependencies.3.digest.gitCommit": ["--help", "c" * 39, ""],
    f"{BUILD}.internalParameters.threads": [0, -1, 10**6, True, "2", 1.5],
    f"{BUILD}.internalParameters.device": ["cuda:0 --x", "gpu", 0],
    f"{BUILD}.internalParameters.packages": [{"torch": 2}, ["torch"], {"torch": "2" * 1001}],
    "predicate.runDetails.metadata.invocationId": ["x", "0" * 63, 0],
}


@pytest.mark.parametrize(("place", "value"), [(place, value) for place, values in PLACES.items() for value in values])
def test_a_record_with_any_other_form_is_none(run, said, place, value):
    edit(run.folder / RECORD, lambda record: put(record, place, value))
    status, findings, _ = said()
    assert status == 1 and ("broken", "records", RECORD) in [one[:3] for one in findings]


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "--configfile=x"},
        {"name": "results/../x"},
        {"kind": "con fig"},
        {"order": True},
        {"instances": [{"member": 1, "sha256": "0" * 64}]},
        {"instances": [{"member": "m" * 1001, "sha256": "0" * 64}]},
        {"name": "source:mine/b"},
    ],
)
def test_a_manifest_with_any_other_form_is_none(run, said, entry):
    edit(run.folder / MANIFEST, lambda manifest: manifest["files"][0].update(entry))
    status, findings, _ = said()
    assert status == 1 and ("broken", "sources", MANIFEST) in [one[:3] for one in findings]


@pytest.mark.parametrize(
    ("name", "key"), [(RECORD, '"subject": []'), (MANIFEST, '"files": []'), (ROOT, f'"root": "{"0" * 64}"')]
)
def test_a_key_that_stands_twice_is_refused(run, said, name, key):
    path = run.folder / name
    path.write_text("{" + key + ", " + path.read_text()[1:])
    status, findings, _ = said()
    assert status == 1 and any(file == name and "stands twice" in what for _, _, file, what in findings)


def spoil_names(run):
    """Control characters wherever a stranger may write."""
    record = run.folder / RECORD
    edit(record, lambda told: build(told)["internalParameters"].update(packages={ESCAPES: ESCAPES}, python=ESCAPES))
    run.job("gather", {}, {"results/x.tsv": "x"}, [])
    edit(run.record_path("gather", {}), lambda told: put(told, f"{BUILD}.externalParameters.rule", ESCAPES))
    (run.results / "metrics").mkdir()
    (run.results / "metrics" / ESCAPES.replace("\udcff", "\udcfe")).write_text("x")
    (run.results / "link").symlink_to(ESCAPES)
    run.job(
        "find_styles", {}, {SPLIT_NAME: f"scan\tpatient\tside\na\t{ESCAPES[:9]}\ttrain\nb\t{ESCAPES[:9]}\ttest\n"}, []
    )
    edit(run.folder / MANIFEST, lambda told: told["files"][0]["instances"][0].update(member=ESCAPES))
    zip_path = run.folder / SERIES
    zip_path.write_bytes(zip_path.read_bytes() + b"\0")
    edit(run.folder / ROOT, lambda told: told.update(root=ESCAPES, files=ESCAPES))
    with (run.folder / SUMS).open("a", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(f"{ESCAPES}\n")


def test_nothing_that_acts_on_a_terminal_is_printed(run, said):
    spoil_names(run)
    status, findings, shown = said()
    assert status == 1 and shown.out.splitlines()[-1].endswith(": BROKEN") and "SOUND\n" not in shown.out
    checks = {check for _, check, _, _ in findings}
    assert checks >= {"records", "completeness", "links", "environment", "separation", "seal", "sources"}
    assert sum("\\x1b[2K" in line for line in shown.out.splitlines()) >= 7


def test_errors_and_refusals_are_printable_too(run, capsys):
    folder = run.folder / "\x1b[2K\u202e"
    folder.mkdir()
    assert main([str(folder)]) == 2
    told = capsys.readouterr().err
    assert "[2K" in told and all(one == "\n" or one.isprintable() for one in told)
    assert main([str(run.results), "--reproduce", "\x1b[2K"]) == 2
    error = capsys.readouterr().err
    assert "[2K" in error and "\x1b" not in error


def test_printable_text_is_what_it_was():
    assert printable("mean ± 2 µm, 漢字") == "mean ± 2 µm, 漢字"
    assert printable("a" * 1000, most=3) == "aaa... (997 more characters)"
    for one in map(chr, (*range(32), *range(127, 160), 0xAD, *range(0x200B, 0x2010), *range(0x2028, 0x202F), 0xD800)):
        assert printable(one).isascii() and printable(one).isprintable() and len(printable(one)) > 1


def test_many_findings_of_one_kind_are_counted(run, said):
    for number in range(250):
        run.write(f"results/metrics/{number}.tsv", "x")
    _, findings, shown = said()
    assert len([1 for _, check, _, _ in findings if check == "completeness"]) >= 250
    lines = [line for line in shown.out.splitlines() if line.startswith("broken: ")]
    assert len(lines) < 120 and "broken: completeness: 150 more" in shown.out


def fifo(path):
    """A pipe that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def device(path):
    """A link to a device without end."""
    path.unlink()
    path.symlink_to("/dev/zero")


def endless(path):
    """A file of the kernel that announces no size."""
    path.unlink()
    path.symlink_to("/proc/kmsg")


def sparse(path):
    """A file of exabytes that takes no room."""
    with path.open("wb") as stream:
        stream.truncate(1 << 43)


@pytest.mark.parametrize("name", [TABLE, SPLIT_NAME, SERIES, RECORD, MANIFEST, SUMS, ROOT])
@pytest.mark.parametrize("spoil", [fifo, device, endless, sparse])
def test_what_is_no_file_of_a_sane_size_is_told_and_not_waited_for(run, name, spoil):
    spoil(run.folder / name)
    done = audit_apart(run)
    assert done.returncode == 1 and done.stdout.rstrip().endswith(": BROKEN"), done
    assert name in done.stdout and done.stderr == ""


def test_a_socket_is_no_file(run, said, monkeypatch):
    monkeypatch.chdir(run.results)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("odd")
        status, findings, _ = said()
    assert status == 1 and ("broken", "completeness", "results/odd") in [one[:3] for one in findings]


def bomb_zip(run):
    """Images that unpack to 1.5 GB."""
    zeros = bytes(150 << 20)
    with zipfile.ZipFile(run.folder / SERIES, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(10):
            archive.writestr(f"ct/{number}.dcm", zeros)
    images = [{"member": f"ct/{number}.dcm", "sha256": "0" * 64, "pixel_sha256": ""} for number in range(10)]
    edit(run.folder / MANIFEST, lambda told: told["files"][0].update(instances=images))
    return SERIES


def bomb_one_image(run):
    """One image that says it is small."""
    with (
        zipfile.ZipFile(run.folder / SERIES, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("ct/1.dcm", "w", force_zip64=True) as member,
    ):
        for _ in range(60):
            member.write(bytes(25 << 20))
    return SERIES


def bomb_record(run):
    """A record of small lists."""
    run.write(RECORD, "[" + "[]," * 5_000_000 + "[]]")
    return RECORD


def bomb_table(run):
    """A table of short rows, and one of many columns."""
    run.write(SPLIT_NAME, "scan\tpatient\tside\n" + "a\n" * 10_000_000)
    run.write("results/transfer/ours/seed0/test.tsv", "\t".join(map(str, range(100_000))) + "\n" + "a\n" * 100_000)
    return SPLIT_NAME


def bomb_sums(run):
    """A list of empty and of damaged lines."""
    run.write(SUMS, "\n" * 20_000_000 + "x\n" * 10_000_000)
    return SUMS


@pytest.mark.parametrize("bomb", [bomb_zip, bomb_one_image, bomb_record, bomb_table, bomb_sums])
def test_a_bomb_is_told_in_limited_memory_and_time(run, bomb):
    name = bomb(run)
    done = audit_apart(run)
    assert done.returncode == 1 and name in done.stdout and done.stderr == "", done
    assert len(done.stdout) < 100_000


def test_hidden_files_and_folders_are_found(run, said):
    added = {"results/.better.csv", "results/paper/.x/table2.csv", "results/provenance/notes.txt"}
    added |= {"results/provenance/records/odd.txt", "results/.snakemake/x"}
    for name in added:
        run.write(name, "better")
    status, findings, _ = said()
    assert status == 1 and {file for severity, _, file, _ in findings if severity == "broken"} == added


@pytest.mark.parametrize(
    "name",
    ["transfer/ours/.generator.safetensors-train_unet-0123456789abcdef.state", "paper/.writing-ab_12xyz/table.csv"],
)
def test_what_a_killed_job_left_is_told_apart(run, said, name):
    run.write(f"results/{name}", "half")
    status, findings, _ = said()
    assert status == 0 and ("warning", f"results/{name}") in {(severity, file) for severity, _, file, _ in findings}
    assert any("killed" in what for _, _, file, what in findings if file.endswith(name))


def test_files_behind_a_linked_folder_are_found_and_the_link_is_told(run, said):
    outside = run.folder / "elsewhere"
    shutil.move(run.results / "augmented", outside)
    (run.results / "augmented").symlink_to(outside)
    status, findings, _ = said()
    assert status == 0 and ("warning", "links", "results/augmented") in [one[:3] for one in findings]
    (outside / "sub").mkdir()
    (outside / "sub/again").symlink_to(outside)
    (outside / "sub/added.tsv").write_text("better")
    status, findings, _ = said()
    (what,) = [what for severity, _, file, what in findings if severity == "broken" and file == "results/augmented"]
    assert status == 1 and what.endswith("covers results/augmented/sub/added.tsv")


def test_links_are_told(run, said):
    table = run.folder / TABLE
    (run.results / "copy").symlink_to("paper")
    (run.results / "loop").symlink_to("loop")
    (run.results / "all").symlink_to("/")
    outside = shutil.move(table, run.folder / "outside.csv")
    table.symlink_to(outside)
    status, findings, _ = said()
    told = {file: (severity, what) for severity, check, file, what in findings if check == "links"}
    assert status == 1 and {file: severity for file, (severity, _) in told.items()} == {
        "results/copy": "warning",
        "results/loop": "broken",
        "results/all": "broken",
        TABLE: "broken",
    }
    assert not any(check == "bytes" for _, check, _, _ in findings)
    # whoever asks for one file alone hears of the link on its way too
    assert main([str(table), "--checkout", str(run.checkout)]) == 1


def test_a_run_within_the_run_is_told_and_hides_nothing_of_it(run, said):
    SmallRun(run.folder / "other")
    shutil.move(run.folder / "other/results", run.results / "tiny")
    status, findings, _ = said()
    assert status == 0 and ("not verified", "results/tiny") in {(severity, file) for severity, _, file, _ in findings}
    run.write("results/paper/provenance/records/x.json", "{}")
    run.write("results/paper/tables/table2_corrected.csv", "better")
    status, findings, _ = said()
    assert status == 1 and {file for severity, _, file, _ in findings if severity == "broken"} == {
        "results/paper/provenance/records/x.json",
        "results/paper/tables/table2_corrected.csv",
    }


def test_a_folder_that_cannot_be_searched_is_told(run, said, monkeypatch):
    # root may read everything, so the refusal is played
    closed, listed = run.results / "closed", Path.iterdir
    closed.mkdir()

    def refuse(path):
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    status, findings, _ = said()
    assert (
        status == 1
        and ("broken", "completeness", "results/closed", "cannot be searched: Permission denied") in findings
    )


def test_a_link_on_a_folder_in_a_hashed_folder_hides_nothing(tmp_path):
    from ctstyle.provenance.digest import hash_file

    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/1").write_text("x")
    whole = hash_file(tmp_path / "a").sha256
    assert whole == sha256(f"{sha256(b'x')}  1\n".encode())
    (tmp_path / "a/b/link").symlink_to(tmp_path)
    assert hash_file(tmp_path / "a").problem == "b/link: a link to a folder"
    (tmp_path / "a/b/link").unlink()
    os.mkfifo(tmp_path / "a/b/link")
    assert hash_file(tmp_path / "a").problem == "b/link: not a regular file"
