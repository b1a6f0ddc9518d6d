"""Carry test slices into every style, and one slice into single styles (rule stylise_test)."""

from pathlib import Path

from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.run.device import place
from ctstyle.run.job import job
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.transfer.apply import load_model
from ctstyle.transfer.gallery import save_stylised, single_styles, test_pairs
from ctstyle.transfer.generator import Generator

if __name__ == "__main__":
    with job(snakemake) as run:
        archive, window = open_run(run.input.slices, run.input.split), Window(*run.params.window_hu)
        weights = Weights.load(Path(run.input.weights))
        model = load_model(Path(run.input.generator), place(build_encoder(weights.encoder, weights.state), run.device))
        has_style_input = isinstance(model, Generator)
        seconds = save_stylised(
            model,
            archive,
            {
                (run.output.hu, run.output.rows): test_pairs(archive, seed=run.seed),
                (run.output.styles_hu, run.output.styles_rows): single_styles(archive, run.params.alphas),
            },
            window,
            identity=has_style_input,
            blends=has_style_input,
        )
        run.write_cost(run.output.cost, seconds_per_slice=seconds)
