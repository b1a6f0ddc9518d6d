"""Write the slices of one arm and seed in the layout of another tool (rule export_augmented)."""

from pathlib import Path

from ctstyle.apply.cases import cases
from ctstyle.apply.write import write_export
from ctstyle.run.job import job
from ctstyle.segment.generate import Generated
from ctstyle.slices.run import open_run

if __name__ == "__main__":
    with job(snakemake) as run:
        made = cases(
            open_run(run.input.slices, run.input.split),
            Generated.load(run.input.hu, run.input.labels, run.input.rows),
            arm=run.wildcards.arm,
            originals=run.params.originals,
            every_mm=run.params.every_mm,
        )
        write_export(
            Path(run.output.archive),
            made,
            layout=run.wildcards.layout,
            labels=run.params.labels,
            dataset=run.params.dataset,
        )
