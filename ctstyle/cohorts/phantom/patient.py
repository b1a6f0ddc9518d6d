"""One virtual patient: anatomy painted on a grid, its vertebra labels, and its projections for the scanner."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctstyle.cohorts.phantom.spine import LEVELS, Vertebra, bone_density, draw_spine, vertebra_solid
from ctstyle.cohorts.phantom.tissues import Canvas, basis_densities, capsule, coverage, superellipse, texture
from ctstyle.cohorts.phantom.trunk import (
    Frame,
    draw_trunk,
    paint_ribs,
    paint_shoulders,
    paint_table,
    paint_wall,
    walls,
)
from ctstyle.cohorts.phantom.viscera import diaphragm, paint_abdomen, paint_aorta, paint_chest
from ctstyle.study.data import PhantomSettings

_FINE = 3
"""Samples per slice thickness; in the plane bone is sampled twice per pixel."""

LABELLED_SHARE = 0.4
"""Share of a voxel that bone must fill to be labelled; cortex is so dense that readers see such a voxel as bone."""


@dataclass(frozen=True)
class Patient:
    """A patient ready to be scanned.

    `sinograms` float32 `[3, z, detector, angle]` in g/cm2: line integrals of water, hydroxyapatite and relative iodine
    (1 = arterial blood, in cm); `labels` uint8 `[z, y, x]` with TotalSegmentator ids; slices go from feet to head.
    `phase` in [0, 1] is the patient's place in a style's range of iodine concentrations, `injected` in [0, 1] decides
    whether a style that gives contrast agent to a share of its patients gives it to this one.
    """

    name: str
    sinograms: np.ndarray
    labels: np.ndarray
    pixel_mm: float
    thickness_mm: float
    origin_z_mm: float
    phase: float
    injected: float

    def save(self, path: Path) -> None:
        """Write the patient as a .npz file."""
        with path.open("wb") as file:
            np.savez(file, **{name: np.asarray(value) for name, value in vars(self).items()})

    @classmethod
    def load(cls, path: Path) -> "Patient":
        """Read a file that `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(**{name: value if value.ndim else value.item() for name, value in file.items()})


def make_patient(settings: PhantomSettings, patient: str) -> Patient:
    """Draw the patient of that name from its own seed and project it once for all styles."""
    index = settings.index(patient)
    canvas, labels, z = draw_anatomy(settings, index)
    _, injected, phase, _ = settings.spread(index)
    return Patient(
        name=patient,
        sinograms=project(canvas.densities, settings),
        labels=labels,
        pixel_mm=settings.pixel_mm,
        thickness_mm=settings.thickness_mm,
        origin_z_mm=float(z[0]),
        phase=phase,
        injected=injected,
    )


def view_angles(number: int) -> np.ndarray:
    """Angles in degrees of `number` views over half a turn, half a step off the axes of the grid.

    A view along the grid's axes is not interpolated, and its noise would stand in the image as straight lines.
    """
    return (np.arange(number) + 0.5) * 180.0 / number


def project(densities: np.ndarray, settings: PhantomSettings) -> np.ndarray:
    """Parallel-beam line integrals `[m, z, detector, angle]` in g/cm2 of densities `[m, z, y, x]` in g/cm3.

    The grid is turned about its pixel `size // 2`, with linear interpolation, and summed along the columns, as
    `skimage.transform.radon` does. That works out the places and weights anew for each of two dozen images, and takes
    many times as long as one sparse matrix for all of them.
    """
    from scipy.sparse import csr_array

    size = settings.grid_px
    middle = size // 2
    y, x = np.ogrid[:size, :size]
    inside = np.hypot(y - middle, x - middle) <= middle - 1
    # one more pixel all round, of nothing: there lies whatever is turned out of the grid
    padded = np.pad(densities.reshape(-1, size, size) * inside, ((0, 0), (1, 1), (1, 1)))
    images = np.ascontiguousarray(padded.reshape(len(padded), -1).T, np.float32)
    steps = np.arange(size) - middle
    column, row = steps[:, None], steps
    rays = np.arange(size + 1) * 4 * size
    out = np.empty((len(padded), size, settings.angles), np.float32)
    for number, angle in enumerate(np.deg2rad(view_angles(settings.angles))):
        across = np.cos(angle) * column + np.sin(angle) * row + middle + 1
        down = np.cos(angle) * row - np.sin(angle) * column + middle + 1
        places, weights = _corners(across, down, size + 2)
        lines = csr_array((weights.ravel(), places.ravel(), rays), shape=(size, len(images)))
        out[..., number] = (lines @ images).T
    return out.reshape(*densities.shape[:2], size, settings.angles) * np.float32(settings.pixel_mm / 10)


def _corners(x: np.ndarray, y: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat places int32 `[..., 4]` of the pixels around each point of a square of `size` pixels, and their weights."""
    left, top = np.floor(x), np.floor(y)
    right_share, lower_share = x - left, y - top
    columns, rows = (np.clip([low, low + 1], 0, size - 1).astype(np.int32) for low in (left, top))
    places = [row * np.int32(size) + column for row in rows for column in columns]
    weights = [down * across for down in (1 - lower_share, lower_share) for across in (1 - right_share, right_share)]
    return np.stack(places, axis=-1), np.stack(weights, axis=-1).astype(np.float32)


def draw_anatomy(settings: PhantomSettings, index: int) -> tuple[Canvas, np.ndarray, np.ndarray]:
    """Densities, labels uint8 `[z, y, x]` and slice positions (mm, T1 at 0) of the patient number `index`."""
    rng = np.random.default_rng([settings.seed, index, 0])
    size = float(np.clip(rng.normal(1.12, 0.07), 0.95, 1.28))
    wear = float(rng.beta(1.2, 1.8))
    bone_share = 0.05 + 0.12 * settings.spread(index)[3] - 0.015 * wear
    vertebrae = draw_spine(
        np.random.default_rng([settings.seed, index, 1]),
        size=size,
        kyphosis=rng.uniform(0.5, 1.5),
        scoliosis_mm=rng.normal(0, 3.5),
        wear=wear,
        bone_share=bone_share,
    )
    trunk = draw_trunk(np.random.default_rng([settings.seed, index, 2]), size)
    top = settings.first_level(index)
    centres = np.array([v.centre for v in vertebrae])
    z_top = np.interp(top, np.arange(len(LEVELS)), centres[:, 2])
    z = z_top - settings.thickness_mm * np.arange(settings.slices)[::-1]
    roll, shift_x = np.deg2rad(rng.normal(0, 3)), rng.normal(0, 6)

    size_px, pixel = settings.grid_px, settings.pixel_mm
    ticks = (np.arange(size_px) - size_px // 2) * pixel
    gantry_x, gantry_y = np.meshgrid(ticks, ticks)
    # the patient lies so that the middle of the body, 48 mm before the spine, is near the axis of the gantry
    lift = -48.0 * size
    gx, gy = gantry_x - shift_x, gantry_y - rng.normal(0, 6)
    body_x = np.cos(roll) * gx + np.sin(roll) * gy
    body_y = -np.sin(roll) * gx + np.cos(roll) * gy + lift
    middle_y = float(np.interp(z.mean(), centres[::-1, 2], centres[::-1, 1]))
    frame = _frame(vertebrae, body_x, body_y + middle_y, z, pixel)
    canvas = Canvas.empty((settings.slices, size_px, size_px))
    wall = walls(frame, trunk, vertebrae)
    canvas.paint(np.ones(wall.skin.shape, np.float32), "air")
    top_y = float(gantry_y[(wall.skin < 0).any(0)].max()) + trunk.table_gap - 16
    paint_table(canvas, gantry_x[None], gantry_y[None], top_y, pixel)
    soft = np.random.default_rng([settings.seed, index, 3])
    paint_wall(canvas, frame, trunk, wall, soft)
    domes = diaphragm(frame, trunk, wall)
    paint_chest(canvas, frame, trunk, wall, domes, soft)
    paint_abdomen(canvas, frame, trunk, wall, domes, soft)
    paint_aorta(canvas, frame, trunk, soft)
    paint_shoulders(canvas, frame, wall, soft)
    paint_ribs(canvas, frame, trunk, wall, vertebrae, thickness_mm=settings.thickness_mm, bone_share=bone_share)
    grain = 0.006 * texture(soft, wall.skin.shape, (0.5, 1.2, 1.2))
    canvas.densities[0] *= 1 + grain
    labels = paint_spine(canvas, frame, vertebrae, thickness_mm=settings.thickness_mm, rng=soft)
    return canvas, labels, z


def _frame(vertebrae: list[Vertebra], x: np.ndarray, y: np.ndarray, z: np.ndarray, pixel: float) -> Frame:
    centres = np.array([v.centre for v in vertebrae])[::-1]
    depth = np.array([v.depth / 2 for v in vertebrae])[::-1]
    cx, cy, b, level = (
        np.interp(z, centres[:, 2], values)[:, None, None].astype(np.float32)
        for values in (centres[:, 0], centres[:, 1], depth, np.arange(len(vertebrae))[::-1])
    )
    return Frame(
        (x[None] - cx).astype(np.float32),
        (y[None] - cy).astype(np.float32),
        z[:, None, None].astype(np.float32),
        level,
        pixel,
        b,
    )


def paint_spine(
    canvas: Canvas, frame: Frame, vertebrae: list[Vertebra], *, thickness_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Discs, canal, necks of ribs and vertebrae, sampled finely around the spine; returns the labels.

    A voxel bears the label of the vertebra that fills at least LABELLED_SHARE of it.
    """
    slices = canvas.densities.shape[1]
    rows = np.nonzero((np.abs(frame.y) < 100).any((0, 2)) & (frame.y > -45).any((0, 2)))[0]
    columns = np.nonzero((np.abs(frame.x) < 62).any((0, 1)))[0]
    window = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    offsets = (np.arange(_FINE) - (_FINE - 1) / 2) * thickness_mm / _FINE
    z = (frame.z[:, 0, 0, None] + offsets).reshape(-1)
    column = np.array([v.centre for v in vertebrae])[::-1]
    here = np.interp(frame.z[:, 0, 0], column[:, 2], np.arange(len(column)))
    x0 = np.interp(here, np.arange(len(column)), column[:, 0])[:, None, None]
    y0 = np.interp(here, np.arange(len(column)), column[:, 1])[:, None, None]
    fine_x = np.repeat(frame.x[window] + x0, _FINE, 0).astype(np.float32)
    fine_y = np.repeat(frame.y[window] + y0, _FINE, 0).astype(np.float32)
    fine_z = np.broadcast_to(z[:, None, None], fine_x.shape).astype(np.float32)
    edge = frame.edge_mm / 2
    local = Canvas(np.stack([_refine(np.repeat(d[window], _FINE, 0)) for d in canvas.densities]))
    _paint_column(local, vertebrae, fine_x, fine_y, fine_z, edge)
    grain = texture(rng, local.densities.shape[1:], (1.0, 1.3, 1.3))
    patchy = 0.8 * grain + 0.9 * texture(rng, local.densities.shape[1:], (3, 5, 5))
    shares = {}
    for v in vertebrae:
        reach = np.abs(v.spinous) + v.height
        use = np.nonzero((z < v.centre[2] + 0.5 * v.height + 14) & (z > v.centre[2] - 0.5 * v.height - reach))[0]
        if use.size == 0:
            continue
        part = slice(use[0], use[-1] + 1)
        p = v.local(fine_x[part], fine_y[part], fine_z[part])
        solid, body = (_refine(d.astype(np.float32)) for d in vertebra_solid(v, *p))
        up = _refine(p[2].astype(np.float32))
        inside = coverage(solid, edge)
        sheet = Canvas(local.densities[:, part])
        sheet.paint(coverage(solid - 2.2, edge) * (body > -1), "muscle", uptake=0.05)
        if v.thoracic:
            _paint_necks(sheet, v, p, edge)
        bone = bone_density(v, solid, body, up, patchy[part], edge_mm=edge)
        red, mineral = (np.array(basis_densities(name)) for name in ("red marrow", "cortical bone"))
        yellow = np.array(basis_densities("yellow marrow"))
        marrow = 0.5 * (red + yellow)
        mixed = [marrow[i] * (1 - bone) + mineral[i] * bone for i in range(2)]
        sheet.blend(inside, (*mixed, 0.06 * (1 - bone)))
        share = np.zeros(local.densities.shape[1:], np.float32)
        share[part] = inside
        shares[v.label] = _coarse(share, slices)
    for layer, fine in zip(canvas.densities, local.densities, strict=True):
        layer[window] = _coarse(fine, slices)
    labels = np.zeros(canvas.densities.shape[1:], np.uint8)
    best = np.full(labels[window].shape, LABELLED_SHARE, np.float32)
    for label, share in shares.items():
        labels[window][share >= best] = label
        best = np.maximum(best, share)
    return labels


def _paint_column(
    canvas: Canvas, vertebrae: list[Vertebra], x: np.ndarray, y: np.ndarray, z: np.ndarray, edge: float
) -> None:
    def along(values: list[float]) -> np.ndarray:
        """A quantity of the vertebrae between their centres, `[slices, 1, 1]`."""
        return np.interp(z[:, 0, 0], heights, values[::-1])[:, None, None].astype(np.float32)

    heights = [v.centre[2] for v in vertebrae][::-1]
    dx = _refine(x - along([v.centre[0] for v in vertebrae]))
    dy = _refine(y - along([v.centre[1] for v in vertebrae]))
    a, b = along([v.width / 2 for v in vertebrae]), along([v.depth / 2 for v in vertebrae])
    width, depth = along([v.canal_width for v in vertebrae]), along([v.canal_depth for v in vertebrae])
    rim = superellipse(dx, dy, a, b, 2.5)
    canvas.paint(coverage(rim - 2.0, edge), "muscle", uptake=0.05)
    canvas.paint(coverage(rim, edge), "cartilage", uptake=0.0)
    canvas.paint(coverage(rim + 5, 4.0), "disc", uptake=0.0)
    back = dy - b - depth / 2
    canvas.paint(coverage(superellipse(dx, back, width / 2 + 1.5, depth / 2 + 1.5, 2.2), edge), "muscle")
    canvas.paint(coverage(superellipse(dx, back, width / 2, depth / 2, 2.2), edge), "adipose")
    canvas.paint(coverage(superellipse(dx, back, 0.40 * width, 0.42 * depth), edge), "cerebrospinal fluid")
    cord = along([5.0 if LEVELS.index(v.level) < 13 else 0.8 for v in vertebrae])
    canvas.paint(coverage(superellipse(dx, back, cord * 1.15, cord * 0.85), edge), "cord")


def _paint_necks(canvas: Canvas, v: Vertebra, point: tuple[np.ndarray, ...], edge: float) -> None:
    height = (0.25 if v.level in ("T1", "T11", "T12") else 0.5) * v.height
    p = (np.abs(point[0]), point[1], point[2])
    head = (v.width / 2 + 2.5, v.depth / 2 - 5, height)
    knee = tuple(v.tip - [0.5, 7.5, 0])
    neck = capsule(p, head, knee, radius=(3.7, 3.4), squash=(1, 1, 1.4))
    solid = _refine(neck.astype(np.float32))
    cortex = np.clip((1.1 + solid) / edge + 0.5, 0, 1)
    inside = coverage(solid, edge)
    canvas.paint(coverage(solid - 1.5, edge), "muscle", uptake=0.05)
    canvas.paint(inside, "red marrow", uptake=0.05)
    canvas.paint((inside * (0.15 + 0.3 * cortex)).astype(np.float32), "cortical bone")


def _refine(values: np.ndarray) -> np.ndarray:
    """Linear interpolation of `[z, y, x]` to twice the samples in the plane (cell-centred)."""
    for axis in (1, 2):
        padded = np.pad(values, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        low, mid, high = (np.take(padded, np.arange(i, i + values.shape[axis]), axis) for i in range(3))
        pair = np.stack([0.75 * mid + 0.25 * low, 0.75 * mid + 0.25 * high], axis + 1)
        shape = list(values.shape)
        shape[axis] *= 2
        values = pair.reshape(shape)
    return values


def _coarse(values: np.ndarray, slices: int) -> np.ndarray:
    """Mean over the fine samples of each voxel."""
    rows, columns = values.shape[1] // 2, values.shape[2] // 2
    return values.reshape(slices, _FINE, rows, 2, columns, 2).mean((1, 3, 5))
