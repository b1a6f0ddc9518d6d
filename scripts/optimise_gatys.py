"""Carry a few test slices into other styles by optimisation of their pixels (rule optimise_gatys)."""

from pathlib import Path

from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.network import tap_scales
from ctstyle.encoders.weights import Weights
from ctstyle.run.device import place
from ctstyle.run.job import job
from ctstyle.slices.run import SOURCE, open_run
from ctstyle.slices.window import Window
from ctstyle.study.networks import GatysSettings
from ctstyle.study.settings import build
from ctstyle.transfer.gallery import few_pairs, save_stylised, single_styles, test_pairs
from ctstyle.transfer.gatys import Gatys, taps

if __name__ == "__main__":
    with job(snakemake) as run:
        archive, window = open_run(run.input.slices, run.input.split), Window(*run.params.window_hu)
        weights = Weights.load(Path(run.input.weights))
        encoder, settings = build_encoder(weights.encoder, weights.state), build(GatysSettings, run.params.gatys)
        content_tap, style_taps = taps(place(encoder, run.device), settings)
        training = window.to_unit(archive.select(side="train", style=SOURCE).hu())
        scales = tap_scales(encoder, training, (content_tap, *style_taps))
        seconds = save_stylised(
            Gatys(encoder=encoder, settings=settings, scales=scales),
            archive,
            {
                (run.output.hu, run.output.rows): few_pairs(test_pairs(archive, seed=run.seed), archive),
                (run.output.styles_hu, run.output.styles_rows): single_styles(archive, run.params.alphas),
            },
            window,
            identity=False,
            blends=False,
        )
        run.write_cost(run.output.cost, seconds_per_slice=seconds)
