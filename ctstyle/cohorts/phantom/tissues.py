"""What tissues are made of, and how X-rays see them: ICRU-44 compositions as mixtures of water and bone mineral.

Any material without an absorption edge in the diagnostic range attenuates, to a fraction of a percent, like a mixture
of two others (Alvarez and Macovski, Phys Med Biol 21, 1976). So a tissue is two numbers, its equivalent densities of
water and hydroxyapatite in g/cm3, and iodine, whose K edge lies at 33 keV, is the third. Three forward projections
then serve every tube voltage and every dose of contrast agent.

Tissues are painted on a canvas, back to front. The solids they fill are signed distances in mm, negative inside.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

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


def superellipse(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, power: float = 2.0) -> np.ndarray:
    """Radial distance in mm to |x/a|^p + |y/b|^p = 1; exact for a circle, never nearer than -min(a, b)."""
    if power == 2.0:
        r = np.sqrt(np.square(x / a) + np.square(y / b))
    else:
        r = (np.abs(x / a) ** power + np.abs(y / b) ** power) ** (1 / power)
    deepest = -np.minimum(a, b)
    radial = np.sqrt(x * x + y * y) * (1 - 1 / np.maximum(r, 1e-3))
    return np.where(r > 1e-3, np.maximum(radial, deepest), deepest)


def ellipsoid(x: np.ndarray, y: np.ndarray, z: np.ndarray, axes: tuple[float, float, float]) -> np.ndarray:
    """Approximate distance in mm to an ellipsoid at the origin with half axes in mm (exact for a sphere)."""
    a, b, c = axes
    k0 = np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    k1 = np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2 + (z / c**2) ** 2)
    return k0 * (k0 - 1) / np.maximum(k1, 1e-6)


def capsule(
    point: tuple[np.ndarray, np.ndarray, np.ndarray],
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    *,
    radius: tuple[float, float],
    squash: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """Distance in mm to a rod from `start` to `end` whose radius tapers from radius[0] to radius[1].

    `squash` > 1 stretches the cross-section along that axis (a plate): distances are taken in squashed coordinates.
    """
    scale = 1.0 / np.asarray(squash)
    p = [(c - s) * k for c, s, k in zip(point, start, scale, strict=True)]
    d = (np.asarray(end) - np.asarray(start)) * scale
    t = np.clip(sum(c * k for c, k in zip(p, d, strict=True)) / max(float(d @ d), 1e-9), 0.0, 1.0)
    gap = np.sqrt(sum((c - t * k) ** 2 for c, k in zip(p, d, strict=True)))
    return gap - (radius[0] + t * (radius[1] - radius[0]))


def union(a: np.ndarray, b: np.ndarray, blend_mm: float) -> np.ndarray:
    """Union of two solids with a fillet of about `blend_mm` (polynomial smooth minimum)."""
    h = np.clip(0.5 + 0.5 * (b - a) / blend_mm, 0.0, 1.0)
    return b + (a - b) * h - blend_mm * h * (1 - h)


def coverage(distance: np.ndarray, edge_mm: float) -> np.ndarray:
    """Share of a voxel inside a solid, from the distance of its centre; the edge is `edge_mm` wide."""
    return np.clip(0.5 - distance / edge_mm, 0.0, 1.0).astype(np.float32)


def texture(rng: np.random.Generator, shape: tuple[int, ...], sigma: tuple[float, ...]) -> np.ndarray:
    """Smooth Gaussian random field, mean 0 and standard deviation 1, correlation `sigma` in voxels; float32."""
    field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap", truncate=3.0)
    return (field - field.mean()) / field.std()


@dataclass
class Canvas:
    """Basis densities `[3, z, y, x]` in g/cm3 (water, hydroxyapatite, relative iodine), painted back to front.

    The iodine map holds uptake relative to arterial blood (1); a scan multiplies it by its concentration.
    """

    densities: np.ndarray

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> "Canvas":
        """A canvas of vacuum."""
        return cls(np.zeros((3, *shape), np.float32))

    def paint(self, cover: np.ndarray, tissue: str, *, uptake: float = 0.0, filling: np.ndarray | float = 1.0):
        """Lay `tissue` over the canvas where `cover` (0..1) is; `filling` scales its density, `uptake` its iodine."""
        water, mineral = basis_densities(tissue)
        self.blend(cover, (water * filling, mineral * filling, uptake))

    def blend(self, cover: np.ndarray, densities: tuple[np.ndarray | float, ...]):
        """Lay basis densities over the canvas where `cover` (0..1) is."""
        for layer, density in zip(self.densities, densities, strict=True):
            layer += cover * (density - layer)
