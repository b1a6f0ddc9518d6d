"""Trace one table back to the jobs and files it came from (rule trace_table)."""

from pathlib import Path

import pandas as pd

from ctstyle.provenance.lineage import LABELS, lineage_of, load_records
from ctstyle.provenance.record import write_record
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        records = load_records(Path(run.input.sources).parent / "records")
        table = pd.read_csv(run.input.table, dtype=str, keep_default_na=False)
        rows = table[[name for name in LABELS if name in table]].to_dict("records")
        write_record(run.output.lineage, lineage_of(run.names.of(run.input.table), records.values(), rows=rows))
