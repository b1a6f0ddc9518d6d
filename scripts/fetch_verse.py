"""Fetch the CT and the vertebra labels of one scan of VerSe (rule fetch_verse)."""

from pathlib import Path

from ctstyle.cohorts import verse
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        verse.fetch(run.params.pinned, run.params.address, Path(run.output.ct).parents[1])
