"""Draw Figure 7, the segmentations (rule draw_figure7)."""

import numpy as np

from ctstyle.paper.drawing import save_figure
from ctstyle.paper.examples import segmentation_examples
from ctstyle.paper.figures import figure7
from ctstyle.paper.inputs import look, read_frames
from ctstyle.run.job import job
from ctstyle.slices.run import open_run

if __name__ == "__main__":
    with job(snakemake) as run:
        test = open_run(run.input.slices, run.input.split).select(side="test")
        predictions = dict(zip(run.params.arms, map(np.load, run.input.predictions)))
        (split,) = read_frames([run.input.split])
        figure = figure7(segmentation_examples(test, split, predictions), look(run.params.slices))
        save_figure(figure, run.output.png, run.output.pdf, lineage=run.fingerprint)
