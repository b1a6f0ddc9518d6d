"""Carry test slices into every style, and one slice into single styles (rule stylise_test)."""

from pathlib import Path

import numpy as np

from ctstyle.encoders.registry import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.job import job
from ctstyle.slices.window import Window
from ctstyle.styles.find import open_run
from ctstyle.transfer.gallery import single_styles, stylise_rows, test_pairs
from ctstyle.transfer.generator import Generator

if __name__ == "__main__":
    with job(snakemake) as run:
        archive, window = open_run(run.input.slices, run.input.split), Window(*run.params.window_hu)
        weights = Weights.load(Path(run.input.weights))
        encoder = build_encoder(weights.encoder, weights.state).to(run.device)
        generator = Generator.load(Path(run.input.generator), encoder)
        for rows, hu_path, rows_path in (
            (test_pairs(archive, seed=run.seed), run.output.hu, run.output.rows),
            (single_styles(archive, run.params.alphas), run.output.styles_hu, run.output.styles_rows),
        ):
            np.save(hu_path, stylise_rows(generator, archive, rows, window))
            rows.to_csv(rows_path, sep="\t", index=False)
