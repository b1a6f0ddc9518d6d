"""Draw the scans in the plane of their style features (rule draw_style_space)."""

from ctstyle.paper.curves import style_space
from ctstyle.paper.drawing import save_figure
from ctstyle.paper.inputs import look, read_frames
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        (styles,) = read_frames([run.input.styles])
        figure = style_space(styles, run.params.features, look(run.params.slices))
        save_figure(figure, run.output.png, run.output.pdf, lineage=run.fingerprint)
