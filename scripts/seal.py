"""Seal all results under one digest (rule seal)."""

from datetime import UTC, datetime
from pathlib import Path

from ctstyle.provenance.seal import seal_run
from ctstyle.run.job import ROOT, job

if __name__ == "__main__":
    with job(snakemake) as run:
        seal_run(
            Path(run.output.sums).parents[1],
            finals=[run.names.of(path) for path in run.input],
            root=ROOT,
            created=datetime.now(UTC),
        )
