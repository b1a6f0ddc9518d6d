"""The contours of an RTSTRUCT on the grid of their CT (DICOM PS3.3, A.19, C.8.8.5 and C.8.8.6)."""

import logging
from collections import Counter, defaultdict

import numpy as np
from skimage.measure import grid_points_in_poly

from ctstyle.ct.files import DAMAGE, tag_name
from ctstyle.ct.index import DicomFile, Tags
from ctstyle.ct.labels import Segment, described
from ctstyle.ct.limits import check_positions
from ctstyle.ct.volume import Grid, LabelImage
from ctstyle.errors import CTStyleError, Fact

log = logging.getLogger(__name__)

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""ContourGeometricType of contours that bound an area."""
SAME_PLANE_MM = 0.05
"""Contours nearer to each other along the slice normal lie in one plane: vendors round coordinates."""
WIDEST_PLANE_MM = 5.0
"""Planes of an ROI that lie further apart do not stand for what lies between them."""
MOST_POINTS = 20_000
"""Of one contour; the outline of a body in a 512 x 512 slice has some 2,000."""


class UnreadableStructures(CTStyleError):
    """An RTSTRUCT whose contours cannot be read or do not lie in the planes of the CT slices."""


def rois(file: DicomFile) -> list[Segment]:
    """The ROIs of the structure set with their names and what the codes of their observations mean."""
    header = file.tags
    observed = {item.whole("ReferencedROINumber"): item for item in header.items("RTROIObservationsSequence")}
    found = []
    for item in header.items("StructureSetROISequence"):
        number = _number(item, "ROINumber")
        found.append(
            described(number, observed.get(number, item), [item.text("ROIName")], "RTROIIdentificationCodeSequence")
        )
    return found


def frames_of_reference(file: DicomFile, numbers: set[int]) -> set[str]:
    """The ReferencedFrameOfReferenceUID of these ROIs, as far as they name one."""
    items = file.tags.items("StructureSetROISequence")
    uids = {item.text("ReferencedFrameOfReferenceUID") for item in items if item.whole("ROINumber") in numbers}
    return uids - {""}


def rasterise(file: DicomFile, labels: dict[int, int], grid: Grid) -> LabelImage:
    """The ROIs with a label in `labels`, painted with it on the grid of their CT.

    A voxel belongs to an ROI where its centre lies inside an odd number of the ROI's contours of a plane, or exactly on
    one of them; holes may be contours of their own or keyholes. A slice takes the nearest plane within half a spacing,
    the slices' own or, where it is wider (up to WIDEST_PLANE_MM), that of the ROI's planes. Where ROIs overlap the
    higher label wins. Points and open contours are passed over and logged. Raises UnreadableStructures, OutOfBounds
    and TruncatedFile.
    """
    painted = np.zeros(grid.shape, np.uint8)
    to_voxels = np.linalg.inv(np.asarray(grid.direction) * np.asarray(grid.spacing_mm))
    passed_over: Counter = Counter()
    closed = 0
    for item in file.tags.items("ROIContourSequence"):
        label = labels.get(_number(item, "ReferencedROINumber"), 0)
        if not label:
            continue
        contours = []
        for contour in item.items("ContourSequence"):
            kind = contour.text("ContourGeometricType")
            points = _points(contour)
            if kind not in CLOSED or len(points) < 3:
                passed_over[kind if kind not in CLOSED else "CLOSED_PLANAR of fewer than 3 points"] += 1
                continue
            contours.append(_in_plane((points - grid.origin_mm) @ to_voxels.T, grid, file))
        closed += len(contours)
        _paint(painted, contours, label, float(grid.spacing_mm[2]))
    if passed_over:
        count = ", ".join(f"{number} {kind or 'without type'}" for kind, number in sorted(passed_over.items()))
        log.info("%s: passed over contours: %s", file.name, count)
    if not closed:
        raise _unreadable(
            "no closed contour in the vertebrae; ContourGeometricType (3006,0042)",
            file,
            ", ".join(f"{number} {kind}" for kind, number in sorted(passed_over.items())) or "no contour",
            "CLOSED_PLANAR contours",
        )
    return LabelImage(labels=painted, grid=grid, where=file.name)


def _in_plane(voxels: np.ndarray, grid: Grid, file: DicomFile) -> np.ndarray:
    spread = float(np.ptp(voxels[:, 2]))
    if not spread <= 0.5:
        raise _unreadable(
            "a contour does not lie in the plane of the CT slices; ContourData (3006,0050)",
            file,
            Fact(f"points over {spread * float(grid.spacing_mm[2]):.1f} mm along the slice normal"),
            "contours drawn on the slices of this series",
            "Name the series that the contours were drawn on, or export the structures as DICOM-SEG or NIfTI.",
        )
    # many programs draw through voxel centres: what lies there must not hang on the last digit
    return np.round(voxels, 3)


def _paint(painted: np.ndarray, contours: list[np.ndarray], label: int, step_mm: float) -> None:
    """Paint one ROI; contours are points (x, y, z) in voxels, slices `step_mm` apart."""
    heights = np.array([contour[:, 2].mean() for contour in contours])
    order = np.argsort(heights)
    planes: dict[int, list[int]] = defaultdict(list)
    for number, contour in zip(
        np.cumsum(np.diff(heights[order], prepend=heights[order][:1]) > SAME_PLANE_MM / step_mm), order
    ):
        planes[int(number)].append(int(contour))
    levels = np.array([heights[planes[number]].mean() for number in sorted(planes)])
    if not levels.size:
        return
    apart = float(np.diff(levels).min()) if levels.size > 1 else 1.0
    half = apart / 2 if 1 < apart <= WIDEST_PLANE_MM / step_mm else 0.5
    for k in range(painted.shape[0]):
        # a plane half-way between two slices belongs to the upper one alone
        distance = np.round(levels - k, 4)
        nearest = int(np.argmin(abs(distance)))
        if -half <= distance[nearest] < half:
            inside = _inside([contours[index][:, :2] for index in planes[nearest]], painted.shape[1:])
            np.maximum(painted[k], inside * np.uint8(label), out=painted[k])


def _inside(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Where a pixel centre lies in an odd number of polygons (points x, y) or on a line: bool `[rows, columns]`."""
    odd, on_line = np.zeros(shape, bool), np.zeros(shape, bool)
    last = np.array(shape[::-1]) - 1
    for polygon in polygons:
        low = np.clip(np.floor(polygon.min(axis=0)), 0, last + 1).astype(int)
        high = np.clip(np.ceil(polygon.max(axis=0)), -1, last).astype(int)
        if (high < low).any():
            continue
        box = np.s_[low[1] : high[1] + 1, low[0] : high[0] + 1]
        # scikit-image says 0 outside, 1 inside, 2 on a vertex, 3 on an edge
        place = grid_points_in_poly(odd[box].shape, (polygon - low)[:, ::-1], binarize=False)
        odd[box] ^= place == 1
        on_line[box] |= place > 1
    return odd | on_line


def _points(contour: Tags) -> np.ndarray:
    """The points of a contour in mm, float64 `[n, 3]`."""
    try:
        raw = contour.datasets[0].get_item("ContourData")
        value = raw.value if raw is not None else None
        # text is turned into numbers at once: pydicom would make an object of every one of up to millions
        texts = value.rstrip(b" \0").split(b"\\") if isinstance(value, bytes) else list(value or ())
        few = len(texts) <= 3 * MOST_POINTS
        values = np.array([float(text) for text in texts if text != b""] if few else [])
    except DAMAGE as error:
        raise _bad_points(contour, f"{type(error).__name__}: {error}") from error
    if not few:
        raise _bad_points(contour, Fact(f"{len(texts) // 3} points in one contour"))
    said = contour.whole("NumberOfContourPoints")
    if values.size % 3 or (said is not None and said != values.size // 3):
        raise _bad_points(contour, Fact(f"{values.size} values for {said} points"))
    if not np.isfinite(values).all():
        raise _bad_points(contour, Fact("values that are no finite numbers"))
    check_positions(values, where=contour.file.name, field=tag_name("ContourData"))
    return values.reshape(-1, 3)


def _bad_points(contour: Tags, found: str) -> UnreadableStructures:
    return _unreadable(
        "a contour is damaged; ContourData (3006,0050)",
        contour.file,
        found,
        f"three numbers for each of at most {MOST_POINTS} points",
    )


def _number(item: Tags, keyword: str) -> int:
    number = item.whole(keyword)
    if number is None:
        raise _unreadable(f"an ROI without a number; {tag_name(keyword)}", item.file, item.get(keyword), "a number")
    return number


def _unreadable(
    what: str, file: DicomFile, found: object, expected: str, fix: str = "Export the structure set again."
) -> UnreadableStructures:
    return UnreadableStructures(what, where=file.name, found=found, expected=expected, fix=fix)
