"""Judge the claims of the paper by the tables of this run (rule make_claims)."""

from pathlib import Path

from ctstyle.paper.claims import claims, read_claim_inputs
from ctstyle.paper.text_table import write_text_table
from ctstyle.run.job import job

NAMES = ("table1", "table2", "table3", "sweep", "costs", "layers", "transfer")

if __name__ == "__main__":
    with job(snakemake) as run:
        # Each input is optional: a path, a list of paths, or an empty list where the run made no such table.
        found = {name: run.input.get(name, []) for name in NAMES}
        paths = {name: [files] if isinstance(files, str) else files for name, files in found.items()}
        table, notes = claims(read_claim_inputs(paths))
        write_text_table(table, Path(run.output.csv).with_suffix(""), notes, lineage=run.fingerprint)
