"""A CT series: its slices, the regular grid that they make, and every way it can be broken.

Slices are single-frame files or the frames of enhanced CT (DICOM PS3.3, A.38, A.70, C.7.6.2 and C.7.6.16). Everything
behind this module sees slices, and never asks in which kind of file one lies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ctstyle.ct.files import TruncatedFile, tag_name
from ctstyle.ct.index import DicomFile, Tags, as_point
from ctstyle.ct.limits import (
    LARGEST_FRAMES,
    LARGEST_SIDE,
    Fields,
    absurd_size,
    check_place,
    check_positions,
    check_voxels,
)
from ctstyle.ct.volume import Grid
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
    "SegmentIdentificationSequence",
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
)
"""The functional groups that say something about geometry, values, acquisition or segment of a frame. The last two hold
what a legacy-converted file keeps of its single-frame original."""
OF_THE_FILE = {
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
}
"""Tags that hold for all pixel data of a file, whatever a functional group may say."""
COSINE_TOLERANCE = 1e-3
"""Direction cosines that differ by less (0.06 degrees) count as one orientation: vendors round them."""
GAP_TOLERANCE_MM = 0.1
"""Distances between slices that differ by less count as equal: vendors round positions."""
MISSING_FACTOR = 1.5
"""A distance this many times the usual one means that a slice is missing."""
TILT_TOLERANCE_DEG = 0.2
"""A stack that leans less against its normal counts as straight."""
WANDER_TOLERANCE_MM = 1.0
"""No slice may lie further beside the line through the first and the last."""
FIELDS = Fields(
    f"{tag_name('PixelSpacing')}, {tag_name('ImagePositionPatient')}, {tag_name('SliceThickness')}",
    tag_name("ImagePositionPatient"),
    tag_name("ImageOrientationPatient"),
)
"""The tags that place the voxels of a series."""


class MissingTag(CTStyleError):
    """A tag that the geometry needs is missing, empty or no number."""


class MultiFrame(CTStyleError):
    """A file holds several frames and does not say where each lies."""


@dataclass(frozen=True, eq=False)
class Slice(Tags):
    """One slice of a series: its tags, and where its pixels lie (`file`, and the number of the frame in it from 0).

    A tag of a frame is looked up in the items of its functional groups first and then in the file.
    """

    frame: int | None = None

    @classmethod
    def of_file(cls, file: DicomFile) -> "Slice":
        """The slice that a single-frame file is, or what all frames of a file share."""
        return cls(file, (file.header,))

    @property
    def name(self) -> str:
        """Where the slice lies, for messages."""
        return self.file.name if self.frame is None else f"{self.file.name}, frame {self.frame + 1}"

    def get(self, keyword: str) -> object:
        """The value of a tag, None where it is missing or empty."""
        return self.file.tags.get(keyword) if keyword in OF_THE_FILE else super().get(keyword)

    def needed(self, keyword: str, count: int = 1) -> np.ndarray:
        """The float64 values of a tag. Raises MissingTag where there are not `count` of them, or no finite numbers."""
        found = self.numbers(keyword, count)
        if found is None:
            raise missing_tag(self, keyword, f"{count} number{'s' if count > 1 else ''}")
        return found

    def needed_whole(self, keyword: str, low: int, high: int) -> int:
        """The whole number of a tag. Raises MissingTag where it is none, or not from `low` to `high`."""
        found = self.whole(keyword)
        if found is None or not low <= found <= high:
            raise missing_tag(self, keyword, f"a whole number from {low} to {high}")
        return found

    def frames(self, most: int = 1 << 31) -> int:
        """The frames of the file; those that do not say are one. Raises MissingTag."""
        return 1 if self.get("NumberOfFrames") is None else self.needed_whole("NumberOfFrames", 0, most) or 1


def slices_of(files: Sequence[DicomFile]) -> list[Slice]:
    """The slices of the files of one series, in the order of the files.

    Raises TruncatedFile for a file without pixel data, MultiFrame for a file with several frames and no functional
    groups, or not one for each of its frames, and AbsurdSize for more frames than any file has.
    """
    return [one for file in files for one in _of_file(file)]


def _of_file(file: DicomFile) -> Iterator[Slice]:
    alone = Slice.of_file(file)
    if file.pixels_at is None and file.header.file_meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        raise TruncatedFile(
            "the file ends before its pixel data",
            where=file.name,
            found=Fact(f"{file.member.size} bytes without {tag_name('PixelData')}"),
            expected="a CT image",
            fix="Copy or export the file again, or take it out of the folder if it is no part of the series.",
        )
    frames = alone.frames()
    if frames > LARGEST_FRAMES:
        raise absurd_size(
            f"more frames than any CT; {tag_name('NumberOfFrames')}",
            where=file.name,
            found=frames,
            expected=f"at most {LARGEST_FRAMES}",
        )
    per_frame = alone.items(PER_FRAME)
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
    shared = [item for place in alone.items(SHARED)[:1] for item in functional_groups(place)]
    for number, item in enumerate(per_frame):
        yield Slice(file, (*functional_groups(item), *shared, file.header), number)


def functional_groups(place: Tags) -> list[pydicom.Dataset]:
    """The first item of every known functional group."""
    return [item.datasets[0] for keyword in FUNCTIONAL_GROUPS for item in place.items(keyword)[:1]]


def missing_tag(one: Slice, keyword: str, expected: str) -> MissingTag:
    """The error for a tag without a usable value."""
    return MissingTag(
        f"{tag_name(keyword)} is missing or has no usable value",
        where=one.name,
        found=repr(one.get(keyword))[:80],
        expected=expected,
        fix="Export the series again from its archive with complete headers.",
    )


class MixedOrientation(CTStyleError):
    """The slices of a series differ in orientation, size or pixel spacing."""


class DuplicatedSlices(CTStyleError):
    """Two files lie at the same position."""


class MissingSlices(CTStyleError):
    """The distances between slices show a gap."""


class UnequalSpacing(CTStyleError):
    """The distances between slices vary."""


class GantryTilt(CTStyleError):
    """The slices are shifted against each other: the volume is sheared."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Stack(Grid):
    """The grid of a series and its slices in order along z."""

    slices: tuple[Slice, ...]


def stack(slices: Sequence[Slice]) -> Stack:
    """Sort the slices of one series by position along their normal and check that they make a regular grid.

    File names, frame and instance numbers play no part. A single slice takes its thickness (SliceThickness) as spacing.
    Raises MissingTag, MixedOrientation, DuplicatedSlices, MissingSlices, UnequalSpacing, GantryTilt, AbsurdSize and
    OutOfBounds for a volume that is no CT (`limits`).
    """
    size, spacing, axes = _common_plane(slices)
    row, column = axes
    normal = np.cross(row, column)
    positions = np.array([one.needed("ImagePositionPatient", 3) for one in slices])
    for one, position in zip(slices, positions, strict=True):
        check_positions(position, where=one.name, field=FIELDS.position)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    slices = [slices[i] for i in order]
    positions, along = positions[order], along[order]
    if len(slices) == 1:
        step = float(slices[0].needed("SliceThickness")[0])
        if step <= 0:
            raise missing_tag(slices[0], "SliceThickness", "a number above 0")
    else:
        step = _step(slices, along)
        _check_tilt(slices, positions, axes, step)
    found = Stack(
        shape=(len(slices), *size),
        origin_mm=as_point(positions[0]),
        spacing_mm=(float(spacing[1]), float(spacing[0]), step),
        direction=np.stack([row, column, normal], axis=1),
        slices=tuple(slices),
    )
    check_place(found, where=slices[0].name, fields=FIELDS)
    return found


def _common_plane(slices: Sequence[Slice]) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """(rows, columns), (row spacing, column spacing) in mm and the two in-plane unit vectors, equal in all slices."""
    first: dict[str, np.ndarray] = {}
    counts = {"Rows": 1, "Columns": 1, "PixelSpacing": 2, "ImageOrientationPatient": 6}
    for keyword, count in counts.items():
        values = np.array([one.needed(keyword, count) for one in slices])
        first[keyword] = values[0]
        other = np.flatnonzero((abs(values - values[0]) > COSINE_TOLERANCE).any(axis=1))
        if other.size:
            raise MixedOrientation(
                f"{tag_name(keyword)} differs from that of another slice",
                where=f"{slices[other[0]].name} and {slices[0].name}",
                found=values[other[0]].tolist(),
                expected=values[0].tolist(),
                fix="Put the slices of each orientation and size into a folder of their own.",
            )
    for keyword in ("Rows", "Columns"):
        if first[keyword][0] > LARGEST_SIDE:
            raise absurd_size(
                f"a slice larger than any CT; {tag_name(keyword)}",
                where=slices[0].name,
                found=int(first[keyword][0]),
                expected=f"at most {LARGEST_SIDE}",
            )
    rows, columns = (slices[0].needed_whole(keyword, 1, LARGEST_SIDE) for keyword in ("Rows", "Columns"))
    size = (rows, columns)
    check_voxels((len(slices), *size), where=slices[0].name)
    cosines = first["ImageOrientationPatient"].reshape(2, 3)
    lengths = np.linalg.norm(cosines, axis=1)
    if abs(lengths - 1).max() > 10 * COSINE_TOLERANCE or abs(cosines[0] @ cosines[1]) > 10 * COSINE_TOLERANCE:
        raise missing_tag(slices[0], "ImageOrientationPatient", "two orthogonal unit vectors")
    if (first["PixelSpacing"] <= 0).any():
        raise missing_tag(slices[0], "PixelSpacing", "two numbers above 0")
    return size, first["PixelSpacing"], cosines / lengths[:, None]


def _step(slices: Sequence[Slice], along: np.ndarray) -> float:
    """The distance of the slices in mm, after all gaps were found equal."""
    gaps = np.diff(along)
    closest = int(np.argmin(gaps))
    if gaps[closest] < GAP_TOLERANCE_MM:
        twins = int((gaps < GAP_TOLERANCE_MM).sum())
        several = "slices lie" if twins > 1 else "slice lies"
        raise DuplicatedSlices(
            f"{twins} {several} where another one does; ImagePositionPatient (0020,0032)",
            where=f"{slices[closest + 1].name} and {slices[closest].name}",
            found=Fact(f"{along[closest + 1]:.3f} mm along the normal in both"),
            expected="one slice per position",
            fix="Take the copies out, or put each phase or reconstruction into a folder of its own.",
        )
    usual = float(np.median(gaps))
    wide = np.flatnonzero(gaps > MISSING_FACTOR * usual)
    if wide.size:
        lost = int(np.rint(gaps[wide] / usual - 1).sum())
        raise MissingSlices(
            f"about {lost} slice{'s are' if lost > 1 else ' is'} missing; ImagePositionPatient (0020,0032)",
            where=f"{slices[wide[0] + 1].name} after {slices[wide[0]].name}",
            found=Fact(f"{gaps[wide[0]]:.3f} mm"),
            expected=f"{usual:.3f} mm as between the others",
            fix="Fetch the missing files, or cut the series at the gap into two folders.",
        )
    worst = int(np.argmax(abs(gaps - usual)))
    if abs(gaps[worst] - usual) > GAP_TOLERANCE_MM:
        raise UnequalSpacing(
            "the slices are not equally spaced; ImagePositionPatient (0020,0032)",
            where=f"{slices[worst + 1].name} after {slices[worst].name}",
            found=Fact(f"{gaps[worst]:.3f} mm"),
            expected=f"{usual:.3f} mm as between the others",
            fix="Resample the series to one spacing, or export it again with one spacing.",
        )
    return float((along[-1] - along[0]) / (len(along) - 1))


def _check_tilt(slices: Sequence[Slice], positions: np.ndarray, axes: np.ndarray, step: float) -> None:
    """The origins of the slices must lie on one line along their normal; GantryDetectorTilt alone says little."""
    drift = (positions - positions[0]) @ axes.T
    straight = np.outer(np.arange(len(slices)) / (len(slices) - 1), drift[-1])
    wander = float(abs(drift - straight).max())
    angle = float(np.degrees(np.arctan2(np.linalg.norm(drift[-1]) / (len(slices) - 1), step)))
    if angle <= TILT_TOLERANCE_DEG and wander <= WANDER_TOLERANCE_MM:
        return
    raise GantryTilt(
        "the slices are shifted against each other: gantry tilt; ImagePositionPatient (0020,0032)",
        where=slices[-1].name,
        found=Fact(f"{angle:.1f} degrees off the normal, up to {wander:.1f} mm off a line"),
        expected="slices stacked along their normal",
        fix="Resample the series to a straight grid first, for example with dcm2niix, and give the NIfTI file instead.",
    )
