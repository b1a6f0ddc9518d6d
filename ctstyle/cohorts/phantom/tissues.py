"""What tissues are made of, and how X-rays see them: ICRU-44 compositions as mixtures of water and bone mineral.

Any material without an absorption edge in the diagnostic range attenuates, to a fraction of a percent, like a mixture
of two others (Alvarez and Macovski, Phys Med Biol 21, 1976). So a tissue is two numbers, its equivalent densities of
water and hydroxyapatite in g/cm3, and iodine, whose K edge lies at 33 keV, is the third. Three forward projections
then serve every tube voltage and every dose of contrast agent.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

BASIS = ("water", "hydroxyapatite", "iodine")
"""The basis materials, in the order of every array of densities (g/cm3)."""

_WATER = {"H": 0.111898, "O": 0.888102}
_HYDROXYAPATITE = {"H": 0.002007, "O": 0.414068, "P": 0.184987, "Ca": 0.398938}
_FIT_KEV = np.arange(45.0, 91.0, 5.0)


@dataclass(frozen=True)
class Tissue:
    """A material: elemental mass fractions and mass density in g/cm3."""

    fractions: dict[str, float]
    density: float


def _tissue(density: float, **percent: float) -> Tissue:
    total = sum(percent.values())
    return Tissue({element: value / total for element, value in percent.items()}, density)


TISSUES = {
    "water": Tissue(_WATER, 1.0),
    "air": _tissue(0.0012, N=75.5, O=23.2, Ar=1.3),
    "adipose": _tissue(0.93, H=11.6, C=68.1, N=0.2, O=19.8, Na=0.1, S=0.1, Cl=0.1),
    "muscle": _tissue(1.05, H=10.2, C=14.3, N=3.4, O=71.0, Na=0.1, P=0.2, S=0.3, Cl=0.1, K=0.4),
    "blood": _tissue(1.06, H=10.2, C=11.0, N=3.3, O=74.5, Na=0.1, P=0.1, S=0.2, Cl=0.3, K=0.2, Fe=0.1),
    "skin": _tissue(1.09, H=10.0, C=20.4, N=4.2, O=64.5, Na=0.2, P=0.1, S=0.2, Cl=0.3, K=0.1),
    "lung": _tissue(0.15, H=10.3, C=10.5, N=3.1, O=74.9, Na=0.2, P=0.2, S=0.3, Cl=0.3, K=0.2),
    "liver": _tissue(1.06, H=10.2, C=13.9, N=3.0, O=71.6, Na=0.2, P=0.3, S=0.3, Cl=0.2, K=0.3),
    "spleen": _tissue(1.055, H=10.3, C=11.3, N=3.2, O=74.1, Na=0.1, P=0.3, S=0.2, Cl=0.2, K=0.3),
    "kidney": _tissue(1.035, H=10.3, C=13.2, N=3.0, O=72.4, Na=0.2, P=0.2, S=0.2, Cl=0.2, K=0.2, Ca=0.1),
    "cord": _tissue(1.04, H=10.7, C=14.5, N=2.2, O=71.2, Na=0.2, P=0.4, S=0.2, Cl=0.3, K=0.3),
    "cerebrospinal fluid": _tissue(1.007, H=11.1, O=88.0, Na=0.5, Cl=0.4),
    "cartilage": _tissue(1.10, H=9.6, C=9.9, N=2.2, O=74.4, Na=0.5, P=2.2, S=0.9, Cl=0.3),
    "disc": _tissue(1.075, H=10.2, C=10.5, N=2.5, O=75.4, Na=0.4, P=0.5, S=0.4, Cl=0.2),
    "red marrow": _tissue(1.03, H=10.5, C=41.4, N=3.4, O=43.9, P=0.1, S=0.2, Cl=0.2, K=0.2, Fe=0.1),
    "yellow marrow": _tissue(0.98, H=11.5, C=64.4, N=0.7, O=23.1, Na=0.1, S=0.1, Cl=0.1),
    "cortical bone": _tissue(1.92, H=3.4, C=15.5, N=4.2, O=43.5, Na=0.1, Mg=0.2, P=10.3, S=0.3, Ca=22.5),
    "carbon fibre": _tissue(1.2, C=90.0, H=3.0, O=7.0),
}
"""Compositions (mass %) and densities of ICRU Report 44 (1989) and Woodard and White, Br J Radiol 59 (1986).

Adipose is "adipose 3" of Woodard and White. Lung is inflated (0.15 g/cm3 instead of ICRU's 0.26: CT is taken in
inspiration); disc is hydrated fibrocartilage, between ICRU's cartilage and water.
"""

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


@cache
def mass_attenuation(material: str, kev: float) -> float:
    """Mass attenuation coefficient in cm2/g of a tissue or basis material at a photon energy (Elam tables, xraydb)."""
    return float(mass_attenuations(material, np.array([kev]))[0])


def mass_attenuations(material: str, kev: np.ndarray) -> np.ndarray:
    """`mass_attenuation` at many photon energies `[n]` in keV with one look-up per element."""
    import xraydb

    if material == "hydroxyapatite":
        fractions = _HYDROXYAPATITE
    elif material == "iodine":
        fractions = {"I": 1.0}
    else:
        fractions = TISSUES[material].fractions
    return sum(w * np.asarray(xraydb.mu_elam(element, 1000.0 * kev)) for element, w in fractions.items())


@cache
def basis_densities(tissue: str) -> tuple[float, float]:
    """Equivalent densities (water, hydroxyapatite) in g/cm3: least squares of the attenuation from 45 to 90 keV."""
    measured = TISSUES[tissue].density * mass_attenuations(tissue, _FIT_KEV)
    basis = np.stack([_of_basis(name) for name in BASIS[:2]], axis=1)
    scale = basis[:, :1]
    water, mineral = np.linalg.lstsq(basis / scale, measured / scale[:, 0], rcond=None)[0]
    return float(water), float(mineral)


@cache
def _of_basis(material: str) -> np.ndarray:
    return mass_attenuations(material, _FIT_KEV)


def hounsfield(densities: np.ndarray, kev: float) -> np.ndarray:
    """Hounsfield units at one photon energy of basis densities `[3, ...]` in g/cm3 (water 0, vacuum -1000)."""
    mu = sum(mass_attenuation(name, kev) * density for name, density in zip(BASIS, densities, strict=True))
    return 1000.0 * (mu / mass_attenuation("water", kev) - 1.0)
