"""List every file that no job made, with its digests (rule list_sources)."""

from ctstyle.cohorts.sources import of_run, write_manifest
from ctstyle.provenance.record import files_by_key
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        files = files_by_key(run.input)
        entries = of_run(
            run.params.scans,
            weights=files.get("weights", []),
            configs=run.params.configs,
            sheets=files.get("sheets", []),
            names=run.names,
        )
        write_manifest(run.output.sources, entries)
