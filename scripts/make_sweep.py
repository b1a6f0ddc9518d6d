"""Make the tables of style weights and of layer lists, and draw both (rule make_sweep)."""

from pathlib import Path

from ctstyle.encoders.plan import TapLists
from ctstyle.paper import captions, comparison
from ctstyle.paper.curves import sweep_curves
from ctstyle.paper.drawing import save_figure
from ctstyle.paper.inputs import look, read_frames, run_facts
from ctstyle.paper.write import write_table
from ctstyle.run.job import job
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        facts = run_facts(run.params.facts, run.params.intervals, weights=run.input.weights, trunk=run.input.trunk)
        compared = build(captions.ComparedFacts, run.params.compared)
        sweep = comparison.sweep(read_frames(run.input.sweep), facts.intervals)
        write_table(
            sweep,
            Path(run.output.csv).with_suffix(""),
            captions.sweep_notes(facts, sweep, compared),
            lineage=run.fingerprint,
        )
        selected = TapLists.load(Path(run.input.taps))
        lists = comparison.lists(read_frames(run.input.lists), facts.encoder, selected, facts.intervals)
        write_table(
            lists,
            Path(run.output.lists).with_suffix(""),
            captions.lists_notes(facts, lists, compared),
            lineage=run.fingerprint,
        )
        save_figure(
            sweep_curves(sweep.frame, look(run.params.slices)), run.output.png, run.output.pdf, lineage=run.fingerprint
        )
