"""The arms of Table 2 as data, in the order of its rows: what each is trained on, and what it is called.

All arms share the optimiser steps, the first weights and the geometric augmentation. A new arm is one entry here, its
name in the schema (`segment: arms`), and the painter or model that it names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What an arm adds to the labelled training slices of the source style.

    `added`: nothing, slices that a `generator` or a `painter` made (`maker` names it), or the `labelled` slices of all
    other styles. `lent`: the styles of those slices are lent by test scans. `unet`: what its U-Net has other than the
    others'. `label` is its name in tables, `short` in narrow columns.
    """

    label: str
    short: str
    added: Literal["", "generator", "painter", "labelled"] = ""
    maker: str = ""
    lent: bool = False
    unet: Mapping[str, Any] = field(default_factory=dict)
    role: Literal["baseline", "augmentation", "rival", "control", "reference"] = "augmentation"


ARMS: dict[str, Arm] = {
    "plain": Arm(label="U-Net", short="U-Net", role="baseline"),
    "ours": Arm(label="U-Net + ours", short="+ ours", added="generator", maker="ours"),
    "adain": Arm(label="U-Net + AdaIN synthesis", short="+ AdaIN", added="generator", maker="adain"),
    "contextual": Arm(label="U-Net + contextual transformation", short="+ CRN", added="generator", maker="contextual"),
    "transductive": Arm(
        label="Transductive: ours, styles of the real scan",
        short="transd.",
        added="generator",
        maker="ours",
        lent=True,
        role="reference",
    ),
    "noise": Arm(
        label="Control: structureless images", short="+ noise", added="painter", maker="noise", role="control"
    ),
    "histogram": Arm(
        label="Control: histogram matching", short="+ histogram", added="painter", maker="histogram", role="control"
    ),
    "instance": Arm(
        label="Rival: U-Net with instance norm", short="inst. norm", unet={"norm": "instance"}, role="rival"
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


def is_reference(arm: str) -> bool:
    """Whether an arm shows a bound and is no candidate: it has labels or scans that a user would not have."""
    return ARMS[arm].role == "reference"


def is_cheap(arm: str) -> bool:
    """Whether an arm can be had without a trained generator."""
    return ARMS[arm].added != "generator"


def rival_arms() -> list[str]:
    """The arms that a method with a generator must beat: rivals, and whatever changes the plain U-Net at no cost."""
    return [
        name
        for name, arm in ARMS.items()
        if arm.role == "rival" or (is_cheap(name) and arm.role not in ("baseline", "reference"))
    ]
