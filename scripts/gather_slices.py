"""Lay the slices of all scans into one archive (rule gather_slices)."""

from pathlib import Path

from ctstyle.run.job import job
from ctstyle.slices.archive import ScanFiles, gather

if __name__ == "__main__":
    with job(snakemake) as run:
        files = ScanFiles(
            hu=Path(run.output.hu),
            labels=Path(run.output.labels),
            rows=Path(run.output.rows),
            about=Path(run.output.about),
        )
        gather((path for path in run.input.slices if path.endswith(".hu.npy")), files)
