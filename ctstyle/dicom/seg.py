"""Lay the frames of a DICOM-SEG onto the grid of a CT volume by geometry (DICOM PS3.3, A.51 and C.8.20)."""

from dataclasses import dataclass

import numpy as np
import pydicom

from ctstyle.dicom.geometry import tag_name
from ctstyle.dicom.index import DicomFile, TruncatedFile
from ctstyle.dicom.volume import Volume
from ctstyle.errors import CTStyleError

PARALLEL = 0.999
"""Cosine above which a frame lies in the plane of the CT slices."""


class UnreadableSegmentation(CTStyleError):
    """A DICOM-SEG whose frames cannot be placed."""


@dataclass(frozen=True)
class Frames:
    """The frames of a DICOM-SEG on a grid of their own, sorted along their normal.

    `labels` uint8 `[planes, rows, columns]` and its geometry as in `volume.Volume`. Frame order in the file plays no
    part; planes without a frame are empty.
    """

    labels: np.ndarray
    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    direction: np.ndarray


def segment_names(dataset: pydicom.Dataset) -> dict[int, str]:
    """The name of every segment by its number: its label, and the meaning of its property code."""
    names = {}
    for segment in dataset.get("SegmentSequence") or ():
        codes = segment.get("SegmentedPropertyTypeCodeSequence") or ()
        meanings = [str(code.get("CodeMeaning") or "") for code in codes]
        names[int(segment.SegmentNumber)] = " ".join([str(segment.get("SegmentLabel") or ""), *meanings]).strip()
    return names


def read_frames(file: DicomFile, labels: dict[int, int], volume: Volume) -> Frames:
    """The frames whose segment number has a label other than 0 in `labels`, painted with it.

    Where segments overlap the higher label wins. A fractional segmentation counts where it reaches half of
    MaximumFractionalValue. Frames on the planes of the CT are taken one by one (a SEG may hold every second slice
    only); otherwise they must be equally spaced. Raises TruncatedFile and UnreadableSegmentation.
    """
    dataset = file.dataset()
    try:
        pixels = dataset.pixel_array
    except (AttributeError, ValueError, RuntimeError, EOFError) as error:
        raise TruncatedFile(
            "the pixel data of the DICOM-SEG is cut off or damaged",
            where=file.name,
            found=f"{type(error).__name__}: {error}",
            expected=f"{dataset.get('NumberOfFrames')} frames",
            fix="Copy or export the file again.",
        ) from error
    pixels = pixels.reshape(-1, *pixels.shape[-2:])
    if dataset.get("SegmentationType") == "FRACTIONAL":
        present = pixels >= int(dataset.MaximumFractionalValue) / 2
    else:
        present = pixels > 0
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    shared = dataset.SharedFunctionalGroupsSequence[0] if dataset.get("SharedFunctionalGroupsSequence") else None
    segments = [_segment(group, shared, file) for group in groups]
    places = np.array(
        [_floats(group, shared, file, "PlanePositionSequence", "ImagePositionPatient") for group in groups]
    )
    turns = np.array(
        [_floats(group, shared, file, "PlaneOrientationSequence", "ImageOrientationPatient") for group in groups]
    )
    sizes = np.array([_floats(group, shared, file, "PixelMeasuresSequence", "PixelSpacing") for group in groups])
    if abs(turns - turns[0]).max() > 1e-3 or abs(sizes - sizes[0]).max() > 1e-3:
        raise _unreadable(file, "ImageOrientationPatient", "frames of different orientation or pixel spacing")
    row, column = turns[0].reshape(2, 3)
    normal = np.cross(row, column)
    along = places @ normal
    step = _step(along, normal, places, volume, _spacing_between(groups[0], shared), file)
    plane = np.rint((along - along.min()) / step).astype(int)
    canvas = np.zeros((plane.max() + 1, *present.shape[1:]), np.uint8)
    for frame in range(len(groups)):
        label = labels.get(segments[frame], 0)
        if label:
            target = canvas[plane[frame]]
            np.maximum(target, np.where(present[frame], np.uint8(label), np.uint8(0)), out=target)
    return Frames(
        canvas,
        tuple(float(value) for value in places[along.argmin()]),
        (float(sizes[0][1]), float(sizes[0][0]), step),
        np.stack([row, column, normal], axis=1),
    )


def _step(along, normal, places, volume: Volume, given: float | None, file: DicomFile) -> float:
    """The distance of the planes: that of the CT slices where all frames lie on them, else their own."""
    axis = np.asarray(volume.direction)[:, 2]
    ct_step = float(volume.spacing_mm[2])
    index = (places - np.asarray(volume.origin_mm)) @ axis / ct_step
    if abs(normal @ axis) > PARALLEL and abs(index - np.rint(index)).max() < 0.1:
        return ct_step
    gaps = np.diff(np.unique(np.round(along, 3)))
    if not gaps.size:
        return given or ct_step
    step = given or float(gaps.min())
    if abs(gaps / step - np.rint(gaps / step)).max() > 0.1:
        raise _unreadable(file, "ImagePositionPatient", f"frames {gaps.min():.3f} to {gaps.max():.3f} mm apart")
    return step


def _spacing_between(group: pydicom.Dataset, shared: pydicom.Dataset | None) -> float | None:
    item = _item(group, shared, "PixelMeasuresSequence")
    value = item.get("SpacingBetweenSlices") if item is not None else None
    return float(value) if value else None


def _segment(group: pydicom.Dataset, shared: pydicom.Dataset | None, file: DicomFile) -> int:
    item = _item(group, shared, "SegmentIdentificationSequence")
    if item is None or "ReferencedSegmentNumber" not in item:
        raise _unreadable(file, "ReferencedSegmentNumber", "no value for a frame")
    return int(item.ReferencedSegmentNumber)


def _floats(group, shared, file: DicomFile, sequence: str, keyword: str) -> list[float]:
    item = _item(group, shared, sequence)
    if item is None or not item.get(keyword):
        raise _unreadable(file, keyword, "no value for a frame")
    return [float(value) for value in item[keyword].value]


def _item(group: pydicom.Dataset, shared: pydicom.Dataset | None, sequence: str) -> pydicom.Dataset | None:
    for place in (group, shared):
        if place is not None and place.get(sequence):
            return place[sequence].value[0]
    return None


def _unreadable(file: DicomFile, keyword: str, found: str) -> UnreadableSegmentation:
    return UnreadableSegmentation(
        f"the frames of the DICOM-SEG cannot be placed; {tag_name(keyword)}",
        where=file.name,
        found=found,
        expected="position, orientation, spacing and segment of every frame on one regular grid",
        fix="Export the segmentation again, or as NIfTI.",
    )
