"""Segment all test slices with the U-Net of one arm (rule predict_test)."""

from pathlib import Path

import numpy as np

from ctstyle.job import job
from ctstyle.segment.predict import predict
from ctstyle.segment.unet import load_unet
from ctstyle.slices.window import Window
from ctstyle.styles.run import open_run

if __name__ == "__main__":
    with job(snakemake) as run:
        test = open_run(run.input.slices, run.input.split).select(side="test")
        network, _ = load_unet(Path(run.input.unet))
        window = Window(*run.params.window_hu)
        masks = predict(network.to(run.device), test.hu(), window, device=run.device)
        np.save(run.output.predictions, masks)
        test.rows.to_csv(run.output.rows, sep="\t", index=False)
