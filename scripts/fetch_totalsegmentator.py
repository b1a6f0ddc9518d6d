"""Fetch the CT and the vertebra labels of one subject of TotalSegmentator (rule fetch_totalsegmentator)."""

from pathlib import Path

from ctstyle.cohorts import totalsegmentator
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        totalsegmentator.fetch(run.params.pinned, run.params.address, Path(run.output.ct).parents[1])
