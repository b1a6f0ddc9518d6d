"""The slices of a series: single-frame files, or the frames of enhanced CT (DICOM PS3.3, A.38, A.70 and C.7.6.16).

Everything behind this module sees slices, and never asks in which kind of file one lies.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ctstyle.ct.elements import tag_of, value
from ctstyle.ct.header import DAMAGE_IN_MEMORY
from ctstyle.ct.index import DicomFile, TruncatedFile
from ctstyle.ct.limits import LARGEST_FRAMES, absurd_size
from ctstyle.errors import CTStyleError, Fact

PER_FRAME = "PerFrameFunctionalGroupsSequence"
SHARED = "SharedFunctionalGroupsSequence"
FUNCTIONAL_GROUPS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "CTImageFrameTypeSequence",
    "CTAcquisitionDetailsSequence",
    "CTReconstructionSequence",
    "CTExposureSequence",
    "CTXRayDetailsSequence",
    "ContrastBolusUsageSequence",
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
)
"""The functional groups that say something about geometry, values or acquisition of a frame. The last two hold what a
legacy-converted file keeps of its single-frame original."""
OF_THE_FILE = frozenset(
    (
        "Rows",
        "Columns",
        "NumberOfFrames",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
    )
)
"""Tags that hold for all pixel data of a file, whatever a functional group may say."""


class MissingTag(CTStyleError):
    """A tag that the geometry needs is missing, empty or no number."""


class MultiFrame(CTStyleError):
    """A file holds several frames and does not say where each lies."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice of a series: its tags, and where its pixels lie (`file`, and the number of the frame in it from 0).

    `groups` are the items of a frame's functional groups; a tag is looked up there first and then in the file.
    """

    file: DicomFile
    frame: int = 0
    groups: tuple[pydicom.Dataset, ...] | None = None
    _own: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def _seen(self) -> dict[str, Any]:
        """Values that were looked up; those of a whole file are kept with it."""
        return self.file.seen if self.groups is None else self._own

    @property
    def name(self) -> str:
        """Where the slice lies, for messages."""
        return self.file.name if self.groups is None else f"{self.file.name}, frame {self.frame + 1}"

    def get(self, keyword: str) -> Any:
        """The value of a tag, None where it is missing or empty, or its bytes where they are no value of their type."""
        seen = self._seen
        if keyword not in seen:
            seen[keyword] = self._look_up(keyword)
        return seen[keyword]

    def _look_up(self, keyword: str) -> Any:
        found = self._holder(keyword)
        if found is None:
            return None
        try:
            return value(found, keyword)
        except DAMAGE_IN_MEMORY:
            return found.get_item(tag_of(keyword), keep_deferred=True).value

    def has(self, keyword: str) -> bool:
        """Whether a tag is there and not empty."""
        return self._holder(keyword) is not None

    def _holder(self, keyword: str) -> pydicom.Dataset | None:
        """The dataset in which a tag is not empty."""
        groups = () if self.groups is None or keyword in OF_THE_FILE else self.groups
        for dataset in (*groups, self.file.header):
            element = dataset.get_item(tag_of(keyword), keep_deferred=True)
            if element is not None and element.value not in (None, "", b""):
                return dataset
        return None

    def text(self, keyword: str) -> str:
        """The value of a tag as text, empty where it is missing."""
        found = self.get(keyword)
        return "" if found is None else str(found).strip()

    def texts(self, keyword: str) -> list[str]:
        """The values of a tag as texts; none where it is missing or a sequence."""
        found = self.get(keyword)
        if found is None or isinstance(found, pydicom.Sequence):
            return []
        return [str(part).strip() for part in (found if isinstance(found, MultiValue) else [found])]

    def numbers(self, keyword: str, count: int = 1) -> np.ndarray:
        """The float64 values of a tag. Raises MissingTag where there are not `count` of them, or no finite numbers."""
        seen, place = self._seen, f"{keyword} as numbers"
        if place not in seen:
            seen[place] = self._look_up_numbers(keyword)
        array = seen[place]
        if array.size != count or not all(map(math.isfinite, array.tolist())):
            raise missing_tag(self, keyword, f"{count} number{'s' if count > 1 else ''}")
        return array

    def _look_up_numbers(self, keyword: str) -> np.ndarray:
        """The float64 values of a tag, none where they are no numbers."""
        found = self._holder(keyword)
        element = None if found is None else found.get_item(tag_of(keyword), keep_deferred=True)
        if isinstance(element, RawDataElement) and element.VR in ("DS", "IS"):
            # straight from the bytes: pydicom's decimal strings take ten times as long
            # (and Python, not DICOM, takes 1_0 for ten)
            values = element.value.replace(b"_", b"?").rstrip(b"\0").split(b"\\")
        else:
            said = self.get(keyword)
            values = [said] if said is None or np.isscalar(said) else said
        try:
            return np.array([float(entry) for entry in values])
        except (TypeError, ValueError):
            return np.array([])

    def whole_number(self, keyword: str, low: int, high: int) -> int:
        """The whole number of a tag. Raises MissingTag where it is none, or not from `low` to `high`."""
        number = float(self.numbers(keyword)[0])
        if number != int(number) or not low <= number <= high:
            raise missing_tag(self, keyword, f"a whole number from {low} to {high}")
        return int(number)


def slices_of(files: Sequence[DicomFile]) -> list[Slice]:
    """The slices of the files of one series, in the order of the files.

    Raises TruncatedFile for a file without pixel data, MultiFrame for a file with several frames and no functional
    groups, or not one for each of its frames, and AbsurdSize for more frames than any file has.
    """
    return [one for file in files for one in _of_file(file)]


def _of_file(file: DicomFile) -> Iterator[Slice]:
    alone = Slice(file)
    if file.pixels_at is None and file.header.file_meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        raise TruncatedFile(
            "the file ends before its pixel data",
            where=file.name,
            found=Fact(f"{file.member.size} bytes without {tag_name('PixelData')}"),
            expected="a CT image",
            fix="Copy or export the file again, or take it out of the folder if it is no part of the series.",
        )
    frames = alone.whole_number("NumberOfFrames", 0, 1 << 31) or 1 if alone.has("NumberOfFrames") else 1
    if frames > LARGEST_FRAMES:
        raise absurd_size(
            f"more frames than any CT; {tag_name('NumberOfFrames')}",
            where=file.name,
            found=frames,
            expected=f"at most {LARGEST_FRAMES}",
        )
    per_frame = _items(alone.get(PER_FRAME))
    if not per_frame:
        if frames > 1:
            raise MultiFrame(
                f"a multi-frame CT file that does not say where its frames lie; {tag_name('NumberOfFrames')}",
                where=file.name,
                found=Fact(f"{frames} frames and no {tag_name(PER_FRAME)}"),
                expected="enhanced CT, or one slice per file",
                fix="Export the series as CT Image Storage or Enhanced CT Image Storage.",
            )
        yield alone
        return
    if len(per_frame) != frames:
        raise MultiFrame(
            f"the frames of an enhanced CT and their descriptions differ in number; {tag_name(PER_FRAME)}",
            where=file.name,
            found=Fact(f"{len(per_frame)} descriptions"),
            expected=f"{frames}, {tag_name('NumberOfFrames')}",
            fix="Copy or export the file again.",
        )
    shared = _group_items(_items(alone.get(SHARED))[:1])
    for number, item in enumerate(per_frame):
        yield Slice(file, number, (*_group_items([item]), *shared))


def _group_items(datasets: Sequence[pydicom.Dataset]) -> tuple[pydicom.Dataset, ...]:
    """The first item of every known functional group."""
    return tuple(
        item
        for dataset in datasets
        for keyword in FUNCTIONAL_GROUPS
        if keyword in dataset
        for item in _items(_unless_damaged(dataset, keyword))[:1]
    )


def _unless_damaged(dataset: pydicom.Dataset, keyword: str) -> object:
    """The value of a tag; None where it cannot be parsed, so that what it should say is found missing."""
    try:
        return dataset.get(keyword)
    except DAMAGE_IN_MEMORY:
        return None


def _items(value: object) -> list[pydicom.Dataset]:
    """The items of a sequence; none where damage made something else of it."""
    return list(value) if isinstance(value, pydicom.Sequence) else []


def missing_tag(one: Slice, keyword: str, expected: str) -> MissingTag:
    """The error for a tag without a usable value."""
    return MissingTag(
        f"{tag_name(keyword)} is missing or has no usable value",
        where=one.name,
        found=repr(one.get(keyword))[:80],
        expected=expected,
        fix="Export the series again from its archive with complete headers.",
    )


def tag_name(keyword: str) -> str:
    """A tag as people look it up: `RescaleSlope (0028,1053)`."""
    tag = pydicom.datadict.tag_for_keyword(keyword)
    return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
