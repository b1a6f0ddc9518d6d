"""Make Table 2 (rule make_table2)."""

from pathlib import Path

from ctstyle.job import job
from ctstyle.paper import captions
from ctstyle.paper.inputs import read_frames, run_facts
from ctstyle.paper.tables import table2
from ctstyle.paper.write import write_table

if __name__ == "__main__":
    with job(snakemake) as run:
        facts = run_facts(run.params.facts, run.params.bootstrap, weights=run.input.weights, trunk=run.input.trunk)
        table = table2(read_frames(run.input.segmentation), facts.bootstrap)
        write_table(
            table, Path(run.output.csv).with_suffix(""), captions.table2_notes(facts, table), lineage=run.fingerprint
        )
