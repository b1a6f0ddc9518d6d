"""The grid of a CT series from the headers of its slices (DICOM PS3.3, C.7.6.2), and every way it can be broken."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pydicom

from ctstyle.dicom.index import DicomFile
from ctstyle.errors import CTStyleError

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


class MissingTag(CTStyleError):
    """A tag that the geometry needs is missing, empty or no number."""


class MultiFrame(CTStyleError):
    """A file holds several frames (enhanced CT)."""


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
    """A regular grid in LPS mm (as in `volume.Volume`) and the files in the order of its slices."""

    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    direction: np.ndarray
    files: tuple[DicomFile, ...]


def grid(files: Sequence[DicomFile]) -> Grid:
    """Sort the files of one series by position along the slice normal and check that they make a regular grid.

    File names and instance numbers play no part. A single slice takes its thickness (SliceThickness) as spacing.
    Raises MissingTag, MultiFrame, MixedOrientation, DuplicatedSlices, MissingSlices, UnequalSpacing or GantryTilt.
    """
    for file in files:
        frames = int(file.header.get("NumberOfFrames") or 1)
        if frames > 1:
            raise MultiFrame(
                "a multi-frame CT file; NumberOfFrames (0028,0008)",
                where=file.name,
                found=frames,
                expected="one slice per file (CT Image Storage)",
                fix="Convert it to single-frame CT, for example with dcm4che's emf2sf.",
            )
    spacing, axes = _common_plane(files)
    row, column = axes
    normal = np.cross(row, column)
    positions = np.array([numbers(file, "ImagePositionPatient", 3) for file in files])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    files = [files[i] for i in order]
    positions, along = positions[order], along[order]
    if len(files) == 1:
        step = float(numbers(files[0], "SliceThickness", 1)[0])
    else:
        step = _step(files, along)
        _check_tilt(files, positions, axes, step)
    return Grid(
        tuple(float(value) for value in positions[0]),
        (float(spacing[1]), float(spacing[0]), step),
        np.stack([row, column, normal], axis=1),
        tuple(files),
    )


def numbers(file: DicomFile, keyword: str, count: int) -> np.ndarray:
    """The float64 values of a tag. Raises MissingTag where there are not `count` of them or they are no numbers."""
    value = file.header.get(keyword)
    values = [value] if value is not None and np.isscalar(value) else list(value or ())
    try:
        array = np.array([float(entry) for entry in values if entry is not None and entry != ""])
    except (TypeError, ValueError):
        array = np.array([])
    if array.size != count or not np.isfinite(array).all():
        raise missing_tag(file, keyword, f"{count} number{'s' if count > 1 else ''}")
    return array


def missing_tag(file: DicomFile, keyword: str, expected: str) -> MissingTag:
    """The error for a tag without a usable value."""
    return MissingTag(
        f"{tag_name(keyword)} is missing or has no usable value",
        where=file.name,
        found=repr(file.header.get(keyword)),
        expected=expected,
        fix="Export the series again from its archive with complete headers.",
    )


def tag_name(keyword: str) -> str:
    """A tag as people look it up: `RescaleSlope (0028,1053)`."""
    tag = pydicom.datadict.tag_for_keyword(keyword)
    return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _common_plane(files: Sequence[DicomFile]) -> tuple[np.ndarray, np.ndarray]:
    """(row spacing, column spacing) in mm and the two in-plane unit vectors, equal in all files."""
    first: dict[str, np.ndarray] = {}
    counts = {"Rows": 1, "Columns": 1, "PixelSpacing": 2, "ImageOrientationPatient": 6}
    for file in files:
        for keyword, count in counts.items():
            values = numbers(file, keyword, count)
            expected = first.setdefault(keyword, values)
            if not np.allclose(values, expected, rtol=0, atol=COSINE_TOLERANCE):
                raise MixedOrientation(
                    f"{tag_name(keyword)} differs from that of {files[0].name}",
                    where=file.name,
                    found=values.tolist(),
                    expected=expected.tolist(),
                    fix="Put the slices of each orientation and size into a folder of their own.",
                )
    cosines = first["ImageOrientationPatient"].reshape(2, 3)
    lengths = np.linalg.norm(cosines, axis=1)
    if abs(lengths - 1).max() > 10 * COSINE_TOLERANCE or abs(cosines[0] @ cosines[1]) > 10 * COSINE_TOLERANCE:
        raise missing_tag(files[0], "ImageOrientationPatient", "two orthogonal unit vectors")
    if (first["PixelSpacing"] <= 0).any():
        raise missing_tag(files[0], "PixelSpacing", "two numbers above 0")
    return first["PixelSpacing"], cosines / lengths[:, None]


def _step(files: Sequence[DicomFile], along: np.ndarray) -> float:
    """The distance of the slices in mm, after all gaps were found equal."""
    gaps = np.diff(along)
    closest = int(np.argmin(gaps))
    if gaps[closest] < GAP_TOLERANCE_MM:
        twins = int((gaps < GAP_TOLERANCE_MM).sum())
        several = "slices lie" if twins > 1 else "slice lies"
        raise DuplicatedSlices(
            f"{twins} {several} where another one does; ImagePositionPatient (0020,0032)",
            where=files[closest + 1].name,
            found=f"{along[closest + 1]:.3f} mm along the normal, as {files[closest].name}",
            expected="one file per position",
            fix="Take the copies out, or put each phase or reconstruction into a folder of its own.",
        )
    usual = float(np.median(gaps))
    wide = np.flatnonzero(gaps > MISSING_FACTOR * usual)
    if wide.size:
        lost = int(np.rint(gaps[wide] / usual - 1).sum())
        raise MissingSlices(
            f"about {lost} slice{'s are' if lost > 1 else ' is'} missing; ImagePositionPatient (0020,0032)",
            where=files[wide[0] + 1].name,
            found=f"{gaps[wide[0]]:.3f} mm after {files[wide[0]].name}",
            expected=f"{usual:.3f} mm as between the others",
            fix="Fetch the missing files, or cut the series at the gap into two folders.",
        )
    worst = int(np.argmax(abs(gaps - usual)))
    if abs(gaps[worst] - usual) > GAP_TOLERANCE_MM:
        raise UnequalSpacing(
            "the slices are not equally spaced; ImagePositionPatient (0020,0032)",
            where=files[worst + 1].name,
            found=f"{gaps[worst]:.3f} mm after {files[worst].name}",
            expected=f"{usual:.3f} mm as between the others",
            fix="Resample the series to one spacing, or export it again with one spacing.",
        )
    return float((along[-1] - along[0]) / (len(along) - 1))


def _check_tilt(files: Sequence[DicomFile], positions: np.ndarray, axes: np.ndarray, step: float) -> None:
    """The origins of the slices must lie on one line along their normal; GantryDetectorTilt alone says little."""
    drift = (positions - positions[0]) @ axes.T
    straight = np.outer(np.arange(len(files)) / (len(files) - 1), drift[-1])
    wander = float(abs(drift - straight).max())
    angle = float(np.degrees(np.arctan2(np.linalg.norm(drift[-1]) / (len(files) - 1), step)))
    if angle <= TILT_TOLERANCE_DEG and wander <= WANDER_TOLERANCE_MM:
        return
    said = files[-1].header.get("GantryDetectorTilt")
    raise GantryTilt(
        "the slices are shifted against each other: gantry tilt; ImagePositionPatient (0020,0032)",
        where=files[-1].name,
        found=f"{angle:.1f} degrees off the normal, up to {wander:.1f} mm off a line; GantryDetectorTilt (0018,1120) "
        f"{'not given' if said in (None, '') else said}",
        expected="slices stacked along their normal",
        fix="Resample the series to a straight grid first, for example with dcm2niix, and give the NIfTI file instead.",
    )
