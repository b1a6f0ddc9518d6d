"""Draw Figures 1 to 3, the networks (rule draw_architecture)."""

from ctstyle.paper.architecture import figure1, figure2, figure3
from ctstyle.paper.drawing import save_figure
from ctstyle.paper.inputs import look
from ctstyle.run.job import job
from ctstyle.study.analysis import UNetSettings
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        unet, page = build(UNetSettings, run.params.unet), look(run.params.slices)
        size_px, training = run.params.slices["size_px"], run.params.transfer["training"]
        stride = run.params.transfer["warm_up"]["stride"]
        taps = {name: training[name] for name in ("content_taps", "style_taps")}
        figures = (
            figure1(run.params.encoder, stride=stride, unet=unet, size_px=size_px, look=page),
            figure2(run.params.encoder, stride=stride, size_px=size_px, look=page, **taps),
            figure3(unet, size_px=size_px, look=page),
        )
        for number, figure in enumerate(figures, start=1):
            save_figure(
                figure, run.output[f"figure{number}_png"], run.output[f"figure{number}_pdf"], lineage=run.fingerprint
            )
