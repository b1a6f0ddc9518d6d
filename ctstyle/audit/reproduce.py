"""Jobs run again in a scratch folder, and what they make compared byte for byte with the records.

The only part of the audit that starts the workflow: Snakemake runs as a process of its own, from the checkout, and
knows no rules but those in question (`--allowed-rules`), so that every other file has to lie there already. The inputs
are links to the audited files and are hashed first; nothing is written into the results.
"""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ctstyle.audit.finding import BROKEN, UNVERIFIED, WARNING, Finding, Findings, printable, some
from ctstyle.audit.records import BadRecord, Place, Record, Source, parse_record, read_records, read_sources
from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import hash_file, hash_files
from ctstyle.provenance.lineage import short
from ctstyle.provenance.names import PAGE, RECORDS, RESULTS, ROOT, SUMS, UNAUDITED, inside, named

REPRODUCED = "reproduced"
SEVERITIES = (REPRODUCED, UNVERIFIED, WARNING, BROKEN)
TELLS_TIME = {"cost"}
"""Keys of outputs that hold seconds, which are others on every run."""
SHOWN = ("paper/tables/", "paper/figures/")
BASE_CONFIG = "code:config/config.yaml"
"""The config that the Snakefile loads by itself."""
GRACE_S = 10.0
LOG_LINES = 40


class CannotRerun(CTStyleError):
    """The job cannot be run again here: no such record, no Snakemake, no config, or nothing to compare."""


@dataclass(frozen=True)
class Setup:
    """How jobs are run again: the `checkout`, the run's config files in their order, cores and a time limit.

    Without `configs` they are those of the manifest of sources, without `cores` as many as the jobs had threads.
    """

    checkout: Path
    configs: tuple[Path, ...] = ()
    cores: int | None = None
    time_limit_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rerun(Findings):
    """What a run again found, one finding per file.

    `jobs` were run; `log` is the end of what Snakemake printed, nothing where all of them finished.
    """

    jobs: int
    log: str

    def as_text(self) -> str:
        """One printable line per file, the worst last, and the counts; above them the end of a failed run's log."""
        lines = [f"  | {printable(line)}" for line in self.log.splitlines()]
        lines += self.lines(*SEVERITIES)
        counts = ", ".join(f"{number} {severity}" for severity, number in self.counts(*SEVERITIES).items())
        verdict = "REPRODUCED" if self.sound else "NOT REPRODUCED"
        return "\n".join([*lines, f"{self.jobs} jobs run again in {self.seconds:.1f} s; {counts}: {verdict}"])

    def as_json(self) -> str:
        """Everything, with the verdict first."""
        verdict = "reproduced" if self.sound else "not reproduced"
        return self.told(verdict, self.counts(*SEVERITIES), jobs=self.jobs, log=self.log)


def reproduce(results: Path, rule: str, wildcards: Mapping[str, str], setup: Setup) -> Rerun:
    """Run one job of `results` again and compare what it makes with its record.

    `wildcards` may be some of the job's, as many as it takes to tell it from the rule's other jobs. Raises CannotRerun.
    """
    records, _ = read_records(results)
    return _rerun([find_job(records, rule, wildcards)], records, Place(results=results, checkout=setup.checkout), setup)


def recompute(results: Path, setup: Setup) -> Rerun:
    """Make all tables and figures of the paper again from their inputs, in one scratch run, and compare them.

    A file whose job reads a table that came out different is not compared. See `reproduce`. Raises CannotRerun.
    """
    records, damaged = read_records(results)
    place = Place(results=results, checkout=setup.checkout)
    shown = tuple(named(folder) for folder in SHOWN)
    jobs = [record for record in records if any(name.startswith(shown) for name in record.subjects)]
    if not jobs:
        raise CannotRerun("no record of a table or a figure", where=results)
    rerun = _rerun(jobs, records, place, setup)
    return replace(rerun, findings=[*damaged, *rerun.findings])


def find_job(records: Iterable[Record], rule: str, wildcards: Mapping[str, str]) -> Record:
    """The record of the one job of a rule with these wildcards. Raises CannotRerun."""
    of_rule = [record for record in records if record.rule == rule]
    if not of_rule:
        raise CannotRerun("no job of this rule has a record", found=rule, fix="Name a rule whose job has run.")
    jobs = [record for record in of_rule if wildcards.items() <= record.wildcards.items()]
    if len(jobs) != 1:
        titles = some(sorted(record.title for record in jobs or of_rule))
        what = "several jobs have these wildcards" if jobs else "no job of the rule has these wildcards"
        raise CannotRerun(what, found=titles, expected="one job", fix="Name its --wildcards.")
    return jobs[0]


def _rerun(jobs: Sequence[Record], records: Sequence[Record], place: Place, setup: Setup) -> Rerun:
    """Check the inputs, run the jobs whose inputs are as recorded, and compare what they made."""
    began = time.perf_counter()
    if any(named(SUMS) in job.subjects for job in jobs):
        raise CannotRerun("the seal is not made again", fix="The audit itself checks it.")
    if importlib.util.find_spec("snakemake") is None:
        fix = "Start the audit with the Python of the workflow's environment."
        raise CannotRerun("Snakemake is not installed", where=sys.executable, fix=fix)
    if not (setup.checkout / "Snakefile").is_file():
        raise CannotRerun("no workflow", where=setup.checkout, expected="a Snakefile", fix="Name it by --checkout.")
    sources, no_manifest = read_sources(place.results)
    if no_manifest and not setup.configs:
        raise CannotRerun(no_manifest[0].what, where=no_manifest[0].file, fix="Name the run's --configfile.")
    configs = _find_configs(sources, setup.configs, place)
    findings, usable = _check_inputs(jobs, place)
    log = ""
    if usable:
        with tempfile.TemporaryDirectory(prefix="ctstyle-rerun-") as folder:
            scratch = Path(folder)
            _link_inputs(scratch, usable, records, place)
            log = _run_snakemake(scratch, usable, replace(setup, configs=tuple(configs)))
            findings += _compare(scratch, usable, place)
    return Rerun(findings=findings, jobs=len(usable), seconds=time.perf_counter() - began, log=log)


def _find_configs(sources: Iterable[Source], named: Sequence[Path], place: Place) -> list[Path]:
    """The config files that the Snakefile does not load by itself, each with the bytes that the run read."""
    known = {source.name: source for source in sources if source.kind == "config"}
    base = known.get(BASE_CONFIG)
    if base is not None and hash_file(place.checkout / "config/config.yaml").sha256 != base.sha256:
        fix = "Check out the commit of the run."
        raise CannotRerun("not the config that the run read", where=place.checkout / "config/config.yaml", fix=fix)
    overlays = [source for name, source in known.items() if name != BASE_CONFIG]
    if named:
        _check_named(named, overlays, known.values())
        return list(named)
    return [_find_config(source, place) for source in sorted(overlays, key=lambda source: source.order)]


def _check_named(named: Iterable[Path], overlays: Iterable[Source], known: Iterable[Source]) -> None:
    """Raises CannotRerun where the files that the user named are not the config files of the run."""
    digests = {path: hash_file(path).sha256 for path in named}
    recorded = {source.sha256 for source in known}
    strange = [str(path) for path, sha256 in digests.items() if recorded and sha256 not in recorded]
    missing = [source.name for source in overlays if source.sha256 not in digests.values()]
    if strange or missing:
        fix = "Name the files as the run read them."
        raise CannotRerun(
            "not the config files of the run", found=some(strange), expected=some(missing) or None, fix=fix
        )


def _find_config(source: Source, place: Place) -> Path:
    """The file of a config in the checkout, if it has its digest. Raises CannotRerun."""
    path = place.locate(source.name)
    if path is not None and hash_file(path).sha256 == source.sha256:
        real, results, checkout = (Path(os.path.realpath(one)) for one in (path, place.results, place.checkout))
        # the results may lie in the checkout, and what lies in them may be a stranger's
        if real.is_relative_to(checkout) and not real.is_relative_to(results):
            return path
    fix = "Restore it, or name it by --configfile."
    raise CannotRerun("the config that the run read is not in the checkout", where=source.name, fix=fix)


def _check_inputs(jobs: Sequence[Record], place: Place) -> tuple[list[Finding], list[Record]]:
    """A finding for each file that cannot be made again, and the jobs that can: all their inputs are as recorded.

    Inputs that another of the jobs makes are made again too. `source:` files stay where the config says, and no record
    tells where that is: they are held against the record after the run.
    """
    made = {name for job in jobs for name in job.subjects}
    read = {one.name: one.sha256 for job in jobs for one in job.inputs if one.name not in made}
    located = {name: place.locate(name) for name in read}
    hashed = hash_files(path for path in located.values() if path is not None)
    bad = {
        name: hashed[path].problem or "changed"
        for name, path in located.items()
        if path is not None and hashed[path].sha256 != read[name]
    }
    findings: list[Finding] = []
    usable = list(jobs)
    while stopped := [job for job in usable if _stopped_by(job, bad)]:
        for job in stopped:
            name = str(_stopped_by(job, bad))
            what, fix = f"not made again: {name}, which it is made from, is {bad[name]}", "Restore the input."
            findings += [Finding(check="reproduce", file=one, what=what, fix=fix) for one in sorted(job.subjects)]
            bad |= dict.fromkeys(job.subjects, "not made again")
        usable = [job for job in usable if job not in stopped]
    return findings, usable


def _stopped_by(job: Record, bad: Mapping[str, str]) -> str | None:
    """The first file that keeps a job from being run."""
    return next((one.name for one in job.inputs if one.name in bad), None)


def _link_inputs(scratch: Path, jobs: Sequence[Record], records: Iterable[Record], place: Place) -> None:
    """Links to the inputs and to the other jobs' records, which lineages read.

    Each is a link to one file, never to a folder of the results or a log: what a job writes stays in `scratch`. Paths
    of the config and of the sheet may be relative, so all else in the current folder is linked too.
    """
    # a folder of its own, never a link to the results here, and one that the workflow knows as a run's
    (scratch / RESULTS / RECORDS).mkdir(parents=True)
    own = {job.path for job in jobs}
    made = {name for job in jobs for name in job.subjects} | {place.name_of(path) for path in own}
    read = {place.locate(one.name) for job in jobs for one in job.inputs if inside(one.name)}
    located = {path for path in read if path is not None} | {one.path for one in records if one.path not in own}
    files = {file for path in located for file in (path.rglob("*") if path.is_dir() else [path])}
    for file in sorted(files):
        name = place.name_of(file)
        if name not in made and not file.is_dir() and not name.startswith(tuple(f"{named(top)}/" for top in UNAUDITED)):
            link = scratch / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    for path in Path.cwd().iterdir():
        if not path.name.startswith(".") and not (scratch / path.name).exists():
            (scratch / path.name).symlink_to(path)


def _run_snakemake(scratch: Path, jobs: Sequence[Record], setup: Setup) -> str:
    """Run the jobs in `scratch`, as many as succeed; returns the end of what Snakemake printed unless all did.

    No profile takes part: it could send the jobs to a cluster, or ask for more than the record says. A job that ran on
    a card gets one.
    """
    threads = [job.environment.get("threads") for job in jobs]
    cores = setup.cores or min(max((one for one in threads if one), default=1), os.cpu_count() or 1)
    card = int(any(str(job.environment.get("device")).startswith("cuda") for job in jobs))
    command = [sys.executable, "-m", "snakemake", "--snakefile", setup.checkout / "Snakefile", "--directory", scratch]
    command += ["--cores", cores, "--resources", f"gpu={card}", "--profile", "none", "--workflow-profile", "none"]
    command += ["--rerun-triggers", "mtime", "--nolock", "--notemp", "--keep-going"]
    command += ["--allowed-rules", *sorted({job.rule for job in jobs})]
    command += ["--configfile", *setup.configs] if setup.configs else []
    command += ["--config", "pathvars={results: results}"]
    command += ["--executor", "local", "--", *sorted(name for job in jobs for name in job.subjects)]
    paths = [str(setup.checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=setup.checkout,
        # jobs run in the scratch folder, and no module may come from there
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        told, _ = process.communicate(timeout=setup.time_limit_s)
    except subprocess.TimeoutExpired:
        told = f"{_stop(process)}\nstopped after {setup.time_limit_s:g} s, the time limit"
    except BaseException:
        _stop(process)
        raise
    return "\n".join(told.splitlines()[-LOG_LINES:]) if process.returncode else ""


def _stop(process: subprocess.Popen) -> str:
    """End a process and all that it started; returns what it had printed."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        return process.communicate(timeout=GRACE_S)[0]
    except subprocess.TimeoutExpired:
        return ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _compare(scratch: Path, jobs: Sequence[Record], place: Place) -> list[Finding]:
    """Every file that the jobs should have made against their records."""
    recorded = {name: sha256 for job in jobs for name, sha256 in job.subjects.items()}
    hashed = hash_files(scratch / name for name in recorded)
    made = {name: hashed[scratch / name].sha256 for name in recorded}
    other = {name for name, sha256 in made.items() if sha256 != recorded[name]}
    findings: list[Finding] = []
    for job in jobs:
        record = place.name_of(job.path)
        new = _read_record(scratch / record)
        findings += _differences(job, new, [name for name in job.subjects if name in other])
        stale = sorted(one.name for one in job.inputs if made.get(one.name, one.sha256) != one.sha256)
        for name, sha256 in sorted(job.subjects.items()):
            about = {"check": "reproduce", "file": name}
            # the key that the checkout's rule gives it: that of the record may be forged
            if (new or job).keys.get(name) in TELLS_TIME or name in (named(ROOT), named(PAGE)):
                findings.append(Finding(what="not compared: it tells the time", severity=UNVERIFIED, **about))
            elif made[name] is None:
                what = f"not made again: the job failed, was stopped, or waited for one that was ({job.title})"
                findings.append(Finding(what=what, expected=short(sha256), **about))
            elif name not in other:
                findings.append(Finding(what="byte for byte the same", severity=REPRODUCED, **about))
            elif stale:
                what = f"not compared: it is made from {some(stale)}, which came out different"
                findings.append(Finding(what=what, severity=UNVERIFIED, **about))
            else:
                what = f"differs from what {job.title} made"
                findings.append(Finding(what=what, found=short(made[name]), expected=short(sha256), **about))
        findings.append(
            Finding(check="reproduce", file=record, what="not compared: it tells the time", severity=UNVERIFIED)
        )
    return findings


def _read_record(path: Path) -> Record | None:
    """The record that the job wrote now; None where it did not finish."""
    try:
        return parse_record(path, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, BadRecord):
        return None


def _differences(then: Record, now: Record | None, different: Sequence[str]) -> Iterator[Finding]:
    """Warnings: what was not as it was when the job ran, whether or not that shows in its files."""
    if now is None:
        return
    file = min(then.subjects)
    about: dict[str, Any] = {"check": "reproduce", "file": file, "severity": WARNING}
    changed = {}
    for kind in ("inputs", "code"):
        before, after = ({(one.name, one.sha256) for one in getattr(record, kind)} for record in (then, now))
        changed[kind] = sorted({name for name, _ in before ^ after})
        if changed[kind]:
            yield Finding(what=f"made again with other {kind}: {some(changed[kind])}", **about)
    if then.fingerprint != now.fingerprint and not any(changed.values()):
        what, fix = "made again with other params", "Name the run's config files by --configfile."
        sides = {"found": short(now.fingerprint), "expected": short(then.fingerprint)}
        yield Finding(what=what, fix=fix, **sides, **about)
    if different:
        old, new = _machine(then), _machine(now)
        for key in sorted(key for key in old | new if old.get(key) != new.get(key)):
            sides = {"found": str(new.get(key)), "expected": str(old.get(key))}
            yield Finding(what=f"made again on another machine: {key}", **sides, **about)


def _machine(record: Record) -> dict[str, object]:
    """What of a record's environment may change numbers: versions and hardware, each by its name."""
    packages = record.environment.get("packages")
    named = {f"package {name}": version for name, version in packages.items()} if isinstance(packages, dict) else {}
    return {key: record.environment.get(key) for key in ("python", "cpu", "gpu", "device")} | named
