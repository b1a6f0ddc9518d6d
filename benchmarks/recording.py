"""What the records of a run cost: seconds of hashing and recording beside the seconds of the jobs.

    python -m benchmarks.recording results

Reads what `ctstyle.job` wrote into the logs and Snakemake into the benchmarks of a finished run. A job's own seconds
hold the start of Python and all imports; hashing is counted whether the digest was remembered or not.
"""

import csv
import re
import sys
from pathlib import Path

SPENT = re.compile(r"(?:inputs hashed|outputs recorded) in (\d+\.\d+) s")


def spent_s(log: Path) -> float:
    """Seconds of hashing and recording that a job's log tells."""
    return sum(float(found) for found in SPENT.findall(log.read_text(errors="replace")))


def job_s(benchmark: Path) -> float:
    """Seconds of a job by Snakemake's benchmark."""
    with benchmark.open(newline="") as stream:
        return float(next(csv.DictReader(stream, delimiter="\t"))["s"])


def main(results: Path) -> None:
    """Print the sums over all jobs, their share, and the jobs that spent most."""
    of_jobs = {path.relative_to(results / "logs"): spent_s(path) for path in (results / "logs").rglob("*.log")}
    total = sum(job_s(path) for path in (results / "benchmarks").rglob("*.tsv"))
    recording = sum(of_jobs.values())
    print(f"{len(of_jobs)} jobs, {total:.0f} s; hashing and recording {recording:.1f} s: {recording / total:.2%}")
    for name in sorted(of_jobs, key=of_jobs.get, reverse=True)[:5]:
        print(f"  {of_jobs[name]:.3f} s  {name.with_suffix('')}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "logs").is_dir():
        sys.exit("usage: python -m benchmarks.recording RESULTS (a finished run, with its logs and benchmarks)")
    main(Path(sys.argv[1]))
