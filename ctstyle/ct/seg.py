"""Lay the frames of a DICOM-SEG onto a grid of their own by geometry (DICOM PS3.3, A.51 and C.8.20)."""

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom import uid
from pydicom.pixels import iter_pixels

from ctstyle.ct.files import DAMAGE, TruncatedFile, raise_if_of_the_system, tag_name
from ctstyle.ct.index import DicomFile, Tags, as_point
from ctstyle.ct.labels import LARGEST_NUMBER, Segment, described
from ctstyle.ct.limits import check_place, check_positions
from ctstyle.ct.series import FIELDS, PER_FRAME, SHARED, functional_groups
from ctstyle.ct.volume import Grid, LabelImage
from ctstyle.ct.words import PYDICOM_PLUGIN
from ctstyle.errors import CTStyleError, Fact

PARALLEL = 0.999
"""Cosine above which a frame lies in the plane of the CT slices."""
LARGEST_FRAME = 1 << 26
"""Pixels of one frame (8192 x 8192); a compressed file can claim any size."""
LARGEST_GRID = 1 << 30
"""Voxels between the first and the last frame; frames further apart are misplaced."""


class UnreadableSegmentation(CTStyleError):
    """A DICOM-SEG whose frames cannot be placed."""


def segments(file: DicomFile) -> list[Segment]:
    """The segments with their names (label, meanings of codes) and what their codes mean.

    The background of a LABELMAP (PixelPaddingValue, 0 where missing) is none. Raises UnreadableSegmentation.
    """
    header = file.tags
    found = []
    for item in header.items("SegmentSequence"):
        number = item.whole("SegmentNumber")
        if number is None or not 0 <= number <= LARGEST_NUMBER:
            raise _unreadable(file, "SegmentNumber", item.get("SegmentNumber"))
        if not (_is_labelmap(header) and number == (header.whole("PixelPaddingValue") or 0)):
            found.append(described(number, item, [item.text("SegmentLabel")], "SegmentedPropertyTypeCodeSequence"))
    return found


def read_frames(file: DicomFile, labels: dict[int, int], ct: Grid) -> LabelImage:
    """The frames whose segment number has a label in `labels`, painted with it on a grid of their own.

    Frame order in the file plays no part, and planes without a frame are empty. Where segments overlap the higher label
    wins. A fractional segmentation (probability or occupancy) counts where it reaches half of MaximumFractionalValue;
    the pixels of a LABELMAP are segment numbers. Frames on the planes of the CT are taken one by one (a SEG may hold
    every second slice only); otherwise they must be equally spaced. Frames of other segments are never decoded. Raises
    TruncatedFile, UnreadableSegmentation and OutOfBounds.
    """
    header = file.tags
    frames = _frames(file)
    rows, columns = (header.whole(keyword) for keyword in ("Rows", "Columns"))
    if not rows or not columns or min(rows, columns) < 1 or rows * columns > LARGEST_FRAME:
        raise _unreadable(file, "Rows", Fact(f"{rows} x {columns} pixels"))
    tables = _tables(header, labels, frames)
    wanted = [number for number, table in enumerate(tables) if table.any()]
    if not wanted:
        raise _unreadable(file, "ReferencedSegmentNumber", Fact("no frame of any vertebra"))
    places, turns, sizes = (
        np.array([_needed(frames[number], keyword, count) for number in wanted])
        for keyword, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
    )
    if abs(turns - turns[0]).max() > 1e-3 or abs(sizes - sizes[0]).max() > 1e-3:
        raise _unreadable(file, "ImageOrientationPatient", Fact("frames of different orientation or pixel spacing"))
    direction = _direction(file, turns[0])
    check_positions(places.ravel(), where=file.name, field=FIELDS.position)
    along = places @ direction[:, 2]
    step = _step(along, direction[:, 2], places, ct, frames[wanted[0]])
    spacing = (float(sizes[0][1]), float(sizes[0][0]), step)
    span = np.ptp(along) / step
    if not span * rows * columns < LARGEST_GRID:
        raise _unreadable(file, "ImagePositionPatient", Fact(f"frames over {np.ptp(along):g} mm"))
    plane = np.rint((along - along.min()) / step).astype(int)
    grid = Grid(
        shape=(int(plane.max()) + 1, rows, columns),
        origin_mm=as_point(places[along.argmin()]),
        spacing_mm=spacing,
        direction=direction,
    )
    check_place(grid, where=file.name, fields=FIELDS)
    canvas = np.zeros(grid.shape, np.uint8)
    for target, frame, pixels in zip(
        plane, wanted, _decoded(header, wanted, (rows, columns), len(frames)), strict=True
    ):
        table = tables[frame]
        np.maximum(canvas[target], table[np.minimum(pixels.astype(np.intp), table.size - 1)], out=canvas[target])
    return LabelImage(labels=canvas, grid=grid, where=file.name, sparse=True)


def _frames(file: DicomFile) -> list[Tags]:
    """The frames with the tags of their own functional groups, and then of those that all share."""
    groups, count = file.tags.items(PER_FRAME), file.tags.whole("NumberOfFrames")
    if not groups or (1 if count is None else count) != len(groups):
        raise _unreadable(file, "NumberOfFrames", Fact(f"{count} for {len(groups)} items of {PER_FRAME}"))
    shared = [item for place in file.tags.items(SHARED)[:1] for item in functional_groups(place)]
    return [Tags(file, (*functional_groups(group), *shared)) for group in groups]


def _tables(header: Tags, labels: dict[int, int], frames: Sequence[Tags]) -> list[np.ndarray]:
    """For every frame the labels (uint8) that its pixel values mean; values beyond the end mean the last one."""
    if _is_labelmap(header):
        table = np.zeros(LARGEST_NUMBER + 1, np.uint8)
        table[list(labels)] = list(labels.values())
        return [table] * len(frames)
    threshold = 1
    if header.text("SegmentationType") == "FRACTIONAL":
        largest = header.whole("MaximumFractionalValue")
        if largest is None or not 1 <= largest <= 255:
            raise _unreadable(header.file, "MaximumFractionalValue", header.get("MaximumFractionalValue"))
        threshold = -(-largest // 2)
    present = np.arange(256) >= threshold
    tables = {number: present * np.uint8(label) for number, label in labels.items()}
    # where no frame says its segment, it is the only one there is
    only = header.items("SegmentSequence")
    alone = only[0].whole("SegmentNumber") if len(only) == 1 else None
    numbers = [frame.whole("ReferencedSegmentNumber") for frame in frames]
    numbers = [alone if number is None else number for number in numbers]
    if None in numbers:
        raise _unreadable(header.file, "ReferencedSegmentNumber", Fact("no value for a frame"))
    nothing = np.zeros(1, np.uint8)
    return [tables.get(int(number), nothing) for number in numbers if number is not None]


def _decoded(header: Tags, wanted: list[int], shape: tuple[int, int], count: int) -> Iterator[np.ndarray]:
    """The stored values `[rows, columns]` of the wanted frames, one after the other."""
    file = header.file
    try:
        dataset = file.dataset()
        syntax = dataset.file_meta.get("TransferSyntaxUID") or uid.ImplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax
        size = shape[0] * shape[1]
        if dataset.BitsAllocated == 1 and not syntax.is_encapsulated:
            # frames follow each other bit by bit; pydicom 3.0 fails where one does not begin on a whole byte
            packed = np.frombuffer(dataset.PixelData, np.uint8)
            if packed.size * 8 < size * count:
                raise ValueError(f"{packed.size} bytes of PixelData")
            for frame in wanted:
                start, end = frame * size, (frame + 1) * size
                bits = np.unpackbits(packed[start // 8 : -(-end // 8)], bitorder="little")
                yield bits[start % 8 :][:size].reshape(shape)
        else:
            plugin = PYDICOM_PLUGIN.get(syntax, "")
            for pixels in iter_pixels(dataset, indices=wanted, raw=True, decoding_plugin=plugin):
                if pixels.shape != shape or pixels.dtype.kind != "u":
                    raise ValueError(f"{pixels.dtype} values of shape {pixels.shape}")
                yield pixels
    except DAMAGE as error:
        raise_if_of_the_system(error)
        raise TruncatedFile(
            "the pixel data of the DICOM-SEG is cut off or damaged",
            where=file.name,
            found=f"{type(error).__name__}: {error}",
            expected=f"{count} frames of {shape[0]} x {shape[1]} pixels",
            fix="Copy or export the file again.",
        ) from error


def _direction(file: DicomFile, cosines: np.ndarray) -> np.ndarray:
    """The unit vectors of the axes (columns of a 3 x 3 matrix) of frames with these direction cosines."""
    row, column = cosines.reshape(2, 3)
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if abs(np.array(lengths) - 1).max() > 0.01 or abs(row @ column) > 0.01:
        raise _unreadable(file, "ImageOrientationPatient", cosines.tolist())
    row, column = row / lengths[0], column / lengths[1]
    return np.stack([row, column, np.cross(row, column)], axis=1)


def _step(along: np.ndarray, normal: np.ndarray, places: np.ndarray, ct: Grid, frame: Tags) -> float:
    """The distance of the planes in mm: that of the CT slices where all frames lie on them, else their own."""
    axis = np.asarray(ct.direction)[:, 2]
    ct_step = float(ct.spacing_mm[2])
    index = (places - np.asarray(ct.origin_mm)) @ axis / ct_step
    if abs(normal @ axis) > PARALLEL and abs(index - np.rint(index)).max() < 0.1:
        return ct_step
    gaps = np.diff(np.unique(np.round(along, 3)))
    said = [frame.number(keyword) for keyword in ("SpacingBetweenSlices", "SliceThickness")]
    steps = [abs(value) for value in said if value is not None and 1e-3 < abs(value) < 1e3]
    if not gaps.size:
        return (*steps, ct_step)[0]
    for step in (*steps, float(gaps.min())):
        if abs(gaps / step - np.maximum(np.rint(gaps / step), 1)).max() <= 0.1:
            return step
    found = Fact(f"frames {gaps.min():.3f} to {gaps.max():.3f} mm apart")
    raise _unreadable(frame.file, "ImagePositionPatient", found)


def _needed(frame: Tags, keyword: str, count: int) -> np.ndarray:
    found = frame.numbers(keyword, count)
    if found is None:
        said = frame.get(keyword)
        raise _unreadable(frame.file, keyword, Fact("no value for a frame") if said is None else said)
    return found


def _is_labelmap(header: Tags) -> bool:
    return header.text("SegmentationType") == "LABELMAP"


def _unreadable(file: DicomFile, keyword: str, found: object) -> UnreadableSegmentation:
    return UnreadableSegmentation(
        f"the frames of the DICOM-SEG cannot be placed; {tag_name(keyword)}",
        where=file.name,
        found=found,
        expected="position, orientation, spacing and segment of every frame on one regular grid",
        fix="Export the segmentation again, or as NIfTI.",
    )
