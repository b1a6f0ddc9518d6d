"""The spine: level by level dimensions, its curve, and one vertebra as a solid in its own frame.

Frames are LPS in mm: x to the patient's left, y to the back, z to the head. A vertebra's frame has its origin in the
middle of the body; b below is half the body's depth, so the canal begins at y = b.
"""

from dataclasses import dataclass

import numpy as np

from ctstyle.cohorts.phantom.tissues import capsule, superellipse, union
from ctstyle.ct.anatomy import VERTEBRA_IDS

LEVELS = ("C7", *(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)))
"""Levels of the model from head to foot."""

# width, depth, height of the body; width, depth of the canal; width, height of the pedicle; span of the transverse
# processes; length of the spinous process and its angle below the horizontal; disc below (mm, degrees)
_DIMENSIONS = {
    "C7": (27, 17, 13, 25, 15, 6.5, 7.5, 66, 34, 20, 5),
    "T1": (29, 18.5, 15, 22, 16, 8.0, 9.5, 75, 34, 22, 4),
    "T2": (28, 20, 16, 19, 15.5, 7.0, 11, 69, 32, 30, 4),
    "T3": (27, 22, 16.5, 18, 15.5, 6.0, 11.5, 62, 31, 38, 4),
    "T4": (26, 23, 17, 17, 16, 5.5, 12, 58, 32, 45, 4),
    "T5": (27, 24.5, 17.5, 17, 16, 5.5, 12, 60, 34, 52, 4),
    "T6": (28, 26, 18, 17, 16, 5.8, 12, 61, 35, 56, 4),
    "T7": (29, 27.5, 19, 17, 16, 6.0, 12, 61, 34, 57, 4.5),
    "T8": (30.5, 28, 19.5, 17.5, 16, 6.5, 12.5, 60, 33, 54, 5),
    "T9": (32, 29.5, 20, 18, 15.5, 7.5, 14, 60, 31, 46, 5),
    "T10": (34, 30.5, 21, 18.5, 15.5, 8.5, 15, 58, 29, 34, 5.5),
    "T11": (37, 32, 22, 19.5, 16, 9.5, 16.5, 53, 27, 22, 6),
    "T12": (40, 33, 24, 22, 17.5, 9.0, 16.5, 48, 28, 14, 7),
    "L1": (42, 34, 25.5, 23.5, 18.5, 9.0, 15.5, 72, 31, 8, 8),
    "L2": (44, 35, 26, 24, 18, 9.5, 15, 78, 33, 6, 9),
    "L3": (46, 35.5, 26, 24.5, 17.5, 10.5, 14.5, 88, 33, 5, 10),
    "L4": (48, 36, 26, 25.5, 18, 13, 15, 84, 30, 6, 10),
    "L5": (50, 36, 25, 27, 18.5, 17, 18, 90, 24, 10, 9),
}
"""Adult means of the size Panjabi et al. report (Spine 16, 1991, 888; 17, 1992, 299), rounded, not copied from their
tables: C7 to T3 and the posterior elements were widened to resemble CT; discs and angles are ours."""


@dataclass(frozen=True)
class Vertebra:
    """Dimensions (mm), pose and bone of one vertebra; `thoracic` is 1 for T1 to T10 and 0 for lumbar levels."""

    level: str
    thoracic: float
    width: float
    depth: float
    height: float
    canal_width: float
    canal_depth: float
    pedicle_width: float
    pedicle_height: float
    span: float
    spinous: float
    spinous_angle: float
    disc: float
    centre: np.ndarray
    rotation: np.ndarray
    osteophyte_mm: np.ndarray
    shell_mm: float
    plate_mm: float
    waist: float
    facet_mm: float
    lean: float
    sclerosis: float
    bone_share: float

    @property
    def label(self) -> int:
        """TotalSegmentator's label."""
        return VERTEBRA_IDS[self.level]

    @property
    def tip(self) -> np.ndarray:
        """Tip of the left transverse process in the vertebra's frame."""
        root = self.canal_width / 2 + self.pedicle_width / 2
        reach = self.span / 2 - root
        angle = np.deg2rad(34 * self.thoracic + 12 * (1 - self.thoracic) + self.lean)
        y = self.depth / 2 + 0.65 * self.canal_depth + reach * np.tan(angle)
        return np.array([self.span / 2, y, (0.12 if self.thoracic else 0.02) * self.height])

    def local(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates of points in the vertebra's frame."""
        p = [c - o for c, o in zip((x, y, z), self.centre, strict=True)]
        return tuple(sum(self.rotation[k, i] * p[k] for k in range(3)) for i in range(3))

    def world(self, point: np.ndarray) -> np.ndarray:
        """A point of the vertebra's frame in the body's frame."""
        return self.rotation @ np.asarray(point, float) + self.centre


def draw_spine(
    rng: np.random.Generator, *, size: float, kyphosis: float, scoliosis_mm: float, wear: float, bone_share: float
) -> list[Vertebra]:
    """All vertebrae from C7 to L5 of one patient, stacked along a curved spine with T1's centre at z = 0.

    `size` scales all lengths; `kyphosis` scales the normal sagittal curve (1); `scoliosis_mm` is the amplitude of the
    lateral curve; `wear` in [0, 1] grows osteophytes and thick, dense facets and thins discs; `bone_share` is the
    volume share of bone in the trabecular core.
    """
    person = rng.normal(1.0, 0.06, 11)
    person[9] = rng.normal(1.0, 0.15)
    phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(140, 320)
    twist = rng.normal(0, 0.08)
    lean, waist, shell = rng.normal(0, 5), rng.uniform(0.06, 0.15), rng.uniform(0.7, 1.15)
    tilts = dict(zip(("C7", "T1", "T4", "T8", "T12", "L2", "L3", "L5"), (24, 24, 14, 0, -12, -7, 0, 22), strict=True))
    index = np.arange(len(LEVELS))
    tilt = np.interp(index, [LEVELS.index(k) for k in tilts], list(tilts.values())) * kyphosis
    vertebrae, y, z, below = [], 0.0, 0.0, 0.0
    for i, level in enumerate(LEVELS):
        values = np.array(_DIMENSIONS[level], float) * person * rng.normal(1.0, 0.025, 11)
        values *= np.array([size] * 9 + [1.0, size])
        values[10] *= 1 - 0.45 * wear * rng.random()
        height = values[2] * (1 - 0.18 * wear * rng.random() ** 3)
        step = below + height / 2
        a = np.deg2rad(tilt[i] + rng.normal(0, 1.5))
        y += step * np.sin(a)
        z -= step * np.cos(a)
        x = scoliosis_mm * np.sin(2 * np.pi * z / period + phase)
        slope = scoliosis_mm * 2 * np.pi / period * np.cos(2 * np.pi * z / period + phase)
        # the upper end plate of an upper thoracic vertebra looks up and forward: its z axis leans to -y
        rotation = _turn(0, a) @ _turn(1, np.arctan(slope) + rng.normal(0, 0.02))
        rotation = rotation @ _turn(2, twist * x / 6 + rng.normal(0, 0.02))
        thoracic = {"T11": 0.75, "T12": 0.35}.get(level, 0.0 if level[0] == "L" else 1.0)
        spurs = np.maximum(rng.normal(-0.6, 1.2, 12), 0) * 3.0 * wear
        vertebrae.append(
            Vertebra(
                level,
                thoracic,
                *(*values[:2], height, *values[3:]),  # type: ignore[misc]
                centre=np.array([x, y, z]),
                rotation=rotation,
                osteophyte_mm=spurs,
                shell_mm=shell * rng.normal(1, 0.06),
                plate_mm=shell * rng.uniform(0.9, 1.5),
                waist=waist,
                facet_mm=(4.8 + 1.0 * (1 - thoracic)) * size * (1 + 0.4 * wear * rng.random()),
                lean=lean + rng.normal(0, 3),
                sclerosis=wear * rng.random() * (1.6 - 0.9 * thoracic),
                bone_share=bone_share * rng.normal(1, 0.06),
            )
        )
        y += height / 2 * np.sin(a)
        z -= height / 2 * np.cos(a)
        below = values[10]
    origin = vertebrae[LEVELS.index("T1")].centre.copy()
    for vertebra in vertebrae:
        vertebra.centre[:] -= origin
    return vertebrae


def _turn(axis: int, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    i, k = [(1, 2), (0, 2), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[[i, k], [i, k]] = c
    matrix[i, k], matrix[k, i] = -s, s
    return matrix


def body_solid(v: Vertebra, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Distance in mm to the vertebral body: waisted, heart-shaped in the thorax, concave end plates, osteophytes."""
    a, b, h = v.width / 2, v.depth / 2, v.height / 2
    level = np.clip(np.abs(z) / h, 0, 1.2)
    angle = np.arctan2(x, -y) / (2 * np.pi) * 12
    low = np.floor(angle).astype(int)
    share = angle - low
    spur = v.osteophyte_mm[low % 12] * (1 - share) + v.osteophyte_mm[(low + 1) % 12] * share
    spur = spur * np.clip((level - 0.45) / 0.55, 0, 1) ** 2 * (y < 0.6 * b)
    girth = 1 - v.waist * np.clip(1 - level**2, 0, 1)
    taper = 1 + 0.16 * v.thoracic * np.clip(y / b, -1, 1)
    side = superellipse(x, y, a * girth * taper + spur, b * girth + spur, 2.5)
    dome = 1.6 * np.clip(1 - (x / a) ** 2 - (y / b) ** 2, 0, 1) * (v.height / 25)
    return np.maximum(side, np.abs(z) - h + dome)


def arch_solid(v: Vertebra, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Distance in mm to the posterior elements: pedicles, facets, laminae, transverse and spinous processes."""
    b, h, t = v.depth / 2, v.height, v.thoracic
    ax = np.abs(x)
    p = (ax, y, z)
    root = v.canal_width / 2 + v.pedicle_width / 2 - 0.5
    tall = v.pedicle_height / v.pedicle_width
    back = b + v.canal_depth
    r = v.pedicle_width / 2
    solid = capsule(
        p, (root, b - 5, 0.2 * h), (root, b + 0.6 * v.canal_depth, 0.18 * h), radius=(r, r), squash=(1, 1, tall)
    )
    f = v.facet_mm
    upper = (root + 2.5 * (1 - t), b + 0.72 * v.canal_depth, 0.5 * h + 4)
    lower = (root - 3.0 * (1 - t) - 1.5 * t, b + (0.98 - 0.02 * t) * v.canal_depth, -0.5 * h - 6)
    pillar = (root, b + 0.8 * v.canal_depth, 0.1 * h)
    solid = union(solid, capsule(p, pillar, upper, radius=(f, 0.85 * f), squash=(1 + 0.25 * t, 1, 1)), 3)
    solid = union(solid, capsule(p, pillar, lower, radius=(f, 0.85 * f), squash=(1 + 0.35 * t, 1, 1)), 3)
    thick = 3.8 + 0.4 * (1 - t)
    solid = union(
        solid,
        capsule(
            p,
            (root - 1, b + 0.85 * v.canal_depth, -0.05 * h),
            (0, back + 3, -0.2 * h),
            radius=(thick, thick),
            squash=(1, 1, 0.42 * h / thick),
        ),
        3,
    )
    angle = np.deg2rad(v.spinous_angle)
    reach = v.spinous - 4
    end = (0.0, back + 3 + reach * np.cos(angle), -0.2 * h - reach * np.sin(angle))
    blade = 2.7 + 1.0 * (1 - t)
    height = (4.5 * t + 9.5 * (1 - t)) / blade
    solid = union(
        solid, capsule(p, (0, back + 2, -0.2 * h), end, radius=(blade, blade + 1.2), squash=(1, 1, height)), 2.5
    )
    tip = v.tip
    if t:
        wing = capsule(
            p, (root, b + 0.7 * v.canal_depth, 0.05 * h), tuple(tip - [3, 1, 0]), radius=(4.7, 4.5), squash=(1, 1, 1.35)
        )
    else:
        wing = capsule(
            p, (root, b + 0.6 * v.canal_depth, 0.05 * h), tuple(tip - [2, 0, 0]), radius=(3.8, 2.7), squash=(1, 1, 2.0)
        )
    return union(solid, wing, 3)


def vertebra_solid(v: Vertebra, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances in mm to the whole vertebra (canal left free) and to its body alone."""
    body = body_solid(v, x, y, z)
    arch = arch_solid(v, x, y, z)
    canal = superellipse(
        x, y - v.depth / 2 - 0.5 * v.canal_depth + 0.8, 0.5 * v.canal_width, 0.5 * v.canal_depth + 0.8, 2.2
    )
    return np.maximum(union(body, arch, 2.5), -canal), body


def bone_density(
    v: Vertebra, solid: np.ndarray, body: np.ndarray, z: np.ndarray, grain: np.ndarray, *, edge_mm: float
) -> np.ndarray:
    """Volume share of bone (0..1; the rest is marrow) from the depth below the surface.

    A cortical shell (thicker in the posterior elements and at the end plates) around a trabecular core whose share
    varies by `grain` (a unit random field) and rises towards the end plates.
    """
    plate = np.clip(np.abs(z) / (v.height / 2), 0, 1) ** 8
    arch = np.clip(body / 2.0, 0, 1)
    shell = v.shell_mm + (v.plate_mm - v.shell_mm) * plate * (1 - arch) + 0.6 * v.shell_mm * arch
    cortex = np.clip((shell + solid) / edge_mm + 0.5, 0, 1)
    core = v.bone_share * (
        1 + 0.3 * plate + (1.3 + 1.5 * v.sclerosis) * arch + 0.7 * v.sclerosis * np.maximum(grain, 0) * plate
    )
    core = core * (1 + 0.22 * grain)
    compact = (0.44 + 0.08 * arch + 0.12 * v.sclerosis) * (1 + 0.25 * grain)
    return np.clip(core + (compact - core) * cortex, 0.01, 0.95)
