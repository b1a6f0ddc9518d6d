"""How a series was acquired: tags that say something about its grey scale and nothing about the patient."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from ctstyle.ct.frames import Slice, tag_name
from ctstyle.ct.known import known_text

log = logging.getLogger(__name__)

LONGEST = {"ConvolutionKernel": 16, "Manufacturer": 32, "ManufacturerModelName": 32, "ImageType": 16, "Modality": 16}
"""Most characters of each value of a text."""


def acquisition(slices: Sequence[Slice]) -> dict[str, Any]:
    """The acquisition of a series as plain JSON values, None where the tags do not say.

    `manufacturer`, `model`, `kernel` (several values joined by "/"), `image_type` (joined by "\\\\"), `modality`: str;
    `kvp`, `slice_thickness_mm`: float; `exposure_mas`: float, tube current times exposure time where both are given
    (GE writes the sum over the whole scan into Exposure), else Exposure, as the median over the slices; `contrast`:
    whether a contrast agent is named (not its free text, in which names have been found) or, in enhanced CT, said to be
    given. Texts are free too: one that is not made of known words and codes (`known.known_text`) counts as not said.
    """
    first = slices[0]
    return {
        "manufacturer": _known(first, "Manufacturer", " "),
        "model": _known(first, "ManufacturerModelName", " "),
        "kvp": _median([_number(one, "KVP") for one in slices]),
        "kernel": _known(first, "ConvolutionKernel", "/"),
        "exposure_mas": _median([_exposure_mas(one) for one in slices]),
        "contrast": any(map(_contrast, slices)),
        "slice_thickness_mm": _median([_number(one, "SliceThickness") for one in slices]),
        "image_type": _known(first, "ImageType", "\\"),
        "modality": _known(first, "Modality", " "),
    }


def image_type(one: Slice) -> list[str]:
    """The values of ImageType, or of FrameType where the slice is a frame of enhanced CT."""
    return one.texts("FrameType") or one.texts("ImageType")


def _exposure_mas(one: Slice) -> float | None:
    # enhanced CT has tags of its own for them (PS3.3, C.8.15.3.8)
    current = _number(one, "XRayTubeCurrent") or _number(one, "XRayTubeCurrentInmA")
    time = _number(one, "ExposureTime") or _number(one, "ExposureTimeInms")
    return current * time / 1000 if current and time else _number(one, "Exposure") or _number(one, "ExposureInmAs")


def _contrast(one: Slice) -> bool:
    agent = " ".join(one.texts("ContrastBolusAgent")).strip()
    return agent not in ("", "NONE", "None") or one.get("ContrastBolusAgentAdministered") == "YES"


def _median(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return round(float(np.median(found)), 4) if found else None


def _number(one: Slice, keyword: str) -> float | None:
    try:
        number = float(one.get(keyword))
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _known(one: Slice, keyword: str, joint: str) -> str | None:
    texts = image_type(one) if keyword == "ImageType" else one.texts(keyword)
    if all(known_text(text, LONGEST[keyword]) for text in texts if text):
        return joint.join(texts).strip() or None
    log.warning("%s: %s is left out, since it is none that is known", one.name, tag_name(keyword))
    return None
