"""A CT volume with its place in the patient: what every reader returns and every later room takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ctstyle.ct.limits import check_largest

if TYPE_CHECKING:
    import SimpleITK

AIR_HU = -1024
"""The value that stands for air and for everything a scanner did not measure (padding)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Volume:
    """CT numbers on a regular grid in the patient's coordinates (DICOM's LPS, mm).

    `hu` is int16 `[z, y, x]` in Hounsfield units. `origin_mm` is the centre of voxel [0, 0, 0], `spacing_mm` the step
    along (x, y, z) and the columns of `direction` (3, 3) are the unit vectors of the axes x, y, z; so voxel [k, j, i]
    lies at `origin + direction @ (spacing * (i, j, k))`. `sop_instance_uids` names the file of every z (empty for
    formats other than DICOM). `acquisition` holds tags that identify nobody. `grey_values` is "hounsfield", or
    "display" where a display export was mapped onto a window. `burned_in` is "yes",
    "no" or "not said": whether text is burnt into the pixels. `patient_id` and `frame_of_reference_uid` serve only to
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

    def to_sitk(self) -> "SimpleITK.Image":
        """The volume as a SimpleITK image (int16) with the same geometry."""
        return to_sitk(self.hu, self)

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


def to_sitk(values: np.ndarray, volume: Volume) -> "SimpleITK.Image":
    """An array `[z, y, x]` on the grid of `volume` (labels, masks) as a SimpleITK image."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(values)
    image.SetOrigin([float(value) for value in volume.origin_mm])
    image.SetSpacing([float(value) for value in volume.spacing_mm])
    image.SetDirection([float(value) for value in np.asarray(volume.direction).ravel()])
    return image
