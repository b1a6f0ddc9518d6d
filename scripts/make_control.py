"""Make the labelled slices of a control or rival that needs no training (rule make_control)."""

from pathlib import Path

from ctstyle.run.job import job
from ctstyle.segment.controls import PAINTERS
from ctstyle.segment.generate import generate, training_slices
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.analysis import AugmentSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        settings, window = build(AugmentSettings, run.params.augment), Window(*run.params.window_hu)
        made = generate(
            PAINTERS[run.params.model](window, settings),
            *training_slices(open_run(run.input.slices, run.input.split)),
            settings,
            window=window,
            model=run.params.model,
            seed=run.seed,
            guarded=False,
        )
        made.save(Path(run.output.hu), Path(run.output.labels), Path(run.output.rows))
