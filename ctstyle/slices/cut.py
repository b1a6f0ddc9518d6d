"""Cut a CT volume into slices of one size, one in-plane spacing and one Hounsfield window."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ctstyle.dicom.volume import AIR_HU, Volume
from ctstyle.errors import CTStyleError
from ctstyle.slices.body import body_mask
from ctstyle.slices.resample import area_weights, resample, resample_labels
from ctstyle.slices.window import Window

UNNAMED_VERTEBRA = 255
"""The label of a vertebra whose level is not known (`label_map: vertebrae`)."""
BACK_MARGIN_MM = 8.0
"""Air between the skin of the back and the lower border of the `spine` crop."""
CROP_LATTICE_MM = 16.0
"""The crop moves in steps of about this size, so that scans of one patient in other styles get the same crop."""


class NoBody(CTStyleError):
    """No slice shows a body."""


class NoLabels(CTStyleError):
    """A mask was given and labels nothing in this volume."""


@dataclass(frozen=True, kw_only=True)
class SliceSettings:
    """How slices are cut; one config section.

    `orientation`: axial (row 0 anterior, column 0 the patient's right) or sagittal (row 0 superior, column 0
    anterior). `size_px` x `size_px` pixels of `spacing_mm`. HU are clipped to `window_hu`. `crop`: "spine", a field
    that ends behind the skin of the back and is centred on the midline, or "body", a field centred on the body; both
    are found from the body alone, never from labels. `every_mm`: distance of the slices along their normal; native
    slices are chosen, none is interpolated. `sagittal_range_mm`: sagittal slices lie within this distance of the
    midline. `grey_values`: what the reader does with display exports (`dicom.read`).
    """

    orientation: str = "axial"
    size_px: int = 96
    spacing_mm: float = 2.0
    window_hu: tuple[float, float] = (-250, 750)
    crop: str = "spine"
    grey_values: str = "reject"
    every_mm: float = 5.0
    sagittal_range_mm: float = 20.0

    def __post_init__(self):
        object.__setattr__(self, "window_hu", tuple(self.window_hu))
        Window(*self.window_hu)
        for key, allowed in (
            ("orientation", ("axial", "sagittal")),
            ("crop", ("spine", "body")),
            ("grey_values", ("reject", "as_display")),
        ):
            if getattr(self, key) not in allowed:
                raise CTStyleError(
                    "unknown value",
                    where=f"slices: {key}",
                    found=getattr(self, key),
                    expected=" or ".join(allowed),
                )
        for key in ("size_px", "spacing_mm", "every_mm", "sagittal_range_mm"):
            if not getattr(self, key) > 0:
                raise CTStyleError(
                    "not above 0", where=f"slices: {key}", found=getattr(self, key), expected="a number above 0"
                )

    @property
    def window(self) -> Window:
        """The Hounsfield window."""
        return Window(*self.window_hu)


@dataclass(frozen=True)
class _Straight:
    """A volume whose axes run to the patient's left, back and head: arrays `[z, y, x]`, first centre and step in mm."""

    hu: np.ndarray
    labels: np.ndarray
    first_mm: np.ndarray
    step_mm: np.ndarray
    uids: tuple[str, ...]

    def trimmed(self, start: int, stop: int) -> "_Straight":
        first = self.first_mm + self.step_mm * (0, 0, start)
        return replace(
            self, hu=self.hu[start:stop], labels=self.labels[start:stop], first_mm=first, uids=self.uids[start:stop]
        )

    def centres(self, axis: int) -> np.ndarray:
        return self.first_mm[axis] + self.step_mm[axis] * np.arange(self.hu.shape[2 - axis])


def cut(
    volume: Volume, labels: np.ndarray | None, settings: SliceSettings
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Slices of a volume: HU int16 `[n, H, W]`, labels uint8 `[n, H, W]`, and one manifest row per slice.

    `labels` uint8 `[z, y, x]` lies on the volume's grid, or is None for a scan without a mask (all labels are then 0).
    With labels, the volume is first trimmed to the range along the body axis in which anything is labelled: beyond it
    bone is there but not labelled, and would be taught as background. Slices are means over the area of each pixel
    (anti-aliased), labels the majority by area; outside the scan lies air. The pixel lattice is anchored in the
    patient's coordinates and not to the crop.

    Rows: `index`, `orientation`, `position_mm` (LPS, along the slice normal), `row0_mm` and `column0_mm` (LPS, centre
    of the first row and column), `sop_instance_uid` (empty where a slice crosses several files), `level` (label id of
    the vertebra nearest along the body axis, 0 = none), `foreground_px`, `sha256` (of the HU bytes, then the label
    bytes). Raises NoBody and NoLabels.
    """
    straight = _straighten(volume, labels)
    centroids = level_centroids(straight.labels, straight.centres(2))
    body = _coarse_body(straight, settings)
    if labels is not None:
        labelled = np.flatnonzero(straight.labels.any(axis=(1, 2)))
        if not labelled.size:
            raise NoLabels("the mask labels no voxel of this scan", expected="labels of vertebrae")
        start, stop = labelled[0], labelled[-1] + 1
        straight, body = straight.trimmed(start, stop), body.trimmed(start, stop)
    if not body.labels.any():
        raise NoBody(
            "no body in any slice",
            found=f"HU {straight.hu.min()} to {straight.hu.max()}",
            expected=f"tissue within the window {list(settings.window_hu)}",
            fix="Look at the scan, and at the config key `slices: window_hu`.",
        )
    plane = _axial if settings.orientation == "axial" else _sagittal
    hu, marks, rows = plane(straight, body, settings)
    rows["level"] = [_nearest(centroids, z) for z in rows.pop("z_mm")]
    rows["foreground_px"] = (marks > 0).sum(axis=(1, 2))
    rows["sha256"] = [hashlib.sha256(one.tobytes() + mark.tobytes()).hexdigest() for one, mark in zip(hu, marks)]
    return hu, marks, rows


def level_centroids(labels: np.ndarray, z_mm: np.ndarray) -> dict[int, float]:
    """The mean z in mm of every named vertebra in labels `[z, y, x]`."""
    centroids = {}
    for label in np.unique(labels[labels > 0]):
        if label != UNNAMED_VERTEBRA:
            counts = (labels == label).sum(axis=(1, 2))
            centroids[int(label)] = float(counts @ z_mm / counts.sum())
    return centroids


def _nearest(centroids: dict[int, float], z_mm: float) -> int:
    return min(centroids, key=lambda label: (abs(centroids[label] - z_mm), label)) if centroids else 0


def _straighten(volume: Volume, labels: np.ndarray | None) -> _Straight:
    """Permute and flip the axes so that x runs left, y to the back and z to the head (as near as the grid allows)."""
    if labels is None:
        labels = np.zeros(volume.hu.shape, np.uint8)
    direction = np.asarray(volume.direction)
    axes = _axes(direction)
    # array axis of patient axis a is 2 - axes[a]; the arrays become [z, y, x]
    order = [2 - axes[a] for a in (2, 1, 0)]
    flips = [direction[a, axes[a]] < 0 for a in (2, 1, 0)]
    turn = tuple(slice(None, None, -1 if flip else None) for flip in flips)
    corner = [volume.hu.shape[2 - axis] - 1 if direction[a, axis] < 0 else 0 for a, axis in enumerate(axes)]
    index = np.zeros(3)
    index[list(axes)] = corner
    first = np.asarray(volume.origin_mm) + direction @ (np.asarray(volume.spacing_mm) * index)
    uids = volume.sop_instance_uids if axes[2] == 2 else ()
    uids = tuple(reversed(uids)) if flips[0] else uids
    count = volume.hu.shape[order[0]]
    return _Straight(
        volume.hu.transpose(order)[turn],
        labels.transpose(order)[turn],
        first,
        np.asarray(volume.spacing_mm)[list(axes)],
        uids or ("",) * count,
    )


def _axes(direction: np.ndarray) -> tuple[int, int, int]:
    """Which grid axis runs along the patient's x, y and z."""
    from itertools import permutations

    return max(permutations(range(3)), key=lambda axes: sum(abs(direction[a, axis]) for a, axis in enumerate(axes)))


def _coarse_body(straight: _Straight, settings: SliceSettings) -> _Straight:
    """The body of every axial plane on a 2 mm lattice, as labels of a volume: enough to place the crop."""
    coarse = 2.0
    x, y = (_lattice(straight.centres(axis), coarse) for axis in (0, 1))
    columns, rows = (_weights(straight, axis, lattice, coarse) for axis, lattice in ((0, x), (1, y)))
    planes = np.stack([resample(plane, rows, columns, outside=AIR_HU) for plane in straight.hu])
    mask = body_mask(settings.window.clip(planes), settings.window)
    first = np.array([x[0], y[0], straight.first_mm[2]])
    return _Straight(mask, mask, first, np.array([coarse, coarse, straight.step_mm[2]]), straight.uids)


def _lattice(centres: np.ndarray, spacing: float) -> np.ndarray:
    """All multiples of `spacing` within the centres."""
    return spacing * np.arange(np.ceil(centres[0] / spacing), np.floor(centres[-1] / spacing) + 1)


def _weights(straight: _Straight, axis: int, lattice: np.ndarray, spacing: float) -> np.ndarray:
    return area_weights(straight.hu.shape[2 - axis], straight.first_mm[axis], straight.step_mm[axis], lattice, spacing)


def _midline_mm(body: _Straight) -> float:
    """The x of the body's centre: the median over the axial planes."""
    area = body.labels.sum(axis=(1, 2))
    weight = body.labels.sum(axis=1)
    x = weight[area > 0] @ body.centres(0) / area[area > 0]
    return float(np.median(x))


def _back_mm(body: _Straight, midline_mm: float) -> float:
    """The y of the skin of the back near the midline: the rearmost of all planes but the outer tenth."""
    near = abs(body.centres(0) - midline_mm) <= 30
    shadow = body.labels[:, :, near].any(axis=2)
    shadow = shadow[shadow.any(axis=1)]
    rearmost = body.centres(1)[shadow.shape[1] - 1 - shadow[:, ::-1].argmax(axis=1)]
    return float(np.quantile(rearmost, 0.9))


def _field(centre_mm: float, settings: SliceSettings) -> np.ndarray:
    """The pixel centres of a field: multiples of the spacing, moved in steps of the crop lattice."""
    stride = settings.spacing_mm * max(1, round(CROP_LATTICE_MM / settings.spacing_mm))
    first = stride * round((centre_mm - settings.spacing_mm * settings.size_px / 2) / stride)
    return first + settings.spacing_mm * np.arange(settings.size_px)


def _in_plane_fields(body: _Straight, settings: SliceSettings) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres along y and x of the crop."""
    midline = _midline_mm(body)
    field_mm = settings.spacing_mm * settings.size_px
    if settings.crop == "spine":
        return _field(_back_mm(body, midline) + BACK_MARGIN_MM - field_mm / 2, settings), _field(midline, settings)
    spans = [body.centres(axis)[body.labels.any(axis=tuple({0, 1, 2} - {2 - axis}))] for axis in (1, 0)]
    return tuple(_field((span[0] + span[-1]) / 2, settings) for span in spans)


def _chosen(count: int, step_mm: float, every_mm: float) -> np.ndarray:
    """The indices of native slices nearest to every multiple of `every_mm`."""
    wanted = np.arange(0, (count - 1) * step_mm + 1e-6, every_mm)
    return np.unique(np.minimum(np.rint(wanted / step_mm).astype(int), count - 1))


def _axial(straight: _Straight, body: _Straight, settings: SliceSettings):
    y, x = _in_plane_fields(body, settings)
    rows, columns = (_weights(straight, axis, field, settings.spacing_mm) for axis, field in ((1, y), (0, x)))
    chosen = _chosen(len(straight.hu), straight.step_mm[2], settings.every_mm)
    z = straight.centres(2)[chosen]
    planes = [(straight.hu[k], straight.labels[k]) for k in chosen]
    uids = [straight.uids[k] for k in chosen]
    return _slices(planes, rows, columns, settings, z=z, position=z, row0=y[0], column0=x[0], uids=uids)


def _sagittal(straight: _Straight, body: _Straight, settings: SliceSettings):
    y, _ = _in_plane_fields(body, settings)
    x = straight.centres(0)
    inside = np.flatnonzero(abs(x - _midline_mm(body)) <= settings.sagittal_range_mm)
    if not inside.size:
        inside = np.array([abs(x - _midline_mm(body)).argmin()])
    chosen = inside[_chosen(len(inside), straight.step_mm[0], settings.every_mm)]
    ends = straight.centres(2)[[0, -1]]
    z = _field(float(ends.mean()), settings)[::-1]
    rows, columns = (_weights(straight, axis, field, settings.spacing_mm) for axis, field in ((2, z), (1, y)))
    planes = [(straight.hu[:, :, k], straight.labels[:, :, k]) for k in chosen]
    middle = np.full(len(chosen), z.mean())
    uids = [""] * len(chosen)
    return _slices(planes, rows, columns, settings, z=middle, position=x[chosen], row0=z[0], column0=y[0], uids=uids)


def _slices(planes, rows, columns, settings: SliceSettings, *, z, position, row0, column0, uids):
    window = settings.window
    hu = np.stack([window.clip(resample(plane, rows, columns, outside=AIR_HU)) for plane, _ in planes])
    labels = np.stack([resample_labels(plane, rows, columns) for _, plane in planes])
    frame = pd.DataFrame({"index": np.arange(len(planes)), "orientation": settings.orientation})
    frame["position_mm"], frame["row0_mm"], frame["column0_mm"] = np.round(position, 4), row0, column0
    frame["sop_instance_uid"], frame["z_mm"] = uids, z
    return hu, labels, frame
