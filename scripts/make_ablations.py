"""Make the table of ablations, and draw a figure for each question (rule make_ablations)."""

from pathlib import Path

import pandas as pd

from ctstyle.paper import ablations, captions
from ctstyle.paper.ablation_curves import save_curves
from ctstyle.paper.inputs import look, read_frames, run_facts
from ctstyle.paper.write import write_table
from ctstyle.run.job import job
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        facts = run_facts(run.params.facts, {}, weights=run.input.weights, trunk=run.input.trunk)
        asked = pd.DataFrame(run.params.asked)
        chains = ablations.by_seed(*(read_frames(run.input[name]) for name in ("segmentation", "structure", "painted")))
        table = ablations.table(chains, asked)
        notes = captions.ablations_notes(facts, table, build(captions.AblationFacts, run.params.small))
        write_table(table, Path(run.output.csv).with_suffix(""), notes, lineage=run.fingerprint)
        save_curves(chains, asked, look(run.params.slices), run.output.png, run.output.pdf, lineage=run.fingerprint)
