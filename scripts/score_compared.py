"""Carry test slices into every style with one generator of the comparison, and score them (rule score_compared)."""

from pathlib import Path

import numpy as np

from ctstyle.device import place
from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.job import job
from ctstyle.metrics.evaluate import slice_lookup, transfer_frame
from ctstyle.slices.window import Window
from ctstyle.styles.run import open_run
from ctstyle.transfer.comparison import COLUMNS
from ctstyle.transfer.gallery import stylise_rows, test_pairs
from ctstyle.transfer.generator import Generator

if __name__ == "__main__":
    with job(snakemake) as run:
        archive = open_run(run.input.slices, run.input.split).at_size(run.params.size_px)
        window, weights = Window(*run.params.window_hu), Weights.load(Path(run.input.weights))
        encoder = place(build_encoder(weights.encoder, weights.state), run.device)
        rows = test_pairs(archive, seed=run.seed)
        hu = stylise_rows(Generator.load(Path(run.input.generator), encoder), archive, rows, window)
        scores = transfer_frame(
            hu, rows, lookup=slice_lookup(archive), window=window, perceptual=None, segmenter=None
        ).assign(**{name: run.wildcards[name] for name in COLUMNS}, seed=run.seed)
        np.save(run.output.hu, hu)
        rows.to_csv(run.output.rows, sep="\t", index=False)
        scores.to_csv(run.output.scores, sep="\t", index=False, float_format="%.6g")
