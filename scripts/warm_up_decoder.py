"""Teach the decoder to invert the encoder (rule warm_up_decoder)."""

from pathlib import Path

from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.run.device import place
from ctstyle.run.job import job
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.networks import WarmUpSettings
from ctstyle.study.settings import build
from ctstyle.transfer.train import warm_up

if __name__ == "__main__":
    with job(snakemake) as run:
        training = open_run(run.input.slices, run.input.split).select(side="train").at_size(int(run.wildcards.size))
        weights = Weights.load(Path(run.input.weights))
        generator, history = warm_up(
            place(build_encoder(weights.encoder, weights.state), run.device),
            Window(*run.params.window_hu).to_unit(training.hu()),
            build(WarmUpSettings, run.params.warm_up),
            seed=run.seed,
            checkpoint=run.checkpoint,
        )
        generator.save(Path(run.output.decoder), weights=weights.true_name)
        history.to_csv(run.output.history, sep="\t", index=False, float_format="%.8g")
        run.write_cost(run.output.cost, steps=len(history), seconds_per_step=history.attrs["seconds_per_step"])
