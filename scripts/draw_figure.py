"""Draw one figure of ctstyle.study.outputs (rule draw_figure)."""

from ctstyle.paper.drawing import save_figure
from ctstyle.provenance.code import load
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        figure = load(run.params.place)(run.input, run.params.settings)
        save_figure(figure, run.output.png, run.output.pdf, lineage=run.fingerprint)
