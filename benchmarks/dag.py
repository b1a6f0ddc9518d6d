"""How Snakemake's planning grows: seconds and memory of a dry run over scans and seeds.

    python -m benchmarks.dag

Dry runs of the quick configuration with more virtual patients and seeds, in an empty folder, one after the other.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZES = ((50, 1), (500, 1), (500, 3), (2000, 3))
"""Training scans beside those of the quick run's test patients, and seeds."""


def dry_run(folder: Path, scans: int, seeds: int) -> tuple[int, float, float]:
    """Jobs, seconds and MB of one dry run."""
    config = folder / f"{scans}-{seeds}.yaml"
    config.write_text(f"phantom: {{train: {{standard: {scans}}}}}\nseeds: {list(range(seeds))}\n")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--dry-run", "--configfile", str(config)], capture_output=True, text=True, check=True
    )
    seconds = time.monotonic() - began
    jobs = int(re.search(r"^total\s+(\d+)", done.stdout + done.stderr, flags=re.MULTILINE)[1])
    return jobs, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Print one line per size; memory is the largest of the dry runs so far, and they grow."""
    print("scans  seeds   jobs  seconds    MB")
    with tempfile.TemporaryDirectory() as scratch:
        for scans, seeds in SIZES:
            jobs, seconds, memory_mb = dry_run(Path(scratch), scans, seeds)
            print(f"{scans:5}  {seeds:5}  {jobs:5}  {seconds:7.1f}  {memory_mb:4.0f}", flush=True)


if __name__ == "__main__":
    main()
