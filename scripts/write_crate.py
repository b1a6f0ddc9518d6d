"""Write the run as an RO-Crate (rule write_crate)."""

import json
from pathlib import Path

from ctstyle.provenance.crate import write_crate
from ctstyle.provenance.lineage import load_records
from ctstyle.run.job import ROOT, job

if __name__ == "__main__":
    with job(snakemake) as run:
        folder = Path(run.input.sources).parent
        write_crate(
            folder.parent,
            load_records(folder / "records"),
            json.loads(Path(run.input.sources).read_text()),
            workflow_files={name: ROOT / name for name in run.params.files},
            config=run.params.config,
            finals=[run.names.of(path) for path in run.input],
        )
