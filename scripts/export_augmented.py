"""Write the slices of one arm and seed in the layout of another tool (rule export_augmented)."""

from pathlib import Path

from ctstyle.augment.generated import Generated
from ctstyle.exports.cases import cases
from ctstyle.exports.write import write_export
from ctstyle.job import job
from ctstyle.styles.run import open_run

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
