"""Write the errata of the paper (rule print_errata)."""

from pathlib import Path

from ctstyle.paper.errata import errata
from ctstyle.paper.text_table import write_text_table
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        table, notes = errata()
        write_text_table(table, Path(run.output.csv).with_suffix(""), notes, lineage=run.fingerprint)
