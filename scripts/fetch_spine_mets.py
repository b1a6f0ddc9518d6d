"""Fetch the CT and the segmentation of one patient of Spine-Mets-CT-SEG (rule fetch_spine_mets)."""

from pathlib import Path

from ctstyle.cohorts import spine_mets
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        spine_mets.fetch(run.params.pinned, run.params.address, Path(run.output.series).parent)
