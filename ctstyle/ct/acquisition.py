"""How a series was acquired: tags that say something about its grey scale and nothing about the patient.

Kernel, model, manufacturer and image type are free text, and names have been found in each of them. A text counts only
if all its words are known words of scanners or short codes. Whatever does not fit is left out, never shortened.
"""

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ctstyle.ct.files import tag_name

if TYPE_CHECKING:
    from ctstyle.ct.index import Tags

log = logging.getLogger(__name__)

LONGEST = {"ConvolutionKernel": 16, "Manufacturer": 32, "ManufacturerModelName": 32, "ImageType": 16, "Modality": 16}
"""Most characters of each value of a text."""
MAKERS = """
ge medical systems healthcare siemens healthineers philips toshiba mec canon hitachi corporation fujifilm uih united
imaging neusoft neurologica samsung shimadzu picker international elscint marconi imatron varian accuray elekta
tomotherapy incorporated inc gmbh co ltd ctstyle virtual scanner
"""
MODELS = """
lightspeed brightspeed hispeed prospeed optima revolution discovery rhapsode ultra vct rt pro plus advantage apex evo
frontier maxima somatom emotion sensation definition flash force drive edge perspective scope spirit confidence balance
volume zoom duo go top all now up naeotom alpha biograph mct vision truepoint horizon open cite brilliance ingenuity
ict iqon spectral gemini gxl tf vereos mx idt access big bore incisive acqsim aquilion one prime lightning alexion
activion asteion xvision genesis precision cx rxl lb scenaria eclos supria pratico robusto presto uct umi neuviz anatom
ceretom bodytom qxi xtream ste ls rx parallel beam
"""
KERNELS = """
standard stnd std soft medium sharp smooth bone boneplus lung detail edge ultra chest chst body brain head extra vsharp
vsoft hd plus imr idose aidr aice asir fbp fc fl
"""
IMAGE_TYPES = """
original derived primary secondary axial localizer reformatted average mpr volume none som spi csa mip minip maximum
minimum mean helix single dual multi energy monoenergetic resampled projection image other
"""
MODALITIES = "CT MR PT NM US CR DX DR MG XA RF OT SC SR PR KO SEG REG DOC SM OP RTSTRUCT RTPLAN RTDOSE RTIMAGE"
_WORDS = frozenset(" ".join((MAKERS, MODELS, KERNELS, IMAGE_TYPES)).split())
_NUMBERED_WORD = re.compile(r"([A-Za-z]+)\d{0,4}")
_CODE = re.compile(r"[A-Za-z]{1,2}\d{1,3}[a-z]{0,2}|\d{1,3}[A-Z]?")
"""As in B70f, Br38f, AB50, FC07, 64 and 4R."""
_LETTERS = re.compile(r"[A-Z]{1,2}")
"""Kernels of Philips (B, YA) and parts of models (AS+, CT); no more of them than of known words, and one."""
_OLD_SIEMENS = re.compile(r"\d\d \.\d\d\.")
"""Before kernels of old scanners: `59 .21.B50s`."""
_MOST_DIGITS = 4
"""Of a text: fewer than a date has."""
_UID = re.compile(r"[0-9.]{1,64}")


def known_text(text: str, longest: int) -> str:
    """The text, or "" where it is longer than `longest` characters or holds anything but known words and codes."""
    tokens = [token for token in re.split(r"[ ._+/()-]", _OLD_SIEMENS.sub("", text, count=1)) if token]
    words = [token for token in tokens if (one := _NUMBERED_WORD.fullmatch(token)) and one[1].lower() in _WORDS]
    others = [token for token in tokens if token not in words and not _CODE.fullmatch(token)]
    digits = sum(map(str.isdigit, "".join(tokens)))
    fits = len(text) <= longest and digits <= _MOST_DIGITS and len(others) <= 1 + len(words)
    return text if fits and all(map(_LETTERS.fullmatch, others)) else ""


def known_uid(value: object) -> str:
    """The text of a UID (PS3.5, 9.1), "" where there is none or something else."""
    text = str(value or "").strip()
    return text if _UID.fullmatch(text) else ""


def modality_name(modality: str) -> str:
    """A file's kind for messages: `DICOM MR`."""
    if modality in MODALITIES.split():
        return f"DICOM {modality}"
    return "DICOM of an unknown Modality" if modality else "DICOM without Modality"


def acquisition(slices: "Sequence[Tags]") -> dict[str, Any]:
    """The acquisition of a series as plain JSON values, None where the tags do not say.

    `manufacturer`, `model`, `kernel` (several values joined by "/"), `image_type` (joined by "\\\\"), `modality`: str;
    `kvp`, `slice_thickness_mm`: float; `exposure_mas`: float, tube current times exposure time where both are given
    (GE writes the sum over the whole scan into Exposure), else Exposure, as the median over the slices; `contrast`:
    whether a contrast agent is named (not its free text, in which names have been found) or, in enhanced CT, said to be
    given. Texts are free too: one that is not made of known words and codes (`known_text`) counts as not said.
    """
    first = slices[0]
    return {
        "manufacturer": _known(first, "Manufacturer", " "),
        "model": _known(first, "ManufacturerModelName", " "),
        "kvp": _median([one.number("KVP") for one in slices]),
        "kernel": _known(first, "ConvolutionKernel", "/"),
        "exposure_mas": _median([_exposure_mas(one) for one in slices]),
        "contrast": any(map(_contrast, slices)),
        "slice_thickness_mm": _median([one.number("SliceThickness") for one in slices]),
        "image_type": _known(first, "ImageType", "\\"),
        "modality": _known(first, "Modality", " "),
    }


def image_type(one: "Tags") -> list[str]:
    """The values of ImageType, or of FrameType where the slice is a frame of enhanced CT."""
    return one.texts("FrameType") or one.texts("ImageType")


def _exposure_mas(one: "Tags") -> float | None:
    # enhanced CT has tags of its own for them (PS3.3, C.8.15.3.8)
    current = one.number("XRayTubeCurrent") or one.number("XRayTubeCurrentInmA")
    time = one.number("ExposureTime") or one.number("ExposureTimeInms")
    return current * time / 1000 if current and time else one.number("Exposure") or one.number("ExposureInmAs")


def _contrast(one: "Tags") -> bool:
    agent = " ".join(one.texts("ContrastBolusAgent")).strip()
    return agent not in ("", "NONE", "None") or one.get("ContrastBolusAgentAdministered") == "YES"


def _median(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return round(float(np.median(found)), 4) if found else None


def _known(one: "Tags", keyword: str, joint: str) -> str | None:
    texts = image_type(one) if keyword == "ImageType" else one.texts(keyword)
    if all(known_text(text, LONGEST[keyword]) for text in texts if text):
        return joint.join(texts).strip() or None
    log.warning("%s: %s is left out, since it is none that is known", one.file.member.name, tag_name(keyword))
    return None
