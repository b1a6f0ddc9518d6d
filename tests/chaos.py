"""Kill a run again and again, and see whether it ends as if nobody had touched it: `make chaos RUNS=n`.

Each run works in a folder on a small file system of its own (a tmpfs, as root) and is struck up to five times at a
random moment: SIGKILL for Snakemake, for a running job or for both, a disk that fills up, a disk that turns read-only.
After the last strike it runs undisturbed. Then the tables must be those of an undisturbed run byte for byte, no
temporary file and no lock may be left, and the audit must be sound. One line per run goes into docs/chaos.tsv.
"""

import argparse
import contextlib
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "tests" / "config" / "chaos.yaml"
RESULTS = Path("results") / "chaos"
TABLES = ("metrics/segmentation/plain-seed0.tsv", "transfer/ours/seed0/history.tsv")
LEDGER = ROOT / "docs" / "chaos.tsv"
COLUMNS = ("started", "commit", "seed", "strikes", "starts", "seconds", "undisturbed_seconds", "verdict")
STRIKES = ("kill snakemake", "kill a job", "kill both", "disk full", "read-only")
MOST_STRIKES = 5
DISK_MB = 400
LIMIT_S = 600
"""Longest one start may take; a run that hangs is a failure."""


@dataclass
class Trial:
    """One run: where it works, what struck it, how often it was started, and what is wrong with its end."""

    folder: Path
    strikes: list[str] = field(default_factory=list)
    starts: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.folder / RESULTS

    def snakemake(self, *arguments: str) -> list[str]:
        """The command line of this run's Snakemake."""
        command = [sys.executable, "-m", "snakemake", *arguments, "--snakefile", str(ROOT / "Snakefile")]
        command += ["--cores", "2", "--directory", str(self.folder), "--configfile", str(CONFIG), "--quiet", "all"]
        return [*command, "--default-resources", "save_every_s=0"]

    def start(self) -> subprocess.Popen:
        """Start Snakemake on the tables, after taking away the lock that a killed one left."""
        subprocess.run(self.snakemake("--unlock"), cwd=ROOT, capture_output=True, check=False)
        self.starts += 1
        log = (self.folder.parent / f"start{self.starts}.log").open("w")
        targets = [str(RESULTS / name) for name in (*TABLES, "provenance/sources.json")]
        return subprocess.Popen(self.snakemake(*targets), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)

    def jobs(self) -> list[int]:
        """The processes that run this folder's job scripts, orphans among them."""
        found = []
        for process in Path("/proc").iterdir():
            try:
                command = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(part.startswith(f"{self.folder}/.snakemake/scripts/".encode()) for part in command):
                found.append(int(process.name))
        return found


def strike(trial: Trial, running: subprocess.Popen, kind: str, rng: random.Random) -> None:
    """Do one of STRIKES to a run; it has ended when this returns, its orphans not always."""
    if kind == "disk full":
        with filled(trial.folder):
            running.wait(LIMIT_S)
        return
    if kind in ("kill snakemake", "kill both", "read-only"):
        running.kill()
    jobs = trial.jobs()
    if kind in ("kill a job", "kill both") and jobs:
        kill(rng.choice(jobs))
    if kind == "read-only":
        for process in jobs:
            kill(process)
        running.wait(LIMIT_S)
        with read_only(trial.folder):
            refused = trial.start().wait(LIMIT_S)
        if refused == 0:
            trial.faults.append("a run on a read-only disk said that it succeeded")
    running.wait(LIMIT_S)


def kill(process: int) -> None:
    """SIGKILL; a process that ended by itself is left alone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """The file system of a folder without a free byte."""
    ballast = folder / ".ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The file system of a folder, mounted read-only; nothing may be open for writing there."""
    until = time.monotonic() + 20
    while subprocess.run(["mount", "-o", "remount,ro", str(folder)], capture_output=True, check=False).returncode:
        if time.monotonic() > until:
            raise RuntimeError(f"{folder} is still written to by a process that should be dead")
        time.sleep(0.2)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)


@contextlib.contextmanager
def small_disk(parent: Path) -> Iterator[Path]:
    """A folder on a tmpfs of DISK_MB, or a plain one where this process may not mount."""
    folder = parent / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_MB}m", "ctstyle-chaos"]
    mounted = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def tables(trial: Trial) -> dict[str, bytes]:
    """The bytes of the tables; of one that is not there, none."""
    return {name: path.read_bytes() for name in TABLES if (path := trial.results / name).exists()}


def faults_at_the_end(trial: Trial, expected: dict[str, bytes]) -> list[str]:
    """What is wrong with a run that has ended: other tables, leftovers, locks, an audit that is not sound."""
    found = tables(trial)
    faults = [
        f"{name} is {'another' if name in found else 'missing'}" for name in TABLES if found.get(name) != expected[name]
    ]
    hidden = [*trial.results.rglob(".*"), *trial.results.rglob("*.tmp"), *trial.results.rglob("*.part")]
    faults += [f"left over: {path.relative_to(trial.folder)}" for path in hidden]
    kept = trial.folder / ".snakemake"
    locked = [path for name in ("locks", "incomplete") for path in (kept / name).glob("*")]
    faults += [f"left over: {path.relative_to(trial.folder)}" for path in locked]
    faults += [f"process {process} still runs" for process in trial.jobs()]
    asked = [str(trial.results / name) for name in TABLES]
    audit = [sys.executable, "-S", "-m", "ctstyle.audit", *asked, "--checkout", str(ROOT)]
    told = subprocess.run(audit, cwd=ROOT, capture_output=True, text=True, check=False)
    if told.returncode:
        faults.append("audit: " + " | ".join(line for line in told.stdout.splitlines() if line.startswith("broken")))
    return faults


def run_trial(folder: Path, expected: dict[str, bytes], seconds: float, strikes: int, rng: random.Random) -> Trial:
    """Start, strike at a random moment, start again, until the run has ended by itself after its last strike.

    `seconds` is how long an undisturbed run takes: moments are drawn within what of it may still be left.
    """
    trial = Trial(folder)
    kinds = STRIKES if os.path.ismount(folder) else [kind for kind in STRIKES if kind.startswith("kill")]
    for _ in range(strikes):
        running = trial.start()
        moment, kind = rng.uniform(1, 0.8 * seconds), rng.choice(kinds)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(moment)
            break  # it was done before
        trial.strikes.append(f"{kind} after {moment:.1f} s")
        strike(trial, running, kind, rng)
    status = trial.start().wait(LIMIT_S)
    if status:
        trial.faults.append(f"the last start ended with {status}")
    trial.faults += faults_at_the_end(trial, expected)
    return trial


def main(arguments: list[str] | None = None) -> int:
    """Do the runs, print a line for each and append it to the ledger; exit 1 if one ended wrong."""
    parser = argparse.ArgumentParser(prog="tests/chaos.py", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1, help="how many runs (1)")
    parser.add_argument("--strikes", type=int, default=0, help=f"strikes of each run (0: one to {MOST_STRIKES}, drawn)")
    parser.add_argument("--seed", type=int, default=None, help="decides what strikes when (default: the clock)")
    parser.add_argument("--ledger", type=Path, default=LEDGER, help="where the lines go (docs/chaos.tsv)")
    asked = parser.parse_args(arguments)
    first = int(time.time()) if asked.seed is None else asked.seed
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="ctstyle-chaos-") as scratch:
        calm = Trial(Path(scratch) / "calm")
        calm.folder.mkdir()
        began = time.monotonic()
        if calm.start().wait(LIMIT_S):
            print((calm.folder.parent / "start1.log").read_text()[-3000:], file=sys.stderr)
            return 1
        seconds = time.monotonic() - began
        expected = tables(calm)
        print(f"undisturbed: {seconds:.0f} s", flush=True)
        for number in range(asked.runs):
            rng = random.Random(first + number)
            place = Path(scratch) / f"run{number}"
            place.mkdir()
            began, started = time.monotonic(), datetime.now(UTC)
            with small_disk(place) as folder:
                trial = run_trial(folder, expected, seconds, asked.strikes or rng.randint(1, MOST_STRIKES), rng)
            row = {
                "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "commit": commit(),
                "seed": first + number,
                "strikes": "; ".join(trial.strikes),
                "starts": trial.starts,
                "seconds": round(time.monotonic() - began),
                "undisturbed_seconds": round(seconds),
                "verdict": "; ".join(trial.faults) or "as undisturbed",
            }
            if trial.strikes or trial.faults:
                append(asked.ledger, row)
            else:
                print("it was done before the first strike, and does not count", flush=True)
            print(" | ".join(map(str, row.values())), flush=True)
            if trial.faults:
                wrong += 1
                print((place / f"start{trial.starts}.log").read_text()[-3000:], file=sys.stderr)
            shutil.rmtree(place, ignore_errors=True)
    return int(wrong > 0)


def commit() -> str:
    """The commit of this checkout, with a plus for changes since."""
    ask = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def append(ledger: Path, row: dict[str, object]) -> None:
    """One more line."""
    new = not ledger.exists()
    with ledger.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    sys.exit(main())
