"""Measure how different a generator's grey scales are to a classifier: CIS (rule score_cis)."""

from pathlib import Path

import numpy as np
import pandas as pd

from ctstyle.measures.cis import score_generated
from ctstyle.measures.classifier import Classifier
from ctstyle.measures.evaluate import slice_lookup
from ctstyle.run.job import job
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window

if __name__ == "__main__":
    with job(snakemake) as run:
        window = Window(*run.params.window_hu)
        classifier = Classifier.load(Path(run.input.classifier), device=run.device)
        scores, probabilities = score_generated(
            np.load(run.input.hu),
            pd.read_csv(run.input.rows, sep="\t", keep_default_na=False),
            lookup=slice_lookup(open_run(run.input.slices, run.input.split)),
            classify=lambda hu: classifier.probabilities(window.to_unit(hu)),
            classes=classifier.classes,
        )
        scores.to_csv(run.output.cis, sep="\t", index=False, float_format="%.6g")
        probabilities.to_csv(run.output.probabilities, sep="\t", index=False, float_format="%.6g")
