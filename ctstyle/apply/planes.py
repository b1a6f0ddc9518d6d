"""The slices of a volume as a generator sees them: whole planes at its spacing, and the way back to the voxels."""

from dataclasses import dataclass

import numpy as np

from ctstyle.ct.limits import LARGEST_PLANE_PX, check_resampled
from ctstyle.ct.volume import Volume
from ctstyle.slices.body import body_mask
from ctstyle.slices.crop import lattice
from ctstyle.slices.cut import Straight, straighten
from ctstyle.slices.resample import area_weights, inside_weights
from ctstyle.slices.window import Window
from ctstyle.study.data import SliceSettings

MULTIPLE_PX = 16
"""Sides of a plane are continued to a multiple of this: the stride of the deepest tap that AdaIN may work on."""


@dataclass(frozen=True, eq=False)
class Planes:
    """The planes of one orientation of a volume, without a crop, on the lattice that slices were cut on for training.

    `down` and `up` are the weights (rows, columns) from voxels to the lattice and back. Row 0 of a plane is anterior
    (axial) or superior (sagittal). What `change` writes goes into the volume's own array.
    """

    straight: Straight
    window: Window
    sagittal: bool
    down: tuple[np.ndarray, np.ndarray]
    up: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, volume: Volume, settings: SliceSettings) -> "Planes":
        """The planes in the orientation and at the spacing of `settings`. Raises OutOfBounds for planes too large."""
        straight, sagittal = straighten(volume, None), settings.orientation == "sagittal"
        axes = (2, 1) if sagittal else (1, 0)
        lattices = [lattice(straight.centres(axis), settings.spacing_mm) for axis in axes]
        check_resampled([len(pixels) for pixels in lattices], LARGEST_PLANE_PX)
        down, up = [], []
        for axis, pixels in zip(axes, lattices, strict=True):
            voxels = straight.centres(axis)
            down.append(inside_weights(area_weights(voxels, pixels, settings.spacing_mm)))
            up.append(inside_weights(area_weights(pixels, voxels, float(straight.step_mm[axis]))))
        return cls(straight, Window(*settings.window_hu), sagittal, tuple(down), tuple(up))

    @property
    def normal(self) -> int:
        """The patient axis (0 x, 2 z) across the planes."""
        return 0 if self.sagittal else 2

    @property
    def position_mm(self) -> np.ndarray:
        """Where the planes lie along their normal (LPS)."""
        return self.straight.centres(self.normal)

    @property
    def step_mm(self) -> float:
        """Distance of the planes."""
        return float(self.straight.step_mm[self.normal])

    def __len__(self) -> int:
        return self.straight.hu.shape[2 - self.normal]

    def native(self, k: int) -> np.ndarray:
        """The voxels of plane `k`, a view `[rows, columns]` upright."""
        return self.straight.hu[::-1, :, k] if self.sagittal else self.straight.hu[k]

    def take(self, k: int) -> np.ndarray:
        """Plane `k` at the generator's spacing: HU float64 `[H, W]`, clipped to the window."""
        rows, columns = self.down
        hu = rows @ self._ascending(self.native(k)).astype(np.float64) @ columns.T
        return np.clip(self._ascending(hu), self.window.low, self.window.high)

    def change(self, k: int, change_hu: np.ndarray, body: np.ndarray) -> None:
        """Add a change `[H, W]` to the voxels of plane `k` inside `body`; HU outside the window stay as they are.

        The rest stays inside the window, so that no voxel overtakes one that was left.
        """
        voxels, inside = self.native(k), self._back(body.astype(np.float64)) >= 0.5
        seen = (voxels >= self.window.low) & (voxels <= self.window.high)
        changed = self.window.clip(voxels + self._back(change_hu))
        voxels[...] = np.where(inside & seen, changed, voxels)

    def _back(self, plane: np.ndarray) -> np.ndarray:
        rows, columns = self.up
        return self._ascending(rows @ self._ascending(plane) @ columns.T)

    def _ascending(self, plane: np.ndarray) -> np.ndarray:
        return plane[::-1] if self.sagittal else plane


def bodies(planes: np.ndarray, window: Window) -> np.ndarray:
    """The bodies of planes HU `[n, H, W]`, as slices are masked everywhere (`slices.body`)."""
    return body_mask(np.rint(planes).astype(np.int16), window)


def padded(planes: np.ndarray) -> np.ndarray:
    """Planes `[n, H, W]` continued below and to the right, by their border, to a multiple of MULTIPLE_PX."""
    more = [(0, -size % MULTIPLE_PX) for size in planes.shape[1:]]
    return np.pad(planes, [(0, 0), *more], mode="edge")
