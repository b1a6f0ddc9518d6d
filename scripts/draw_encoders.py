"""Draw Figure 8 or 9, the outputs of the six encoders under one content loss (rule draw_encoders)."""

import numpy as np

from ctstyle.paper.drawing import save_figure
from ctstyle.paper.examples import transfer_examples
from ctstyle.paper.figures import figure5
from ctstyle.paper.inputs import look, read_frames
from ctstyle.paper.measures import ENCODER_LABELS
from ctstyle.run.job import job
from ctstyle.slices.run import open_run

if __name__ == "__main__":
    with job(snakemake) as run:
        archive = open_run(run.input.slices, run.input.split).at_size(run.params.size_px)
        generated = dict(zip(run.params.encoders, map(np.load, run.input.hu)))
        rows = dict(zip(run.params.encoders, read_frames(run.input.rows)))
        figure = figure5(transfer_examples(archive, generated, rows), look(run.params.slices), ENCODER_LABELS)
        save_figure(figure, run.output.png, run.output.pdf, lineage=run.fingerprint)
