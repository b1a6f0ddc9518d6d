"""Draw Figure 6, several styles from single targets (rule draw_figure6)."""

import numpy as np

from ctstyle.paper.drawing import save_figure
from ctstyle.paper.examples import style_examples
from ctstyle.paper.figures import figure6
from ctstyle.paper.inputs import look, read_frames
from ctstyle.run.job import job
from ctstyle.slices.run import open_run

if __name__ == "__main__":
    with job(snakemake) as run:
        archive = open_run(run.input.slices, run.input.split)
        generated = dict(zip(run.params.models, map(np.load, run.input.hu)))
        rows = dict(zip(run.params.models, read_frames(run.input.rows)))
        figure = figure6(*style_examples(archive, generated, rows), look(run.params.slices))
        save_figure(figure, run.output.png, run.output.pdf, lineage=run.fingerprint)
