"""Train an encoder on this run's own slices (rule train_domain_encoder)."""

import logging
from pathlib import Path

from ctstyle.encoders.domain import LevelledSlices, train_domain
from ctstyle.run.job import job
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.networks import DomainSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        archive, window = open_run(run.input.slices, run.input.split), Window(*run.params.window_hu)
        sides = {side: archive.select(side=side) for side in ("train", "val")}
        slices = {
            side: LevelledSlices(window.to_unit(part.hu()), part.rows["level"].to_numpy())
            for side, part in sides.items()
        }
        weights, history = train_domain(
            run.wildcards.encoder,
            slices["train"],
            slices["val"],
            build(DomainSettings, run.params.domain),
            seed=run.seed,
            device=run.device,
            checkpoint=run.checkpoint,
        )
        logging.info("held-out accuracy on validation patients: %s", weights.heldout_accuracy)
        weights.save(Path(run.output.weights))
        history.to_csv(run.output.history, sep="\t", index=False, float_format="%.8g")
