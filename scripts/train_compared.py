"""Train one generator of the comparison, carry test slices into every style and score them (rule train_compared)."""

from pathlib import Path

import numpy as np

from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.plan import TapLists
from ctstyle.encoders.weights import Weights
from ctstyle.measures.evaluate import slice_lookup, transfer_frame
from ctstyle.run.device import place
from ctstyle.run.job import job
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.comparison import COLUMNS
from ctstyle.study.networks import TransferSettings
from ctstyle.study.settings import build
from ctstyle.transfer.features import Material
from ctstyle.transfer.gallery import stylise_rows, test_pairs
from ctstyle.transfer.generator import Generator
from ctstyle.transfer.train import train, with_layers

if __name__ == "__main__":
    with job(snakemake) as run:
        archive = open_run(run.input.slices, run.input.split).at_size(run.params.size_px)
        window, weights = Window(*run.params.window_hu), Weights.load(Path(run.input.weights))
        encoder = place(build_encoder(weights.encoder, weights.state), run.device)
        selected = TapLists.load(Path(run.input.taps)) if run.input.get("taps") else None
        start = Generator.load(Path(run.input.decoder), encoder)
        settings = build(TransferSettings, run.params.transfer)
        settings = with_layers(settings, run.wildcards.layers, encoder.spec, selected)
        model, material = run.wildcards.model, Material.of(archive, window)
        generator, history = train(start, model, settings, material, seed=run.seed, checkpoint=run.checkpoint)
        generator.save(Path(run.output.generator), weights=weights.true_name, model=model)
        history.to_csv(run.output.history, sep="\t", index=False, float_format="%.8g")
        run.write_cost(run.output.cost, steps=len(history), seconds_per_step=history.attrs["seconds_per_step"])
        rows = test_pairs(archive, seed=run.seed)
        hu = stylise_rows(generator, archive, rows, window)
        frame = transfer_frame(hu, rows, lookup=slice_lookup(archive), window=window, perceptual=None, segmenter=None)
        frame = frame.assign(**{name: run.wildcards[name] for name in COLUMNS}, seed=run.seed)
        np.save(run.output.hu, hu)
        rows.to_csv(run.output.rows, sep="\t", index=False)
        frame.to_csv(run.output.scores, sep="\t", index=False, float_format="%.6g")
