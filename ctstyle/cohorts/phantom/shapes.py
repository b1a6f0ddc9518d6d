"""Solid shapes as signed distances in mm (negative inside), random textures, and the canvas tissues are painted on."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from ctstyle.cohorts.phantom.tissues import basis_densities


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
