"""Make Table 2, the table of tests and the figure of ranks (rule make_table2)."""

from pathlib import Path

from ctstyle.paper import captions
from ctstyle.paper.domains import domains
from ctstyle.paper.drawing import save_figure
from ctstyle.paper.inputs import look, read_frames, run_facts
from ctstyle.paper.rank_plot import rank_plot
from ctstyle.paper.significance import significance
from ctstyle.paper.tables import table2
from ctstyle.paper.write import write_table
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        facts = run_facts(run.params.facts, run.params.intervals, weights=run.input.weights, trunk=run.input.trunk)
        scored = domains(read_frames(run.input.segmentation), "Table 2")
        table = table2(scored, facts.intervals)
        notes = captions.table2_notes(facts, table)
        write_table(table, Path(run.output.csv).with_suffix(""), notes, lineage=run.fingerprint)
        table = significance(scored, facts.intervals, run.params.margin_points)
        notes = captions.significance_notes(facts, table, run.params.margin_points)
        write_table(table, Path(run.output.tests).with_suffix(""), notes, lineage=run.fingerprint)
        figure = rank_plot(scored, facts.intervals, look(run.params.slices))
        save_figure(figure, run.output.png, run.output.pdf, lineage=run.fingerprint)
