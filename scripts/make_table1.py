"""Make Table 1 (rule make_table1)."""

import json
from pathlib import Path

from ctstyle.paper import captions
from ctstyle.paper.inputs import in_groups, read_frames, run_facts
from ctstyle.paper.tables import table1
from ctstyle.paper.write import write_table
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        facts = run_facts(run.params.facts, run.params.intervals, weights=run.input.weights, trunk=run.input.trunk)
        transfer = in_groups(run.params.models, read_frames(run.input.transfer))
        diversity = in_groups(run.params.models, read_frames(run.input.diversity))
        cis = in_groups(run.params.models, read_frames(run.input.cis))
        classifier = json.loads(Path(run.input.classifier).read_text())
        table = table1(transfer, diversity, cis, facts.intervals, near_chance=classifier["near_chance"])
        notes = captions.table1_notes(facts, table, captions.cis_note(classifier, cis))
        write_table(table, Path(run.output.csv).with_suffix(""), notes, lineage=run.fingerprint)
