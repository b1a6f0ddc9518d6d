"""A CT volume, and labels, with their place in the patient: what every reader returns and every later room takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ctstyle.ct.limits import check_largest
from ctstyle.errors import CTStyleError, Fact

if TYPE_CHECKING:
    import SimpleITK

AIR_HU = -1024
"""The value that stands for air and for everything a scanner did not measure (padding)."""


class MaskElsewhere(CTStyleError):
    """Mask and CT do not overlap in space."""


class MaskShape(CTStyleError):
    """The mask covers only a part of the CT: beyond it nobody looked for vertebrae."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Grid:
    """A regular grid of `shape` (z, y, x) voxels in the patient's coordinates (DICOM's LPS, mm).

    `origin_mm` is the centre of voxel [0, 0, 0], `spacing_mm` the step along (x, y, z) and the columns of `direction`
    (3, 3) are the unit vectors of the axes x, y, z; so voxel [k, j, i] lies at
    `origin + direction @ (spacing * (i, j, k))`.
    """

    shape: tuple[int, int, int]
    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    direction: np.ndarray

    @classmethod
    def of_sitk(cls, image: "SimpleITK.Image | SimpleITK.ImageFileReader") -> "Grid":
        """The grid of a three-dimensional SimpleITK image."""
        return cls(
            shape=tuple(image.GetSize())[::-1],
            origin_mm=image.GetOrigin(),
            spacing_mm=image.GetSpacing(),
            direction=np.array(image.GetDirection()).reshape(3, 3),
        )

    def to_sitk(self, values: np.ndarray) -> "SimpleITK.Image":
        """An array `[z, y, x]` on this grid (Hounsfield units, labels) as a SimpleITK image."""
        import SimpleITK

        image = SimpleITK.GetImageFromArray(values)
        image.SetOrigin([float(value) for value in self.origin_mm])
        image.SetSpacing([float(value) for value in self.spacing_mm])
        image.SetDirection([float(value) for value in np.asarray(self.direction).ravel()])
        return image

    def corners_in(self, other: "Grid") -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest coordinates (x, y, z) of the corner voxels, in voxels of another grid."""
        corners = np.array(list(product(*((0, size - 1) for size in self.shape[::-1]))))  # [8, 3]
        world = corners * np.asarray(self.spacing_mm) @ np.asarray(self.direction).T + self.origin_mm
        places = (world - other.origin_mm) @ np.linalg.inv(np.asarray(other.direction) * other.spacing_mm).T
        return places.min(axis=0), places.max(axis=0)

    def is_covered_by(self, mask: "Grid", *, axes: int = 3) -> bool:
        """Whether a mask on the grid `mask` reaches over this one, along the first `axes` of its own (x, y, z)."""
        low, high = self.corners_in(mask)
        # grids resampled to other spacings end up to nearly a voxel short; one whole voxel short is another shape
        covered = (low >= -0.95) & (high <= np.array(mask.shape[::-1]) - 0.05)
        return bool(covered[:axes].all())

    def __str__(self) -> str:
        size = " x ".join(str(size) for size in self.shape[::-1])
        spacing, origin = (
            "(" + ", ".join(f"{one:.3f}" for one in mm) + ")" for mm in (self.spacing_mm, self.origin_mm)
        )
        return f"{size} voxels of {spacing} mm at {origin}"


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelImage:
    """The labels of a mask (TotalSegmentator's ids, uint8 `[z, y, x]`) on a grid of their own; `where` names the mask.

    A `sparse` mask holds planes with labels only: beyond them it says that there is none.
    """

    labels: np.ndarray
    grid: Grid
    where: object
    sparse: bool = False

    def onto(self, grid: Grid) -> np.ndarray:
        """The labels on the grid of a CT, uint8 `[z, y, x]`: the nearest voxel by geometry, never by index.

        Raises MaskElsewhere where the two do not overlap or no label lies inside, and MaskShape where the mask does not
        reach over the CT (a sparse one only within its planes).
        """
        low, high = grid.corners_in(self.grid)
        if (high < -0.5).any() or (low > np.array(self.grid.shape[::-1]) - 0.5).any():
            raise MaskElsewhere(
                "mask and CT do not overlap",
                where=self.where,
                found=Fact(self.grid),
                expected=str(grid),
                fix="Check that the mask was drawn on this scan, and that its file kept origin and direction.",
            )
        if not grid.is_covered_by(self.grid, axes=2 if self.sparse else 3):
            raise MaskShape(
                "the mask covers only a part of the CT",
                where=self.where,
                found=Fact(self.grid),
                expected=str(grid),
                fix="Write the mask on the grid of the CT; voxels outside it would count as background.",
            )
        labels = self.labels if self.grid is grid else resample_labels_to(self.grid.to_sitk(self.labels), grid)
        if not labels.any():
            raise MaskElsewhere(
                "no label of the mask lies inside the CT",
                where=self.where,
                expected="vertebrae inside the CT",
                fix="Check that the mask was drawn on this scan.",
            )
        return labels


def resample_labels_to(image: "SimpleITK.Image", grid: Grid) -> np.ndarray:
    """Labels of a SimpleITK image on a grid, uint8 `[z, y, x]`, nearest voxel; outside is 0."""
    import SimpleITK

    resample = SimpleITK.ResampleImageFilter()
    resample.SetSize(grid.shape[::-1])
    resample.SetOutputOrigin([float(value) for value in grid.origin_mm])
    resample.SetOutputSpacing([float(value) for value in grid.spacing_mm])
    resample.SetOutputDirection([float(value) for value in np.asarray(grid.direction).ravel()])
    resample.SetInterpolator(SimpleITK.sitkNearestNeighbor)
    resample.SetOutputPixelType(SimpleITK.sitkUInt8)
    return SimpleITK.GetArrayFromImage(resample.Execute(image))


@dataclass(frozen=True, eq=False, kw_only=True)
class Volume:
    """CT numbers on a regular grid in the patient's coordinates (DICOM's LPS, mm).

    `hu` is int16 `[z, y, x]` in Hounsfield units, placed as in `Grid`. `sop_instance_uids` names the file of every z
    (empty for formats other than DICOM). `acquisition` holds tags that identify nobody. `grey_values` is "hounsfield",
    or "display" where a display export was mapped onto a window. `burned_in` is "yes", "no" or "not said": whether text
    is burnt into the pixels. `patient_id` and `frame_of_reference_uid` serve only to
    check that a mask belongs to this scan; no file is ever written from them.
    """

    hu: np.ndarray
    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    direction: np.ndarray
    sop_instance_uids: tuple[str, ...] = ()
    acquisition: Mapping[str, Any] = field(default_factory=dict)
    grey_values: str = "hounsfield"
    burned_in: str = "not said"
    frame_of_reference_uid: str = ""
    patient_id: str = field(default="", repr=False)

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""
        return Grid(shape=self.hu.shape, origin_mm=self.origin_mm, spacing_mm=self.spacing_mm, direction=self.direction)

    def to_sitk(self) -> "SimpleITK.Image":
        """The volume as a SimpleITK image (int16) with the same geometry."""
        return self.grid.to_sitk(self.hu)

    @classmethod
    def from_sitk(cls, image: "SimpleITK.Image", *, where: object = None, **fields: Any) -> "Volume":
        """The volume of a three-dimensional SimpleITK image; values are rounded and clipped to int16, NaN is air.

        Raises OutOfBounds for values that no CT has (`limits.check_largest`).
        """
        import SimpleITK

        values = SimpleITK.GetArrayViewFromImage(image)
        limits = np.iinfo(np.int16)
        hu = np.empty(values.shape, np.int16)
        for plane, out in zip(values, hu, strict=True):  # one by one: rounding widens them
            known = np.nan_to_num(plane, nan=AIR_HU, posinf=np.inf)
            check_largest(float(known.max()), where=where)
            out[:] = np.clip(np.rint(known), limits.min, limits.max)
        return cls(
            hu=hu,
            origin_mm=image.GetOrigin(),
            spacing_mm=image.GetSpacing(),
            direction=np.array(image.GetDirection()).reshape(3, 3),
            **fields,
        )
