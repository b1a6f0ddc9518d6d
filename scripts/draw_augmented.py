"""Draw labelled slices that an arm adds to the training, with their masks (rule draw_augmented)."""

import numpy as np

from ctstyle.paper.drawing import save_figure
from ctstyle.paper.examples import augmented_examples
from ctstyle.paper.figures import augmented
from ctstyle.paper.inputs import look, read_frames
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        hu, labels = np.load(run.input.hu), np.load(run.input.labels)
        examples = augmented_examples(hu, labels, read_frames([run.input.rows])[0])
        save_figure(
            augmented(examples, look(run.params.slices)), run.output.png, run.output.pdf, lineage=run.fingerprint
        )
