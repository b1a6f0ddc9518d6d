"""Train contextual transformation, one network per target style (rule train_contextual)."""

from pathlib import Path

from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.run.device import place
from ctstyle.run.job import job
from ctstyle.slices.run import SOURCE, open_run
from ctstyle.slices.window import Window
from ctstyle.study.networks import ContextualSettings
from ctstyle.study.settings import build
from ctstyle.transfer.contextual import train_contextual
from ctstyle.transfer.features import Material

if __name__ == "__main__":
    with job(snakemake) as run:
        weights = Weights.load(Path(run.input.weights))
        material = Material.of(open_run(run.input.slices, run.input.split), Window(*run.params.window_hu))
        model, history = train_contextual(
            place(build_encoder(weights.encoder, weights.state), run.device),
            build(ContextualSettings, run.params.contextual),
            material,
            targets=sorted(set(material.style_names) - {SOURCE}),
            seed=run.seed,
            checkpoint=run.checkpoint,
        )
        model.save(Path(run.output.generator), weights=weights.true_name, model="contextual")
        history.to_csv(run.output.history, sep="\t", index=False, float_format="%.8g")
        run.write_cost(run.output.cost, steps=len(history), seconds_per_step=history.attrs["seconds_per_step"])
