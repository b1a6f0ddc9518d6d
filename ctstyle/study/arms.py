"""The arms of Table 2 as data, in the order of its rows, and the seeds of their U-Nets.

All arms share the optimiser steps, the first weights and the geometric augmentation. A new arm is one entry here,
and the painter or model that it names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ctstyle.errors import CTStyleError


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What an arm adds to the labelled training slices of the source style, and what it changes in training.

    `added`: nothing, slices that a `generator` or a `painter` made (`maker` names it), the slices made for another arm
    (`shared`, `maker` names that arm), or the `labelled` slices of all other styles. `lent`: the styles of those slices
    are lent by test scans. `online`: what changes the grey values of every training batch anew. `unet`: what its U-Net
    has other than the others'. `label` is its name in tables, `short` in narrow columns.
    """

    label: str
    short: str
    added: Literal["", "generator", "painter", "shared", "labelled"] = ""
    maker: str = ""
    lent: bool = False
    online: Literal["", "intensity", "convolution", "mixstyle"] = ""
    unet: Mapping[str, Any] = field(default_factory=dict)
    role: Literal["baseline", "augmentation", "rival", "control", "reference"] = "augmentation"


ARMS: dict[str, Arm] = {
    "plain": Arm(label="U-Net", short="U-Net", role="baseline"),
    # Nothing is added: training itself differs.
    "intensity": Arm(label="Rival: intensity augmentation", short="intensity", online="intensity", role="rival"),
    "convolution": Arm(label="Rival: random convolutions", short="rand. conv.", online="convolution", role="rival"),
    "mixstyle": Arm(label="Rival: MixStyle in the U-Net", short="MixStyle", online="mixstyle", role="rival"),
    "instance": Arm(
        label="Rival: U-Net with instance norm", short="inst. norm", unet={"norm": "instance"}, role="rival"
    ),
    # Slices are added, all made from the same pairs of a content and a style slice.
    "noise": Arm(
        label="Control: structureless images", short="+ noise", added="painter", maker="noise", role="control"
    ),
    "histogram": Arm(
        label="Rival: histogram matching", short="+ histogram", added="painter", maker="histogram", role="rival"
    ),
    "fourier": Arm(
        label="Rival: Fourier amplitude swap", short="+ Fourier", added="painter", maker="fourier", role="rival"
    ),
    "adain": Arm(label="U-Net + AdaIN synthesis", short="+ AdaIN", added="generator", maker="adain"),
    "contextual": Arm(label="U-Net + contextual transformation", short="+ CRN", added="generator", maker="contextual"),
    "cyclegan": Arm(label="U-Net + CycleGAN", short="+ CycleGAN", added="generator", maker="cyclegan"),
    "ours": Arm(label="U-Net + ours", short="+ ours", added="generator", maker="ours"),
    "ours_intensity": Arm(
        label="U-Net + ours + intensity", short="+ ours + int.", added="shared", maker="ours", online="intensity"
    ),
    "transductive": Arm(
        label="Transductive: ours, styles of the real scan",
        short="transd.",
        added="generator",
        maker="ours",
        lent=True,
        role="reference",
    ),
    "oracle": Arm(label="Oracle: all styles labelled", short="Oracle", added="labelled", role="reference"),
}

ARM_LABELS = {name: arm.label for name, arm in ARMS.items()}


def arms_with(added: str) -> list[str]:
    """The arms whose added slices come from a `generator`, a `painter`, or are `labelled`."""
    return [name for name, arm in ARMS.items() if arm.added == added]


def augmented_arms() -> list[str]:
    """The arms with an archive of made slices."""
    return [name for name, arm in ARMS.items() if arm.added in ("generator", "painter")]


def exported_arms() -> list[str]:
    """The arms whose made slices can be exported, in the order of nnU-Net's dataset numbers: ours, then the others."""
    return sorted(augmented_arms(), key=lambda arm: arm != "ours")


def archive_of(name: str) -> str:
    """The arm whose archive of made slices an arm is trained with: its own, another's, or "" for none."""
    if ARMS[name].added == "shared":
        return ARMS[name].maker
    return name if name in augmented_arms() else ""


def is_reference(arm: str) -> bool:
    """Whether an arm shows a bound and is no candidate: it has labels or scans that a user would not have."""
    return ARMS[arm].role == "reference"


def is_cheap(arm: str) -> bool:
    """Whether an arm can be had without a trained generator."""
    return ARMS[arm].added not in ("generator", "shared")


def rival_arms() -> list[str]:
    """The arms that a method with a generator must beat: rivals, and whatever changes the plain U-Net at no cost."""
    return [
        name
        for name, arm in ARMS.items()
        if arm.role == "rival" or (is_cheap(name) and arm.role not in ("baseline", "reference"))
    ]


class SeedError(CTStyleError):
    """The seeds of the U-Nets do not begin with those of the run."""


def unet_seeds(asked: Sequence[int] | None, seeds: Sequence[int]) -> list[int]:
    """The seeds of the U-Nets: `asked`, or the run's `seeds` where nothing is asked for.

    Every generator is judged with the oracle U-Net of its own seed, so `asked` begins with `seeds`; else SeedError.
    """
    if asked is None:
        return list(seeds)
    if list(asked[: len(seeds)]) != list(seeds):
        raise SeedError(
            "the seeds of the U-Nets do not begin with those of the run",
            where="segment: seeds",
            found=list(asked),
            expected=f"a list that begins with {list(seeds)} (seeds)",
            fix="Put the run's seeds first, or set `segment: {seeds: null}` for one U-Net per generator.",
        )
    return list(asked)


def lending_seed(seed: int, unet: Sequence[int], seeds: Sequence[int]) -> int:
    """The seed whose augmented slices the U-Net of `seed` takes: its own, or the run's `seeds` in turn."""
    return seeds[list(unet).index(seed) % len(seeds)]
