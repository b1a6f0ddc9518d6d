"""Write the paper's own Tables 1 and 2 (rule print_paper_tables)."""

from pathlib import Path

from ctstyle.paper.printed import printed_table1, printed_table2
from ctstyle.paper.write import Notes, write_table
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        for number, printed in enumerate((printed_table1, printed_table2), start=1):
            table, notes = printed()
            stem = Path(run.output[f"table{number}"]).with_suffix("")
            write_table(
                table, stem, Notes("As printed in the paper", notes, number=f"Table {number}"), lineage=run.fingerprint
            )
