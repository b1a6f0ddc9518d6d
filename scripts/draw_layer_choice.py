"""Draw what every tap keeps and separates, and which taps were selected (rule draw_layer_choice)."""

from pathlib import Path

from ctstyle.encoders.plan import TapLists
from ctstyle.paper.curves import layer_choice
from ctstyle.paper.drawing import save_figure
from ctstyle.paper.inputs import look, read_frames
from ctstyle.paper.measures import ENCODER_LABELS
from ctstyle.run.job import job

if __name__ == "__main__":
    with job(snakemake) as run:
        frames = read_frames(run.input.layers)
        names = [f"{ENCODER_LABELS[frame['encoder'][0]]}, {frame['weights'][0]} weights" for frame in frames]
        chosen = {name: TapLists.load(Path(path)) for name, path in zip(names, run.input.taps)}
        figure = layer_choice(dict(zip(names, frames)), chosen, look(run.params.slices))
        save_figure(figure, run.output.png, run.output.pdf, lineage=run.fingerprint)
