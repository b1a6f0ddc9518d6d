"""The one fixed Hounsfield window between stored slices and networks."""

from dataclasses import dataclass

import numpy as np

from ctstyle.errors import CTStyleError


@dataclass(frozen=True)
class Window:
    """Hounsfield units from `low` (0, black) to `high` (1, white); the same for every slice, never per image."""

    low: float
    high: float

    def __post_init__(self):
        if not self.low < self.high:
            raise CTStyleError(
                "an empty window",
                where="slices: window_hu",
                found=[self.low, self.high],
                expected="[low, high] with low < high, in HU",
            )

    def to_unit(self, hu: np.ndarray) -> np.ndarray:
        """HU of any shape to float32 in [0, 1]; values outside the window are clipped."""
        unit = (np.asarray(hu, np.float32) - np.float32(self.low)) / np.float32(self.high - self.low)
        return np.clip(unit, 0, 1)

    def to_hu(self, unit: np.ndarray) -> np.ndarray:
        """Values in [0, 1] (clipped) to int16 HU, rounded; the inverse of `to_unit` within the window."""
        clipped = np.clip(np.asarray(unit, np.float64), 0, 1)
        return np.rint(self.low + clipped * (self.high - self.low)).astype(np.int16)

    def clip(self, hu: np.ndarray) -> np.ndarray:
        """HU clipped to the window and rounded, int16."""
        return np.rint(np.clip(hu, self.low, self.high)).astype(np.int16)
