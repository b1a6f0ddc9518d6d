"""Train one style-transfer generator (rule train_transfer)."""

from pathlib import Path

from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.plan import TapLists
from ctstyle.encoders.weights import Weights
from ctstyle.run.device import place
from ctstyle.run.job import job
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.networks import TransferSettings
from ctstyle.study.settings import build
from ctstyle.transfer.features import Material
from ctstyle.transfer.generator import Generator
from ctstyle.transfer.train import train, with_layers

if __name__ == "__main__":
    with job(snakemake) as run:
        weights, window = Weights.load(Path(run.input.weights)), Window(*run.params.window_hu)
        encoder = place(build_encoder(weights.encoder, weights.state), run.device)
        selected = TapLists.load(Path(run.input.taps)) if run.input.get("taps") else None
        generator, history = train(
            Generator.load(Path(run.input.decoder), encoder),
            run.wildcards.model,
            with_layers(build(TransferSettings, run.params.transfer), run.params.layers, encoder.spec, selected),
            Material.of(open_run(run.input.slices, run.input.split).at_size(run.params.size_px), window),
            seed=run.seed,
            checkpoint=run.checkpoint,
        )
        generator.save(Path(run.output.generator), weights=weights.true_name, model=run.wildcards.model)
        history.to_csv(run.output.history, sep="\t", index=False, float_format="%.8g")
        run.write_cost(run.output.cost, steps=len(history), seconds_per_step=history.attrs["seconds_per_step"])
