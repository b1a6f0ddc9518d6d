"""Where a volume lies: its grid in world coordinates, and whether another reaches over it."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from ctstyle.ct.geometry import Grid


@dataclass(frozen=True)
class Field:
    """A grid in LPS mm as in `ctstyle.ct.volume.Volume`, with `size` (x, y, z) in voxels."""

    size: tuple[int, int, int]
    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    direction: np.ndarray

    @classmethod
    def of_grid(cls, grid: Grid) -> "Field":
        """The field of a DICOM series."""
        return cls(grid.shape[::-1], grid.origin_mm, grid.spacing_mm, grid.direction)

    def is_covered_by(self, mask: "Field") -> bool:
        """Whether a mask on the grid `mask` reaches over this whole field, within what `read_mask` tolerates."""
        corners = np.array(list(product(*((0, size - 1) for size in self.size)))) * self.spacing_mm
        world = corners @ np.asarray(self.direction).T + self.origin_mm
        places = (world - mask.origin_mm) @ np.linalg.inv(np.asarray(mask.direction) * mask.spacing_mm).T
        return bool((places >= -0.95).all() and (places <= np.array(mask.size) - 0.05).all())
