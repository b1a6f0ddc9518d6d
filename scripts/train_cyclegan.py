"""Train CycleGAN, one per target style (rule train_cyclegan)."""

from pathlib import Path

from ctstyle.run.job import job
from ctstyle.slices.run import SOURCE, open_run
from ctstyle.slices.window import Window
from ctstyle.study.networks import CycleGANSettings
from ctstyle.study.settings import build
from ctstyle.transfer.cyclegan import train_cyclegan
from ctstyle.transfer.features import Material

if __name__ == "__main__":
    with job(snakemake) as run:
        material = Material.of(open_run(run.input.slices, run.input.split), Window(*run.params.window_hu))
        model, history = train_cyclegan(
            build(CycleGANSettings, run.params.cyclegan),
            material,
            targets=sorted(set(material.style_names) - {SOURCE}),
            seed=run.seed,
            device=run.device,
            checkpoint=run.checkpoint,
        )
        model.save(Path(run.output.generator), model="cyclegan")
        history.to_csv(run.output.history, sep="\t", index=False, float_format="%.8g")
        run.write_cost(run.output.cost, steps=len(history), seconds_per_step=history.attrs["seconds_per_step"])
