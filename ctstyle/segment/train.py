"""Training of a segmentation U-Net on labelled slices; arms differ in their slices and in what changes a batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ctstyle.errors import CTStyleError
from ctstyle.measures.segmentation import confusion, require_same_shape, scores
from ctstyle.run.checkpoint import Checkpoint
from ctstyle.run.device import autocast
from ctstyle.run.fit import descend, fit, in_parts
from ctstyle.segment.generate import Generated
from ctstyle.segment.geometry import random_grid, transform
from ctstyle.segment.online import Online
from ctstyle.segment.unet import build_unet, predict, require_size
from ctstyle.slices.archive import Archive
from ctstyle.slices.run import SOURCE, labelled
from ctstyle.slices.window import Window
from ctstyle.study.analysis import SegmentSettings
from ctstyle.study.arms import ARMS


class NoTrainingSlices(CTStyleError):
    """An arm without slices, or without a single vertebra, to train its U-Net on."""


@dataclass(frozen=True)
class Pool:
    """Labelled slices of one kind: `hu` int16 and `labels` uint8, both `[n, H, W]` (memory-mapped or not)."""

    hu: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        require_same_shape(self.hu, self.labels, what="pool of training slices")


def train(
    pools: Sequence[Pool],
    window: Window,
    settings: SegmentSettings,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    online: Online | None = None,
    validation: Pool | None = None,
    checkpoint: Checkpoint | None = None,
    name: str = "unet",
) -> tuple[nn.Module, pd.DataFrame]:
    """Train a U-Net and return it (evaluation mode) with its history (`step, loss` and, at times, `validation_iou`).

    Each batch takes equal shares of all pools: the plain arm has one pool, an augmented arm the same source slices and
    the generated ones, half and half, so all arms take the same number of optimiser steps on batches of one size.
    Loss: cross entropy of all pixels + 1 - Dice of the foreground, pooled over the batch (MONAI). The network of one
    `seed` starts from the same weights in every arm, and arms of as many pools draw the same slices of the first and
    move them alike. `online` changes the grey values of each batch after that. `validation` slices are scored
    (foreground IoU) every `validate_every` steps and choose nothing.

    Raises NoTrainingSlices for an empty pool or no foreground, UNetError for slices of a size that does not fit,
    and what `fit` raises.
    """
    from monai.losses import DiceCELoss  # here, as its import takes longer than torch's

    _check(pools, settings)
    criterion = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    device = torch.device(device)
    network = build_unet(settings.unet, seed=seed).to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    parts = settings.accumulate
    online = online or Online()

    def step(i: int, rng: np.random.Generator) -> dict[str, Tensor | float]:
        """One batch from the pools; now and then the score on the validation slices."""
        for group in optimiser.param_groups:
            group["lr"] = rate(i, settings)
        images, labels = sample(pools, window, settings, rng)
        images = online.images(images, rng)
        images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
        with autocast(device):
            logits = in_parts(network, parts, images)
        loss = criterion(logits.float(), labels)
        descend(loss, optimiser, clip=10.0)
        result = {"loss": loss}
        last = i + 1 == settings.steps
        if validation is not None and (last or (i + 1) % settings.validate_every == 0):
            found = predict(network, validation.hu, window, device=device)
            iou = scores(confusion(found, validation.labels))["foreground_iou"]
            network.train()
            if math.isfinite(iou):
                result["validation_iou"] = iou
        return result

    with online.within(network):
        history = fit(
            step,
            parts={"network": network, "optimiser": optimiser},
            steps=settings.steps,
            seed=seed,
            name=name,
            checkpoint=checkpoint,
        )
    return network.eval(), history


def rate(step: int, settings: SegmentSettings) -> float:
    """Learning rate of step `step` (from 0): a linear rise over the first 5 %, then constant or a half cosine to 0."""
    rise = max(1, round(0.05 * settings.steps))
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    if settings.schedule == "constant":
        return settings.learning_rate
    progress = (step - rise) / max(1, settings.steps - rise)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def sample(
    pools: Sequence[Pool], window: Window, settings: SegmentSettings, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """One batch: images float32 `[B, 1, H, W]` in [0, 1] and labels int64 `[B, 1, H, W]` in {0, 1}.

    Equal shares of the pools (what does not divide goes to pools in turn, by lot), each slice drawn uniformly, all
    moved by one random geometry per slice.
    """
    shares = np.full(len(pools), settings.batch // len(pools))
    shares[rng.permutation(len(pools))[: settings.batch % len(pools)]] += 1
    chosen = [rng.integers(len(pool.hu), size=share) for pool, share in zip(pools, shares)]
    hu = np.concatenate([pool.hu[which] for pool, which in zip(pools, chosen)])
    marks = np.concatenate([pool.labels[which] for pool, which in zip(pools, chosen)])
    images = torch.from_numpy(np.asarray(window.to_unit(hu), dtype=np.float32))[:, None]
    labels = torch.from_numpy((marks > 0).astype(np.int64))[:, None]
    count, _, height, width = images.shape
    grid = random_grid(count, height, width, settings.geometry, rng)
    return transform(images, labels, grid)


def _check(pools: Sequence[Pool], settings: SegmentSettings) -> None:
    if not pools or not all(len(pool.hu) for pool in pools):
        raise NoTrainingSlices(
            "there are no slices to train the U-Net on",
            where="segment",
            found=", ".join(f"{len(pool.hu)} slices" for pool in pools) or "no pool",
            expected="labelled training slices of the source style, and generated ones in an augmented arm",
            fix="Look at split.tsv for the training side, and at the reasons in the arm's augmented .tsv.",
        )
    if not any(np.any(pool.labels) for pool in pools):
        raise NoTrainingSlices(
            "no training slice shows a labelled vertebra",
            where="segment",
            found="masks that are empty everywhere",
            expected="at least one vertebra pixel",
            fix="Check the masks of the training scans, and that masks and scans lie on one place.",
        )
    for pool in pools:
        height, width = pool.hu.shape[1:]
        require_size(height, width, settings.unet)


class NoAugmentation(CTStyleError):
    """An augmented arm without a single accepted slice."""


def arm_settings(arm: str, settings: SegmentSettings) -> SegmentSettings:
    """The settings of an arm: all arms share them, apart from what its entry changes in the U-Net."""
    return replace(settings, unet=replace(settings.unet, **ARMS[arm].unet))


def pool(archive: Archive) -> Pool:
    """All slices of a selection as one pool."""
    return Pool(archive.hu(), archive.labels())


def arm_pools(arm: str, archive: Archive, generated: Generated | None) -> list[Pool]:
    """The pools of an arm; a batch takes equal shares of each.

    All have the labelled training slices of the source style; an arm that adds `labelled` ones those of all other
    styles, an arm with an archive of made slices (`arms.archive_of`) those `generated` ones. Raises NoAugmentation
    where none was accepted.
    """
    training = labelled(archive.select(side="train"))
    source = pool(training.select(style=SOURCE))
    if not ARMS[arm].added:
        return [source]
    if ARMS[arm].added == "labelled":
        others = training.take(np.flatnonzero(training.rows["style"] != SOURCE))
        return [source, pool(others)] if len(others) else [source]
    if generated is None or not len(generated.hu):
        refused = {} if generated is None else generated.rows["reason"].value_counts().to_dict()
        raise NoAugmentation(
            "the guard accepted no generated slice",
            where=f"arm {arm}",
            found=f"refused: {refused}",
            expected="at least one slice",
            fix="Train the transfer for longer, or look at `augment: guard`.",
        )
    return [source, Pool(generated.hu, generated.labels)]


def validation_pool(archive: Archive) -> Pool | None:
    """The labelled slices of validation patients in the source style; None where there are none."""
    chosen = labelled(archive.select(side="val", style=SOURCE))
    return pool(chosen) if len(chosen) else None


def pool_sizes(pools: list[Pool]) -> dict[str, int]:
    """How many slices an arm is trained on: those of the source style, and those its arm adds (made or labelled)."""
    source, *added = (len(pool.hu) for pool in pools)
    return {"source_slices": source, "added_slices": sum(added)}
