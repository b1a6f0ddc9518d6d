"""Write the table of scans that pins a public collection (rule list_collection)."""

from pathlib import Path

from ctstyle.cohorts.catalogue import chosen
from ctstyle.provenance.code import load
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        name = run.wildcards.collection
        load(run.params.place)(chosen({name: run.params.settings}, name), Path(run.output.scans))
