"""Which labelled slices each arm's U-Net is trained on."""

from dataclasses import replace

import numpy as np

from ctstyle.augment.generated import Generated
from ctstyle.errors import CTStyleError
from ctstyle.segment.train import Pool, SegmentSettings
from ctstyle.slices.archive import Archive
from ctstyle.styles.run import SOURCE, labelled

WITHOUT_AUGMENTATION = ("plain", "instance")
"""Arms that see the source style alone; `instance` differs from `plain` in the norm of its U-Net."""


class NoAugmentation(CTStyleError):
    """An augmented arm without a single accepted slice."""


def arm_settings(arm: str, settings: SegmentSettings) -> SegmentSettings:
    """The settings of an arm: all arms share them, but the rival `instance` has a U-Net with instance norm."""
    if arm != "instance":
        return settings
    return replace(settings, unet=replace(settings.unet, norm="instance"))


def pool(archive: Archive) -> Pool:
    """All slices of a selection as one pool."""
    return Pool(archive.hu(), archive.labels())


def arm_pools(arm: str, archive: Archive, generated: Generated | None) -> list[Pool]:
    """The pools of an arm; a batch takes equal shares of each.

    `plain` and `instance`: labelled training slices of the source style. `oracle`: those, and labelled training slices
    of all other styles. Every other arm: those, and the slices `generated` for it. Raises NoAugmentation where none
    was accepted.
    """
    training = labelled(archive.select(side="train"))
    source = pool(training.select(style=SOURCE))
    if arm in WITHOUT_AUGMENTATION:
        return [source]
    if arm == "oracle":
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
