"""Make Table 3, the encoders, and the table of their taps (rule make_table3)."""

from pathlib import Path

from ctstyle.paper import captions, comparison
from ctstyle.paper.inputs import read_frames, run_facts
from ctstyle.paper.write import write_table
from ctstyle.run.job import job
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        facts = run_facts(run.params.facts, run.params.intervals, weights=run.input.weights, trunk=run.input.trunk)
        compared = build(captions.ComparedFacts, run.params.compared)
        layers = read_frames(run.input.layers)
        table = comparison.table3(
            read_frames(run.input.scores),
            encoders=comparison.read_encoders(run.input.about, stride=run.params.stride),
            layers=layers,
            intervals=facts.intervals,
        )
        write_table(
            table,
            Path(run.output.csv).with_suffix(""),
            captions.table3_notes(facts, table, compared),
            lineage=run.fingerprint,
        )
        taps = comparison.taps(layers)
        write_table(
            taps, Path(run.output.taps).with_suffix(""), captions.taps_notes(facts, taps), lineage=run.fingerprint
        )
