"""Measure and draw what each tap of an encoder keeps (rule describe_layers)."""

from pathlib import Path

from ctstyle.encoders.layers import describe
from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.paper.drawing import save_figure
from ctstyle.run.device import place
from ctstyle.run.job import job
from ctstyle.slices.run import SOURCE, open_run
from ctstyle.slices.window import Window
from ctstyle.study.networks import LayerSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        training = open_run(run.input.slices, run.input.split).select(side="train")
        weights = Weights.load(Path(run.input.weights))
        frame, figure = describe(
            place(build_encoder(weights.encoder, weights.state), run.device),
            training,
            Window(*run.params.window_hu),
            weights=weights.weights,
            source=SOURCE,
            settings=build(LayerSettings, run.params.layers),
        )
        frame.to_csv(run.output.layers, sep="\t", index=False, float_format="%.6g")
        save_figure(figure, run.output.png, run.output.pdf, lineage=run.fingerprint)
