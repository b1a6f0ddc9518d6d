"""Measure what one generator keeps and reaches on test slices, and how its grey scales differ (rule score_transfer)."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ctstyle.encoders.weights import Weights
from ctstyle.measures.cis import score_generated
from ctstyle.measures.classifier import Classifier
from ctstyle.measures.evaluate import diversity_frame, slice_lookup, transfer_frame
from ctstyle.measures.perceptual import build_lpips
from ctstyle.run.job import job
from ctstyle.segment.unet import load_unet, predict
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window

if __name__ == "__main__":
    with job(snakemake) as run:
        window = Window(*run.params.window_hu)
        trunk = Weights.load(Path(run.input.trunk))
        perceptual = build_lpips("vgg", trunk.state, trunk=trunk.true_name, device=run.device)
        oracle, _ = load_unet(Path(run.input.oracle))
        hu, rows = np.load(run.input.hu), pd.read_csv(run.input.rows, sep="\t", keep_default_na=False)
        lookup = slice_lookup(open_run(run.input.slices, run.input.split))
        scores = transfer_frame(
            hu,
            rows,
            lookup=lookup,
            window=window,
            perceptual=perceptual,
            segmenter=partial(predict, oracle.to(run.device), window=window, device=run.device),
        )
        scores.to_csv(run.output.scores, sep="\t", index=False, float_format="%.6g")
        diversity = diversity_frame(hu, rows, window=window, perceptual=perceptual)
        diversity.to_csv(run.output.diversity, sep="\t", index=False, float_format="%.6g")
        classifier = Classifier.load(Path(run.input.classifier), device=run.device)
        cis, probabilities = score_generated(
            hu,
            rows,
            lookup=lookup,
            classify=lambda hu: classifier.probabilities(window.to_unit(hu)),
            classes=classifier.classes,
        )
        cis.to_csv(run.output.cis, sep="\t", index=False, float_format="%.6g")
        probabilities.to_csv(run.output.probabilities, sep="\t", index=False, float_format="%.6g")
