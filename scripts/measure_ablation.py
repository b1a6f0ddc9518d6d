"""Make the slices of one point of the ablations, train its U-Net and score both (rule measure_ablation)."""

from pathlib import Path

from ctstyle.encoders.network import build as build_encoder
from ctstyle.encoders.weights import Weights
from ctstyle.run.job import job
from ctstyle.segment.ablation import measure
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.analysis import AugmentSettings, SegmentSettings
from ctstyle.study.settings import build
from ctstyle.transfer.apply import load_model

if __name__ == "__main__":
    with job(snakemake) as run:
        model = None
        if run.input.get("generator"):
            weights = Weights.load(Path(run.input.weights))
            encoder = build_encoder(weights.encoder, weights.state).to(run.device)
            model = load_model(Path(run.input.generator), encoder)
        measured = measure(
            open_run(run.input.slices, run.input.split).at_size(run.params.size_px),
            model,
            arm=run.wildcards.arm,
            augment=build(AugmentSettings, run.params.augment),
            segment=build(SegmentSettings, run.params.segment),
            window=Window(*run.params.window_hu),
            seed=run.seed,
            device=run.device,
            checkpoint=run.checkpoint,
        )
        measured.save(
            run.wildcards.point,
            **{name: run.output[name] for name in ("segmentation", "structure", "painted", "history")},
        )
