"""Fetch the CT and the vertebra labels of one scan of a public collection (rule fetch_volumes)."""

from pathlib import Path

from ctstyle.provenance.code import load
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        load(run.params.place)(run.params.pinned, run.params.address, Path(run.output.ct).parents[1])
