"""Put a trained generator and the statistics of its styles into one file (rule bundle_generator)."""

from pathlib import Path

import pandas as pd

from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.run.device import place
from ctstyle.run.job import job
from ctstyle.slices.run import open_run
from ctstyle.study.data import SliceSettings
from ctstyle.study.settings import build
from ctstyle.transfer.bundle import Bundle
from ctstyle.transfer.generator import Generator

if __name__ == "__main__":
    with job(snakemake) as run:
        weights = Weights.load(Path(run.input.weights))
        encoder = place(build_encoder(weights.encoder, weights.state), run.device)
        styles = pd.read_csv(run.input.styles, sep="\t", dtype=str, keep_default_na=False)
        bundle = Bundle.of(
            Generator.load(Path(run.input.generator), encoder),
            open_run(run.input.slices, run.input.split),
            build(SliceSettings, run.params.slices),
            hints=styles.set_index("scan")["style_hint"],
            model=run.wildcards.model,
            weights=weights,
        )
        bundle.save(Path(run.output.bundle))
