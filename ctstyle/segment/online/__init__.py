"""Changes of the grey values of every training batch, by the name an arm's entry gives them (`arms.Arm.online`)."""

from collections.abc import Mapping
from typing import Any

from ctstyle.segment.online.base import Online
from ctstyle.segment.online.convolution import ConvolutionSettings
from ctstyle.segment.online.intensity import IntensitySettings
from ctstyle.segment.online.mixstyle import MixStyleSettings
from ctstyle.study.settings import build

ONLINE: dict[str, type[Online]] = {
    "": Online,
    "intensity": IntensitySettings,
    "convolution": ConvolutionSettings,
    "mixstyle": MixStyleSettings,
}


def online_change(name: str, section: Mapping[str, Any]) -> Online:
    """The change of an arm, from the config section that bears its name."""
    return build(ONLINE[name], section)


__all__ = ["ONLINE", "ConvolutionSettings", "IntensitySettings", "MixStyleSettings", "Online", "online_change"]
