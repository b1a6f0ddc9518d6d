"""Write what to do on this cohort (rule write_answer)."""

from pathlib import Path

from ctstyle.paper.answer import answer
from ctstyle.paper.inputs import read_frames
from ctstyle.provenance.record import write_whole
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        table2, tests, costs = read_frames([run.input.table2, run.input.tests, run.input.costs], separator=",")
        text = answer(table2, tests, costs, margin_points=run.params.margin_points, facts=run.params.facts)
        write_whole(Path(run.output.answer), text)
