"""Make labelled slices in other grey scales with a trained generator (rule generate_augmentation)."""

import logging
from pathlib import Path

from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.run.device import place
from ctstyle.run.job import job
from ctstyle.segment.generate import generate, lent_slices, network_painter, training_slices
from ctstyle.segment.guard import counts
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.analysis import AugmentSettings
from ctstyle.study.settings import build
from ctstyle.transfer.apply import load_model

if __name__ == "__main__":
    with job(snakemake) as run:
        settings, window = build(AugmentSettings, run.params.augment), Window(*run.params.window_hu)
        weights = Weights.load(Path(run.input.weights))
        encoder = place(build_encoder(weights.encoder, weights.state), run.device)
        model = load_model(Path(run.input.generator), encoder)
        slices_of = lent_slices if run.params.lent else training_slices
        made = generate(
            network_painter(model, window, alpha=settings.alpha),
            *slices_of(open_run(run.input.slices, run.input.split)),
            settings,
            window=window,
            model=run.params.model,
            seed=run.seed,
        )
        logging.info("guard: %s", counts(made.rows["reason"]))
        made.save(Path(run.output.hu), Path(run.output.labels), Path(run.output.rows))
