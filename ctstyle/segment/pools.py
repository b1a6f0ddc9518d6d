"""Which labelled slices each arm's U-Net is trained on."""

from dataclasses import replace

import numpy as np

from ctstyle.errors import CTStyleError
from ctstyle.segment.generate import Generated
from ctstyle.segment.train import Pool
from ctstyle.slices.archive import Archive
from ctstyle.slices.run import SOURCE, labelled
from ctstyle.study.analysis import SegmentSettings
from ctstyle.study.arms import ARMS


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
