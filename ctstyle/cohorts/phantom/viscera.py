"""Inside the trunk: lungs, mediastinum, heart and great vessels, abdominal organs and bowel (frame as in `trunk`)."""

import numpy as np

from ctstyle.cohorts.phantom.tissues import Canvas, coverage, ellipsoid, superellipse, texture
from ctstyle.cohorts.phantom.trunk import Frame, Trunk, Walls


def diaphragm(frame: Frame, trunk: Trunk, wall: Walls) -> np.ndarray:
    """Distance in mm to the abdominal cavity: two domes that leave a recess of lung behind them down to L1."""
    level = frame.level - trunk.breath - 0.25 * np.sign(frame.x)
    gap = np.interp(level, (8.2, 9, 10, 11, 12, 13, 13.6), (140, 85, 48, 24, 10, 2, -3))
    lean = np.clip((frame.y - wall.centre_y) / wall.half_depth, -1, 1)
    return wall.cage + np.where(gap > 0, gap * (1 + 0.5 * lean), gap)


def paint_chest(
    canvas: Canvas, frame: Frame, trunk: Trunk, wall: Walls, domes: np.ndarray, rng: np.random.Generator
) -> None:
    """Lungs with vessels beside a mediastinum of fat, windpipe, oesophagus, heart and great vessels."""
    shape = wall.cage.shape
    edge = frame.edge_mm
    canvas.paint(coverage(wall.cage, edge), "adipose")
    depth = -(frame.y + frame.half_depth)
    strip = np.interp(depth, (-30, -12, 4, 18, 40, 70, 110), (6, 7, 10, 17, 25, 32, 26)) * trunk.mediastinum
    strip = strip + np.where(frame.x > 0, 3, 0) + 2.5 * texture(rng, shape, (2, 9, 9))
    strip = strip + frame.at((1, 2.5, 4, 6), (22, 12, 4, 0))
    apex = 60 * np.clip(2.3 - frame.level, 0, 2)
    lungs = np.maximum(np.maximum(wall.cage + 1.5 + apex, strip - np.abs(frame.x)), 2.0 - domes)
    air = coverage(lungs, edge)
    droop = np.clip((frame.y - wall.centre_y) / wall.half_depth, -1, 1)
    filling = trunk.lung_density * (1 + 0.18 * droop + 0.10 * texture(rng, shape, (1, 2.5, 2.5)))
    canvas.paint(air, "lung", filling=filling.astype(np.float32), uptake=0.1)
    deep = np.clip(-lungs / 25.0, 0, 1)
    rough = texture(rng, shape, (0.7, 1.0, 1.0))
    vessels = np.clip((rough - 2.25 - 0.5 * (1 - deep)) * 1.6, 0, 1) * air * (lungs < -4)
    canvas.paint(vessels.astype(np.float32), "blood", uptake=0.9)
    soft = ((1 - air) * (texture(rng, shape, (1, 2.2, 2.2)) > 1.1) * (wall.cage < -3)).astype(np.float32)
    canvas.paint(soft * frame.between(-1, 10.5), "muscle", uptake=0.2)

    def vessel(x, y, a, b, first, last, *, tissue="blood", uptake=1.0, soft=0.3):
        """An upright tube of half axes `a`, `b` in mm between two levels."""
        cover = frame.disc(x, y, a, b) * frame.between(first, last, soft)
        canvas.paint(cover.astype(np.float32), tissue, uptake=uptake)

    front = -frame.half_depth
    r = trunk.aorta_radius
    wander = rng.normal(0, 2.5, 12)
    heart_y = front - 68 * trunk.depth + wander[0]
    vessel(26 + wander[1], heart_y, 62, 46, 5.9, 10.2, tissue="adipose", soft=0.8)
    for x, y, a, b, uptake, first in (
        (-22, 2, 30, 30, 0.95, 6.2),
        (32, 6, 34, 32, 1.0, 6.6),
        (10, -28, 36, 18, 0.9, 6.4),
        (4, 26, 32, 15, 1.0, 6.0),
    ):
        vessel(x + wander[2], heart_y + y, a + 5, b + 5, first, 9.7, tissue="muscle", uptake=0.4, soft=0.7)
        vessel(x + wander[2], heart_y + y, a - 1, b - 1, first, 9.4, uptake=uptake, soft=0.7)
    vessel(-18 + wander[3], front - 62, 1.25 * r, 1.25 * r, 4.6, 6.6)
    vessel(18, front - 58, 1.1 * r, 1.1 * r, 5.0, 6.4, uptake=0.95)
    for sign in (-1, 1):
        vessel(sign * 38 + wander[4], front - 34, 14, 9, 5.3, 6.6, uptake=0.95)
        vessel(sign * 50, front - 22 + wander[5], 7, 7, 5.4, 7.2, uptake=0.95)
    # during injection the veins on the way to the heart hold undiluted contrast agent
    bolus = rng.choice([0.8, 1.0, 3.0])
    vessel(-32 + wander[11], front - 48, 8, 9, 2.2, 6.2, uptake=bolus)
    slant = superellipse(
        (frame.x - 6) * 0.77 - (frame.y - front + 26) * 0.64,
        (frame.x - 6) * 0.64 + (frame.y - front + 26) * 0.77,
        r * 0.95,
        38.0,
    )
    canvas.paint((coverage(slant, edge) * frame.between(3.9, 4.9)).astype(np.float32), "blood", uptake=1.0)
    for x, y, radius in ((-16, -34, 6.0), (8, -38, 4.5), (18, -28, 5.0), (-30, -44, 7.0), (28, -46, 6.0)):
        uptake = bolus if x < -20 else 0.95
        vessel(x + wander[6], front + y + wander[7], radius, radius, 0, 3.9, uptake=uptake)
    vessel(wander[8] * 0.6, front - 24, 10.5, 10, -1, 5.0, tissue="muscle")
    vessel(wander[8] * 0.6, front - 24, 8.6, 8, -1, 5.0, tissue="air")
    for sign in (-1, 1):
        vessel(sign * frame.at((5, 6.5), (10, 30)), front - 27, 8, 6.5, 4.9, 6.6, tissue="muscle")
        vessel(sign * frame.at((5, 6.5), (10, 30)), front - 27, 6.4, 5, 4.9, 6.6, tissue="air")
    gullet = frame.at((0, 5, 8, 10, 11), (4, 3, 1, 7, 12)) + wander[9]
    vessel(gullet, front - 9, 8, 5, -1, 11.2, tissue="muscle", uptake=0.1)
    vessel(gullet, front - 9, 3.0 * rng.random(), 2.0, -1, 9, tissue="air")
    vessel(-9 + wander[10], front - 2.5, 3.8, 3.4, 4.5, 12.5, uptake=0.5)


def paint_abdomen(
    canvas: Canvas, frame: Frame, trunk: Trunk, wall: Walls, domes: np.ndarray, rng: np.random.Generator
) -> None:
    """Below the diaphragm: fat, liver, spleen, stomach, kidneys, bowel with gas and stool, psoas and crura."""
    shape, edge, s = wall.cage.shape, frame.edge_mm, trunk.size
    front = -frame.half_depth
    canvas.paint(coverage(domes, edge), "muscle", uptake=0.05)
    canvas.paint(coverage(domes + 2.5, edge), "adipose")
    inside = coverage(domes + 4.5, edge)
    z = (frame.level - trunk.breath * 0.7) * 27.0
    wave = 4 * texture(rng, shape, (3, 12, 12))

    def organ(x, y, level, axes, tissue, *, uptake, limit=inside, grow=0.0, bumps=1.0):
        """A bumpy ellipsoid about (x, y) mm at a level, painted within `limit`; returns its cover."""
        centre = (frame.x - x * s, frame.y - front - y * s, z - level * 27.0)
        solid = ellipsoid(*centre, tuple(k * s for k in axes)) + bumps * wave - grow
        cover = coverage(solid, edge) * limit
        canvas.paint(cover, tissue, uptake=uptake)
        return cover

    loops = []
    for _ in range(26):
        x, y = rng.uniform(-100, 100), rng.uniform(-105, -22)
        loops.append((x, y, rng.uniform(12, 17), rng.uniform(9, 24), rng.random()))
    loops += [
        (sign * rng.uniform(85, 100), rng.uniform(-35, 0), rng.uniform(12, 17), 24, rng.random() * 0.8)
        for sign in (-1, 1)
    ]
    crumbs = texture(rng, shape, (0.8, 1.3, 1.3))
    for x, y, level, width, kind in loops:
        deep = width * rng.uniform(0.7, 1.0)
        centre = (frame.x - x * s, frame.y - front - y * s, z - level * 27.0)
        tube = ellipsoid(*centre, (width, deep, rng.uniform(18, 50))) + 0.5 * wave
        cover = coverage(tube, edge) * inside
        if not cover.any():
            continue
        canvas.paint(cover, "muscle", uptake=0.3)
        content = coverage(tube + 2.5, edge) * inside
        if kind < 0.35:
            canvas.paint(content, "muscle", filling=np.clip(0.93 - 0.16 * np.maximum(crumbs, 0) ** 2, 0.05, 1))
        elif kind < 0.6:
            canvas.paint(content, "water", filling=1.02)
            gas = content * coverage(centre[1] + rng.uniform(-4, 6), edge)
            canvas.paint(gas, "air")
        elif kind < 0.8:
            canvas.paint(content, "water", filling=1.03)
    liver = inside * coverage(np.maximum(frame.x - 25 + 0.3 * (frame.y - front), frame.y - front - 52), edge)
    organ(-70, -38, 11.2, (95, 105, 78), "liver", uptake=0.25, limit=liver)
    organ(92, 6, 11.0, (34, 50, 55), "spleen", uptake=0.45)
    stomach = organ(58, -62, 11.6, (46, 40, 62), "muscle", uptake=0.2)
    content = stomach * organ(58, -62, 11.6, (42, 36, 58), "water", uptake=0.0, limit=stomach)
    canvas.paint(content * coverage(frame.y - front + 78 * s, edge), "air")
    for sign, level, x in ((-1, 14.6, 66), (1, 14.2, 64)):
        k = trunk.kidney * s
        cx, cy = sign * (x + rng.normal(0, 4)) * s, rng.normal(18, 5) * s
        tilt = sign * np.deg2rad(rng.uniform(15, 40))
        dx, dy, dz = frame.x - cx, frame.y - front - cy, z - level * 27.0
        u, w = dx * np.cos(tilt) + dy * np.sin(tilt), -dx * np.sin(tilt) + dy * np.cos(tilt)
        outer = ellipsoid(u, w, dz, (27 * k, 23 * k, 58 * k))
        canvas.paint(coverage(outer - 6 - 2 * wave, edge) * inside, "adipose")
        canvas.paint(coverage(outer, edge) * inside, "kidney", uptake=0.75)
        canvas.paint(coverage(outer + 7 + wave, edge) * inside, "kidney", uptake=0.5)
        sinus = ellipsoid(u + sign * 15 * k, w, dz, (15 * k, 7 * k, 26 * k)) + wave
        canvas.paint(coverage(sinus, edge) * inside, "adipose")
    radius = frame.at((12.2, 13, 14, 15, 16, 17), (0, 6, 10, 14, 18, 20)) * s * (0.8 + 0.4 * (1 - trunk.infiltration))
    side = frame.at((12, 14, 17), (21, 23, 27)) * s
    for sign in (-1, 1):
        psoas = frame.disc(sign * (side + 0.75 * radius), 3 + 0.3 * radius, radius, 1.2 * radius)
        canvas.paint((psoas * frame.between(12.4, 20)).astype(np.float32), "muscle", uptake=0.05)
        square = frame.disc(sign * frame.at((13, 17), (42, 52)) * s, 24 * s, 15 * s, 8 * s)
        canvas.paint((square * frame.between(12.8, 20)).astype(np.float32), "muscle", uptake=0.05)
        crus = frame.disc(sign * 13 * s, front - 3, 4 * s, 11 * s) * frame.between(10.6, 14.6, 0.8)
        canvas.paint(crus.astype(np.float32), "muscle", uptake=0.1)
    cava = frame.disc(
        -frame.at((10, 12, 15), (28, 22, 18)) * s, front - frame.at((10, 12, 15), (28, 18, 10)), 12 * s, 9 * s
    )
    canvas.paint((cava * frame.between(9.8, 20)).astype(np.float32), "blood", uptake=0.55)
    for _ in range(8):
        dot = frame.disc(
            rng.uniform(-40, 45), front - rng.uniform(25, 60), rng.uniform(1.5, 4.5), rng.uniform(1.5, 4.5)
        )
        canvas.paint((dot * frame.between(12, 20)).astype(np.float32), "blood", uptake=rng.uniform(0.5, 1))


def paint_aorta(canvas: Canvas, frame: Frame, trunk: Trunk, rng: np.random.Generator) -> None:
    """The descending aorta from T4 on: left of the column in the chest, before it in the belly; plaques of calcium."""
    turn = frame.at((4, 6, 8, 10, 12, 15), (56, 46, 36, 24, 8, 4)) + trunk.aorta_turn * frame.at(
        (4, 10, 15), (1, 1, 0.3)
    )
    radius = trunk.aorta_radius * frame.at((4, 8, 12, 16), (1.05, 0.95, 0.85, 0.68))
    reach = frame.half_depth + radius + trunk.aorta_gap + 1.5 * texture(rng, frame.z.shape, (3, 0, 0))
    x = reach * np.sin(np.deg2rad(turn))
    y = -reach * np.cos(np.deg2rad(turn))
    tube = superellipse(frame.x - x, frame.y - y, radius, radius)
    here = frame.between(4.1, 17.2)
    canvas.paint((coverage(tube - 1.2, frame.edge_mm) * here).astype(np.float32), "muscle", uptake=0.2)
    canvas.paint((coverage(tube, frame.edge_mm) * here).astype(np.float32), "blood", uptake=1.0)
    if trunk.calcified:
        angle = np.arctan2(frame.x - x, frame.y - y)
        patch = np.cos(angle - rng.uniform(0, 6.28) - 1.5 * texture(rng, frame.z.shape, (2, 0, 0))) > 0.75
        plaque = coverage(np.abs(tube) - 0.9, frame.edge_mm) * patch * here
        canvas.paint((plaque * 0.6).astype(np.float32), "cortical bone", filling=0.8)
