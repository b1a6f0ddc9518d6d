"""Train one style-transfer generator (rule train_transfer)."""

from pathlib import Path

from ctstyle.encoders.registry import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.job import job
from ctstyle.settings import build
from ctstyle.slices.body import body_mask
from ctstyle.slices.window import Window
from ctstyle.styles.find import SOURCE, open_run
from ctstyle.transfer.generator import Generator
from ctstyle.transfer.train import TransferSettings, train

if __name__ == "__main__":
    with job(snakemake) as run:
        training = open_run(run.input.slices, run.input.split).select(side="train")
        content, window = training.select(style=SOURCE), Window(*run.params.window_hu)
        weights = Weights.load(Path(run.input.weights))
        encoder = build_encoder(weights.encoder, weights.state).to(run.device)
        generator, history = train(
            Generator.load(Path(run.input.decoder), encoder),
            run.wildcards.model,
            build(TransferSettings, run.params.transfer),
            content=window.to_unit(content.hu()),
            bodies=body_mask(content.hu(), window),
            style=window.to_unit(training.hu()),
            style_bodies=body_mask(training.hu(), window),
            style_names=training.rows["style"].to_numpy(),
            seed=run.seed,
            state_path=run.state_path,
            fingerprint=run.fingerprint,
        )
        generator.save(Path(run.output.generator), weights=weights.true_name, model=run.wildcards.model)
        history.to_csv(run.output.history, sep="\t", index=False, float_format="%.8g")
