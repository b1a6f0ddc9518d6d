"""Make one table of ctstyle.study.outputs (rule make_table)."""

from pathlib import Path

from ctstyle.paper.write import write_table
from ctstyle.provenance.code import load
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        table, notes = load(run.params.place)(run.input, run.params.settings)
        write_table(table, Path(run.output.csv).with_suffix(""), notes, lineage=run.fingerprint)
