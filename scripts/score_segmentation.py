"""Count right and wrong pixels of one arm on every labelled test scan (rule score_segmentation)."""

import json
from pathlib import Path

import numpy as np

from ctstyle.measures.segmentation import score_arm
from ctstyle.run.job import job
from ctstyle.slices.run import open_run

if __name__ == "__main__":
    with job(snakemake) as run:
        scores = score_arm(
            np.load(run.input.predictions),
            open_run(run.input.slices, run.input.split),
            arm=run.wildcards.arm,
            seed=run.seed,
            added_slices=json.loads(Path(run.input.about).read_text())["added_slices"],
        )
        scores.to_csv(run.output.scores, sep="\t", index=False)
