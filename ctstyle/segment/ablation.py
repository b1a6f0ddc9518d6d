"""One chain of the ablations from its generator on: slices are made, a U-Net is trained with them, both are scored."""

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from ctstyle.measures.evaluate import slice_lookup, transfer_frame
from ctstyle.measures.segmentation import score_arm
from ctstyle.run.checkpoint import Checkpoint
from ctstyle.segment.generate import COLUMNS, generate, network_painter, training_slices
from ctstyle.segment.guard import counts
from ctstyle.segment.train import arm_pools, arm_settings, pool_sizes, train
from ctstyle.segment.unet import predict
from ctstyle.slices.archive import Archive
from ctstyle.slices.window import Window
from ctstyle.study.analysis import AugmentSettings, SegmentSettings
from ctstyle.transfer.apply import Model
from ctstyle.transfer.gallery import gather, stylise_rows, test_pairs

PLAIN = "plain"


@dataclass(frozen=True)
class Measured:
    """What a chain is judged by, all as frames.

    `segmentation`: `metrics.arms.SEGMENTATION_COLUMNS`, a row per test scan. `structure`: the scores of
    `metrics.evaluate.transfer_frame` (no LPIPS, no Dice), a row per test slice carried into another style. `painted`:
    `augment.generated.COLUMNS`, a row per slice made for training. All three have the columns `arm` and `seed`.
    `history`: that of the U-Net.
    """

    segmentation: pd.DataFrame
    structure: pd.DataFrame
    painted: pd.DataFrame
    history: pd.DataFrame

    def save(self, point: str, *, segmentation: Path, structure: Path, painted: Path, history: Path) -> None:
        """Write the four tables as TSV, the first three with the name of the point."""
        for frame, path in (
            (self.segmentation, segmentation),
            (self.structure, structure),
            (self.painted, painted),
        ):
            frame.assign(point=point).to_csv(path, sep="\t", index=False, float_format="%.6g")
        self.history.to_csv(history, sep="\t", index=False, float_format="%.8g")


def measure(
    archive: Archive,
    model: Model | None,
    *,
    arm: str,
    augment: AugmentSettings,
    segment: SegmentSettings,
    window: Window,
    seed: int,
    device: torch.device | str = "cpu",
    checkpoint: Checkpoint | None = None,
) -> Measured:
    """Train and score the U-Net of one chain; `archive` holds all slices of a run (`styles.run.open_run`).

    `model` makes the slices of `arm`, and test slices in the other styles, both with the alpha of `augment`. Without a
    model the arm is the plain one, and its test slices stay what they are: what no transfer at all scores. Where the
    guard refuses every slice the U-Net is trained as the plain one: that is a result, too. Raises what these raise.
    """
    rows = test_pairs(archive, seed=seed)
    rows = rows[rows["kind"] == "transfer"].assign(alpha=augment.alpha)
    made = None
    if model is None:
        carried = gather(archive, rows["content_scan"], rows["content_index"])
    else:
        made = generate(
            network_painter(model, window, alpha=augment.alpha),
            *training_slices(archive),
            augment,
            window=window,
            model=arm,
            seed=seed,
        )
        logging.info("guard: %s", counts(made.rows["reason"]))
        carried = stylise_rows(model, archive, rows, window)
    pools = arm_pools(arm if made is not None and len(made.hu) else PLAIN, archive, made)
    network, history = train(
        pools, window, arm_settings(arm, segment), seed=seed, device=device, checkpoint=checkpoint, name=f"U-Net {arm}"
    )
    found = predict(network, archive.select(side="test").hu(), window, device=device)
    structure = transfer_frame(
        carried, rows, lookup=slice_lookup(archive), window=window, perceptual=None, segmenter=None
    )
    return Measured(
        segmentation=score_arm(found, archive, arm=arm, seed=seed, added_slices=pool_sizes(pools)["added_slices"]),
        structure=structure.assign(arm=arm, seed=seed),
        painted=(pd.DataFrame(columns=COLUMNS) if made is None else made.rows).assign(arm=arm, seed=seed),
        history=history,
    )
