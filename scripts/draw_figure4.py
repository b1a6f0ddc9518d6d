"""Draw Figure 4, the grey scales of the cohort (rule draw_figure4)."""

from ctstyle.paper.drawing import save_figure
from ctstyle.paper.examples import grey_scales
from ctstyle.paper.figures import figure4
from ctstyle.paper.inputs import look
from ctstyle.run.job import job
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window

if __name__ == "__main__":
    with job(snakemake) as run:
        archive = open_run(run.input.slices, run.input.split)
        examples, values, scans = grey_scales(archive, Window(*run.params.slices["window_hu"]))
        figure = figure4(examples, values, scans, look(run.params.slices))
        save_figure(figure, run.output.png, run.output.pdf, lineage=run.fingerprint)
