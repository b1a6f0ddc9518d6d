"""Hounsfield units of the phantom's tissues, and the published ones."""

import numpy as np

from ctstyle.cohorts.phantom.tissues import BASIS, mass_attenuation

PUBLISHED_HU = {
    "air": (-1000, -985),
    "lung": (-950, -550),
    "adipose": (-100, -50),
    "muscle": (25, 60),
    "blood": (45, 65),
    "liver": (45, 65),
    "spleen": (35, 55),
    "kidney": (20, 40),
    "disc": (50, 130),
    "cerebrospinal fluid": (5, 15),
    "trabecular bone": (51, 270),
    "cortical bone": (250, 1000),
}
"""Ranges of Hounsfield units without contrast agent at 120 kVp; docs/phantom.md says where each comes from."""


def hounsfield(densities: np.ndarray, kev: float) -> np.ndarray:
    """Hounsfield units at one photon energy of basis densities `[3, ...]` in g/cm3 (water 0, vacuum -1000)."""
    mu = sum(mass_attenuation(name, kev) * density for name, density in zip(BASIS, densities, strict=True))
    return 1000.0 * (mu / mass_attenuation("water", kev) - 1.0)
