"""Train the U-Net of one arm, apply it to all test slices and score it (rule train_unet)."""

import json
from pathlib import Path

import numpy as np

from ctstyle.measures.segmentation import score_arm
from ctstyle.run.job import job
from ctstyle.segment.generate import Generated
from ctstyle.segment.online import online_change
from ctstyle.segment.train import arm_pools, arm_settings, pool_sizes, train, validation_pool
from ctstyle.segment.unet import predict, save_unet
from ctstyle.slices.run import open_run
from ctstyle.slices.window import Window
from ctstyle.study.analysis import SegmentSettings
from ctstyle.study.arms import ARMS
from ctstyle.study.settings import build

if __name__ == "__main__":
    with job(snakemake) as run:
        archive, window = open_run(run.input.slices, run.input.split), Window(*run.params.window_hu)
        made = run.input.get("hu")
        generated = Generated.load(made, run.input.labels, run.input.rows) if made else None
        arm = run.wildcards.arm
        settings = arm_settings(arm, build(SegmentSettings, run.params.segment))
        pools = arm_pools(arm, archive, generated)
        about = {**pool_sizes(pools), "online": ARMS[arm].online}
        network, history = train(
            pools,
            window,
            settings,
            online=online_change(ARMS[arm].online, run.params.online),
            validation=validation_pool(archive),
            name=f"U-Net {arm}",
            **{"seed": run.seed, "device": run.device, "checkpoint": run.checkpoint},
        )
        save_unet(network, settings.unet, Path(run.output.unet))
        history.to_csv(run.output.history, sep="\t", index=False, float_format="%.8g")
        Path(run.output.about).write_text(json.dumps(about, indent=1) + "\n")
        test = archive.select(side="test")
        predictions = predict(network, test.hu(), window, device=run.device)
        np.save(run.output.predictions, predictions)
        test.rows.to_csv(run.output.rows, sep="\t", index=False)
        scores = score_arm(predictions, archive, arm=arm, seed=run.seed, added_slices=about["added_slices"])
        scores.to_csv(run.output.scores, sep="\t", index=False)
