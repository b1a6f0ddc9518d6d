"""The grid of a CT series from the tags of its slices (DICOM PS3.3, C.7.6.2), and every way it can be broken."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctstyle.ct.frames import MissingTag, MultiFrame, Slice, missing_tag, tag_name
from ctstyle.ct.limits import LARGEST_SIDE, Fields, absurd_size, check_place, check_positions, check_voxels
from ctstyle.errors import CTStyleError, Fact

__all__ = [
    "DuplicatedSlices",
    "GantryTilt",
    "Grid",
    "MissingSlices",
    "MissingTag",
    "MixedOrientation",
    "MultiFrame",
    "UnequalSpacing",
    "grid",
    "tag_name",
]
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


@dataclass(frozen=True)
class Grid:
    """A regular grid in LPS mm (as in `volume.Volume`), its `shape` (z, y, x), and the slices in order along z."""

    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    direction: np.ndarray
    shape: tuple[int, int, int]
    slices: tuple[Slice, ...]


def grid(slices: Sequence[Slice]) -> Grid:
    """Sort the slices of one series by position along their normal and check that they make a regular grid.

    File names, frame and instance numbers play no part. A single slice takes its thickness (SliceThickness) as spacing.
    Raises MissingTag, MixedOrientation, DuplicatedSlices, MissingSlices, UnequalSpacing, GantryTilt, AbsurdSize and
    OutOfBounds for a volume that is no CT (`limits`).
    """
    size, spacing, axes = _common_plane(slices)
    row, column = axes
    normal = np.cross(row, column)
    positions = np.array([one.numbers("ImagePositionPatient", 3) for one in slices])
    for one, position in zip(slices, positions, strict=True):
        check_positions(position, where=one.name, field=FIELDS.position)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    slices = [slices[i] for i in order]
    positions, along = positions[order], along[order]
    if len(slices) == 1:
        step = float(slices[0].numbers("SliceThickness")[0])
        if step <= 0:
            raise missing_tag(slices[0], "SliceThickness", "a number above 0")
    else:
        step = _step(slices, along)
        _check_tilt(slices, positions, axes, step)
    found = Grid(
        tuple(float(value) for value in positions[0]),
        (float(spacing[1]), float(spacing[0]), step),
        np.stack([row, column, normal], axis=1),
        (len(slices), *size),
        tuple(slices),
    )
    place = (found.spacing_mm, found.origin_mm, found.direction)
    check_place(found.shape[::-1], *place, where=slices[0].name, fields=FIELDS)
    return found


def _common_plane(slices: Sequence[Slice]) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """(rows, columns), (row spacing, column spacing) in mm and the two in-plane unit vectors, equal in all slices."""
    first: dict[str, np.ndarray] = {}
    counts = {"Rows": 1, "Columns": 1, "PixelSpacing": 2, "ImageOrientationPatient": 6}
    for keyword, count in counts.items():
        values = np.array([one.numbers(keyword, count) for one in slices])
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
    size = tuple(slices[0].whole_number(keyword, 1, LARGEST_SIDE) for keyword in ("Rows", "Columns"))
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
