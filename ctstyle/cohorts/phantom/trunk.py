"""The trunk around the spine: outline, chest wall and ribs, lungs and mediastinum, vessels, abdomen.

Coordinates are LPS in mm relative to the centre of the vertebral column at each slice, so organs follow the spine's
curve. `level` runs continuously along the spine: 0 at C7, 1 at T1, 12 at T12, 13 at L1 (the index in `spine.LEVELS`).
Sizes and positions are those of an adult lying supine with the arms up, read off atlases and scaled per patient.
"""

from dataclasses import dataclass

import numpy as np

from ctstyle.cohorts.phantom.spine import LEVELS, Vertebra
from ctstyle.cohorts.phantom.tissues import Canvas, coverage, superellipse, texture

_LEVEL = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17)
_CAGE_WIDTH = (44, 52, 74, 93, 107, 116, 123, 129, 131, 128, 124, 130)
_CAGE_DEPTH = (42, 48, 58, 70, 80, 88, 94, 99, 100, 97, 92, 90)
_OUTLINE = (165, 178, 180, 176, 170, 164, 160, 156, 153, 151, 149, 152)


@dataclass(frozen=True)
class Trunk:
    """What varies from one trunk to the next; lengths in mm. Drawn by `draw_trunk`."""

    size: float
    girth: float
    depth: float
    fat_back: float
    fat_side: float
    muscle_back: float
    infiltration: float
    breath: float
    aorta_radius: float
    aorta_turn: float
    aorta_gap: float
    calcified: bool
    lung_density: float
    rib_slope: float
    rib_half: tuple[float, float]
    mediastinum: float
    kidney: float
    table_gap: float
    ripple: tuple[float, ...]


def draw_trunk(rng: np.random.Generator, size: float) -> Trunk:
    """One trunk, scaled by `size`."""
    return Trunk(
        size=size,
        girth=rng.uniform(0.9, 1.1),
        depth=rng.uniform(0.88, 1.1),
        fat_back=float(rng.gamma(3.0, 4.5)) + 4,
        fat_side=float(rng.gamma(3.0, 5.0)) + 4,
        muscle_back=rng.uniform(22, 34),
        infiltration=rng.uniform(0.08, 0.6),
        breath=rng.normal(0.2, 0.6),
        aorta_radius=rng.uniform(10.5, 15.5),
        aorta_turn=rng.normal(0, 12),
        aorta_gap=rng.uniform(0.5, 5),
        calcified=bool(rng.random() < 0.45),
        lung_density=rng.uniform(0.75, 1.35),
        rib_slope=rng.uniform(0.7, 1.3),
        rib_half=(rng.uniform(3.0, 4.2), rng.uniform(5.0, 7.0)),
        mediastinum=rng.uniform(0.8, 1.25),
        kidney=rng.uniform(0.85, 1.15),
        table_gap=rng.uniform(0, 4),
        ripple=tuple(rng.normal(0, 1, 8)),
    )


@dataclass(frozen=True)
class Frame:
    """Where the voxels are: `x, y` `[z, rows, columns]` relative to the column, `z` and `level` `[z, 1, 1]`."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    level: np.ndarray
    edge_mm: float
    half_depth: np.ndarray
    """Half the depth of the vertebral body at each slice."""

    def at(self, knots: tuple[float, ...], values: tuple[float, ...]) -> np.ndarray:
        """A quantity that varies along the spine, at each slice: `[z, 1, 1]` float32."""
        return np.interp(self.level, knots, values).astype(np.float32)

    def between(self, first: float, last: float, soft: float = 0.3) -> np.ndarray:
        """1 for slices between two levels, 0 outside, with ends `soft` levels wide."""
        return np.clip((self.level - first) / soft + 0.5, 0, 1) * np.clip((last - self.level) / soft + 0.5, 0, 1)

    def disc(self, x: np.ndarray | float, y: np.ndarray | float, a: np.ndarray | float, b: np.ndarray | float):
        """Coverage of an ellipse at (x, y) with half axes a, b in every slice."""
        x, y, a, b = (np.asarray(v, np.float32) for v in (x, y, a, b))
        return coverage(superellipse(self.x - x, self.y - y, np.maximum(a, 0.5), np.maximum(b, 0.5)), self.edge_mm)


@dataclass(frozen=True)
class Walls:
    """Distances in mm: `skin` to the body's outline, `cage` to the inner side of the ribs and abdominal wall."""

    skin: np.ndarray
    cage: np.ndarray
    centre_y: np.ndarray
    half_width: np.ndarray
    half_depth: np.ndarray


def walls(frame: Frame, trunk: Trunk, vertebrae: list[Vertebra]) -> Walls:
    """The chest wall, shaped like two lobes that bulge back beside the spine and pass in front of the ribs' necks."""
    size = trunk.size
    half_width = frame.at(_LEVEL, _CAGE_WIDTH) * size * trunk.girth
    half_depth = frame.at(_LEVEL, _CAGE_DEPTH) * size * trunk.depth
    index = np.arange(len(LEVELS))
    # the wall passes 10 mm in front of the tips of the transverse processes, where ribs lie against them
    tips = np.array([v.tip for v in vertebrae])
    tips[12:] = tips[11]
    tip_x = np.interp(frame.level, index, tips[:, 0])
    tip_y = np.interp(frame.level, index, tips[:, 1]) - 10.0
    lobe_x, lobe_a = 0.5 * half_width, 0.5 * half_width + 9
    centre_y = tip_y - half_depth * np.sqrt(1 - ((tip_x - lobe_x) / lobe_a) ** 2)
    y = frame.y - centre_y
    cage = superellipse(np.abs(frame.x) - lobe_x, y, lobe_a, half_depth, 2.15)
    middle = superellipse(frame.x, y + 0.28 * half_depth, 0.8 * half_width, 0.7 * half_depth)
    cage = np.minimum(cage, middle)
    back = np.interp(frame.level, index, [v.depth / 2 + v.canal_depth for v in vertebrae])
    back = back + trunk.muscle_back * size + trunk.fat_back * frame.at((0, 3, 8, 13, 17), (1.2, 1.1, 0.9, 1.0, 1.4))
    front = centre_y - half_depth - 12 - 0.7 * trunk.fat_side
    outline = (frame.at(_LEVEL, _OUTLINE) - 12) * size * trunk.girth + trunk.fat_side
    outline = np.minimum(outline, 188)
    middle, half = (back + front) / 2, (back - front) / 2
    angle = np.arctan2(frame.x, frame.y - middle)
    ripple = sum(
        trunk.ripple[k] * 1.3 * np.sin((k + 2) * angle + trunk.ripple[k + 4] * 2 + 0.02 * frame.z) for k in range(4)
    )
    furrow = 6 * np.exp(-((frame.x / 14) ** 2)) * (frame.y > middle) * frame.at((0, 6, 12, 17), (0.5, 0.3, 0.7, 1.0))
    skin = superellipse(frame.x, frame.y - middle, outline, half, 2.7) + ripple + furrow
    return Walls(skin, cage, centre_y, half_width, half_depth)


def paint_wall(canvas: Canvas, frame: Frame, trunk: Trunk, wall: Walls, rng: np.random.Generator) -> None:
    """Skin, subcutaneous fat, and muscle layers with fat planes and streaks between them."""
    shape = wall.skin.shape
    canvas.paint(coverage(wall.skin, frame.edge_mm), "skin")
    canvas.paint(coverage(wall.skin + 1.8, frame.edge_mm), "adipose")
    behind = np.clip((frame.y - wall.centre_y) / (0.7 * wall.half_depth), 0, 1)
    fat = 2 + trunk.fat_side * 0.8 * (1 - behind) + trunk.fat_back * 0.8 * behind
    fat = fat + 2.0 * texture(rng, shape, (2, 14, 14))
    muscle = coverage(wall.skin + fat, frame.edge_mm * 1.5)
    canvas.paint(muscle, "muscle", uptake=0.03)
    # fat planes between muscle groups run along the wall; streaks inside them follow a rough field
    layer = wall.skin + fat + 5 * texture(rng, shape, (2, 9, 9))
    spacing = 13.0
    plane = np.abs((layer / spacing) % 1.0 - 0.5) * spacing
    planes = coverage(plane - (0.4 + 2.2 * trunk.infiltration), 1.5 * frame.edge_mm) * (
        texture(rng, shape, (2, 8, 8)) > 0.2
    )
    rough = texture(rng, shape, (0.8, 1.6, 1.1))
    streaks = np.clip((rough - 2.0 + 2.6 * trunk.infiltration) * 0.55, 0, 0.75)
    shoulder = np.clip(1.2 - np.abs(frame.level - 2) / 4, 0, 1)
    fatty = np.clip(planes * (0.5 + 0.5 * shoulder) + streaks, 0, 0.95)
    canvas.paint((fatty * muscle * (wall.cage > -4)).astype(np.float32), "adipose")


def paint_table(canvas: Canvas, x: np.ndarray, y: np.ndarray, top_y: float, edge_mm: float) -> None:
    """The couch: a shallow carbon-fibre tray; `x, y` in the gantry's frame, `top_y` where the patient's back lies."""
    dish = y - (top_y + 14 - (x / 62.0) ** 2 * 1.7)
    shell = np.minimum(np.abs(dish), np.abs(dish - 22 + (x / 40.0) ** 2)) - 0.9
    canvas.paint(coverage(np.maximum(shell, np.abs(x) - 175), edge_mm), "carbon fibre", filling=0.6)


def paint_ribs(
    canvas: Canvas,
    frame: Frame,
    trunk: Trunk,
    wall: Walls,
    vertebrae: list[Vertebra],
    *,
    thickness_mm: float,
    bone_share: float,
) -> None:
    """The shafts of the ribs: flat rods that lie on the wall and fall towards the front; three samples per slice."""
    a, b = trunk.rib_half
    near = np.abs(wall.cage - a) < 2.2 * a
    near &= np.abs(frame.x) > 18 * trunk.size
    k, i, j = np.nonzero(near)
    depth = wall.cage[k, i, j] - a
    side = frame.x[k, i, j]
    angle = np.arctan2(np.abs(side), frame.y[k, i, j] - wall.centre_y[k, 0, 0])
    radius = (wall.half_width + wall.half_depth)[k, 0, 0] / 2
    share = np.zeros((2, k.size), np.float32)
    for offset in (-1 / 3, 0.0, 1 / 3):
        z = frame.z[k, 0, 0] + offset * thickness_mm
        distance = np.full(k.size, 99.0)
        for v in vertebrae:
            if v.level[0] != "T":
                continue
            number = LEVELS.index(v.level)
            slope = trunk.rib_slope * np.interp(number, (1, 2, 6, 9, 11, 12), (0.15, 0.3, 0.36, 0.42, 0.55, 0.6))
            last = np.deg2rad(np.interp(number, (1, 10, 11, 12), (130, 125, 85, 52)))
            for sign in (-1, 1):
                root = v.world(v.tip * [sign, 1, 1])
                start = np.arctan2(v.tip[0], 0.8 * wall.half_depth.mean())
                fall = v.centre[2] + v.tip[2] + (root - v.world(v.tip * [0, 1, 1]))[2]
                fall = fall - slope * radius * np.maximum(angle - start, 0)
                rod = (np.hypot(depth / a, (z - fall) / b) - 1) * a
                rod = np.maximum(rod, radius * np.maximum(angle - last, start - 0.1 - angle))
                np.minimum(distance, np.where(side * sign > 0, rod, 99.0), out=distance)
        inside = coverage(distance, frame.edge_mm)
        cortex = np.clip((1.2 + distance) / frame.edge_mm + 0.5, 0, 1)
        share += np.stack([inside, inside * (1.1 * bone_share + (0.5 - 1.1 * bone_share) * cortex)]) / 3
    cover = np.zeros(wall.cage.shape, np.float32)
    bone = np.zeros_like(cover)
    cover[k, i, j], bone[k, i, j] = share
    canvas.paint(cover, "red marrow", uptake=0.05)
    canvas.paint(bone, "cortical bone", uptake=0.0)


def paint_shoulders(canvas: Canvas, frame: Frame, wall: Walls, rng: np.random.Generator) -> None:
    """Shoulder blades behind the upper ribs, collar bones and breastbone in front."""
    here = frame.between(-0.5, 7.6, 0.5)
    for sign in (-1, 1):
        x = sign * frame.x
        middle = frame.at((1, 4, 8), (92, 95, 90)) + rng.normal(0, 9)
        y0 = wall.centre_y + wall.half_depth * frame.at((1, 4, 8), (0.35, 0.42, 0.5)) + 20 + rng.normal(0, 3)
        tilt = np.deg2rad(-48 + rng.normal(0, 12))
        u = (x - middle) * np.cos(tilt) + (frame.y - y0) * np.sin(tilt)
        w = -(x - middle) * np.sin(tilt) + (frame.y - y0) * np.cos(tilt) + 0.004 * u**2
        long = frame.at((0, 1, 3, 5, 7.6), (24, 34, 42, 36, 18))
        blade = np.maximum(np.abs(w) - 2.4 - 4.0 * np.clip((np.abs(u) / long) ** 4, 0, 1), np.abs(u) - long)
        spine = np.maximum(np.abs(u - 0.35 * long) - 2.0, np.maximum(-w - 1, w - frame.at((1, 3.6, 4.4), (26, 20, 0))))
        bone = coverage(np.minimum(blade, spine), frame.edge_mm) * here
        outside = (wall.cage > 8) * coverage(wall.skin + 12, frame.edge_mm)
        _paint_flat_bone(canvas, bone * outside, 0.4)
        collar = superellipse(
            (x - 70) * 0.8 + (frame.y - wall.centre_y + 0.8 * wall.half_depth) * 0.6,
            -(x - 70) * 0.6 + (frame.y - wall.centre_y + 0.8 * wall.half_depth) * 0.8,
            np.float32(34.0),
            np.float32(6.5),
        )
        _paint_flat_bone(canvas, coverage(collar, frame.edge_mm) * frame.between(0.4, 2.2, 0.4), 0.4)
    front = wall.centre_y - wall.half_depth - 4
    sternum = np.maximum(np.abs(frame.x) - 16, np.abs(frame.y - front) - 5)
    _paint_flat_bone(canvas, coverage(sternum, frame.edge_mm) * frame.between(3, 9), 0.2)


def _paint_flat_bone(canvas: Canvas, cover: np.ndarray, bone_share: float) -> None:
    cover = cover.astype(np.float32)
    canvas.paint(cover, "red marrow", uptake=0.05)
    canvas.paint(bone_share * cover, "cortical bone")
