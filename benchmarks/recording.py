"""What the records and the starts of a run cost: seconds of both beside the seconds of the jobs.

    python -m benchmarks.recording results

Reads what `ctstyle.run.job` wrote into the logs of a finished run, and Snakemake into its benchmarks. A job's seconds
hold the start of Python, all imports and the end of the process: what lies outside the first and last line of its log,
which tell whole seconds (right on average). Hashing is counted whether the digest was remembered or not.
"""

import csv
import re
import sys
from pathlib import Path

SPENT = re.compile(r"(?:inputs hashed|outputs recorded) in (\d+\.\d+) s")
STAMP = re.compile(r"^(\d\d):(\d\d):(\d\d) ", flags=re.MULTILINE)


def spent_s(log: Path) -> float:
    """Seconds of hashing and recording that a job's log tells."""
    return sum(float(found) for found in SPENT.findall(log.read_text(errors="replace")))


def job_s(benchmark: Path) -> float:
    """Seconds of a job by Snakemake's benchmark."""
    with benchmark.open(newline="") as stream:
        return float(next(csv.DictReader(stream, delimiter="\t"))["s"])


def logged_s(log: Path) -> float:
    """Seconds from the first to the last line of a job's log."""
    told = [[int(part) for part in found.groups()] for found in STAMP.finditer(log.read_text(errors="replace"))]
    seconds = [3600 * hours + 60 * minutes + rest for hours, minutes, rest in told]
    return (seconds[-1] - seconds[0]) % 86400


def main(results: Path) -> None:
    """Print the sums over all jobs, their share, and the jobs that spent most."""
    of_jobs = {path.relative_to(results / "logs"): spent_s(path) for path in (results / "logs").rglob("*.log")}
    took = {path.relative_to(results / "benchmarks"): job_s(path) for path in (results / "benchmarks").rglob("*.tsv")}
    total, recording = sum(took.values()), sum(of_jobs.values())
    starts = total - sum(logged_s(results / "logs" / name.with_suffix(".log")) for name in took)
    print(f"{len(of_jobs)} jobs, {total:.0f} s; hashing and recording {recording:.1f} s: {recording / total:.2%}")
    print(f"process starts, imports and ends {starts:.0f} s: {starts / total:.1%}")
    for name in sorted(of_jobs, key=of_jobs.get, reverse=True)[:5]:
        print(f"  {of_jobs[name]:.3f} s  {name.with_suffix('')}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "logs").is_dir():
        sys.exit("usage: python -m benchmarks.recording RESULTS (a finished run, with its logs and benchmarks)")
    main(Path(sys.argv[1]))
