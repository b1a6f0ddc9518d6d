"""How a series was acquired: tags that say something about its grey scale and nothing about the patient."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pydicom


def acquisition(headers: Sequence[pydicom.Dataset]) -> dict[str, Any]:
    """The acquisition of a series as plain JSON values, None where the header does not say.

    `manufacturer`, `model`, `kernel` (several values joined by "/"), `image_type` (joined by "\\\\"), `modality`: str;
    `kvp`, `slice_thickness_mm`: float; `exposure_mas`: float, tube current times exposure time where both are given
    (GE writes the sum over the whole scan into Exposure), else Exposure, as the median over the slices; `contrast`:
    whether a contrast agent is named (not its free text, in which names have been found).
    """
    first = headers[0]
    return {
        "manufacturer": _text(first.get("Manufacturer"), " "),
        "model": _text(first.get("ManufacturerModelName"), " "),
        "kvp": _median(headers, lambda header: _number(header, "KVP")),
        "kernel": _text(first.get("ConvolutionKernel"), "/"),
        "exposure_mas": _median(headers, _exposure_mas),
        "contrast": any(
            _text(header.get("ContrastBolusAgent"), " ") not in (None, "NONE", "None") for header in headers
        ),
        "slice_thickness_mm": _median(headers, lambda header: _number(header, "SliceThickness")),
        "image_type": _text(first.get("ImageType"), "\\"),
        "modality": _text(first.get("Modality"), " "),
    }


def _exposure_mas(header: pydicom.Dataset) -> float | None:
    current, time = _number(header, "XRayTubeCurrent"), _number(header, "ExposureTime")
    return current * time / 1000 if current and time else _number(header, "Exposure")


def _median(headers: Sequence[pydicom.Dataset], value) -> float | None:
    values = [found for found in map(value, headers) if found is not None]
    return round(float(np.median(values)), 4) if values else None


def _number(header: pydicom.Dataset, keyword: str) -> float | None:
    try:
        number = float(header.get(keyword))
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _text(value: object, joint: str) -> str | None:
    if value is None:
        return None
    parts = [value] if isinstance(value, str) else list(value)
    return joint.join(str(part).strip() for part in parts).strip() or None
