"""Draw the losses of every training (rule draw_training_curves)."""

from ctstyle.paper.curves import training_curves
from ctstyle.paper.drawing import save_figure
from ctstyle.paper.inputs import in_groups, in_sequence, look, read_frames
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        figure = training_curves(
            read_frames(run.input.warm_up),
            in_groups(run.params.models, map(in_sequence, read_frames(run.input.transfer))),
            in_groups(run.params.arms, read_frames(run.input.unet)),
            look(run.params.slices),
        )
        save_figure(figure, run.output.png, run.output.pdf, lineage=run.fingerprint)
