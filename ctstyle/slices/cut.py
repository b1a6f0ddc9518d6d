"""One scan of the sheet, cut into slices of one size, spacing and Hounsfield window; or the reason why not."""

import hashlib
import logging
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd

from ctstyle.cohorts.sheet import Scan
from ctstyle.ct.anatomy import UNNAMED_VERTEBRA
from ctstyle.ct.limits import LARGEST_CUT_VOXELS, check_resampled
from ctstyle.ct.volume import AIR_HU, Volume
from ctstyle.errors import CTStyleError, Fact
from ctstyle.slices.archive import ScanFiles, write_scan, write_skipped
from ctstyle.slices.body import body_mask
from ctstyle.slices.crop import NoBody, Outline, field, in_plane_fields, midline_mm, outline
from ctstyle.slices.resample import area_weights, resample, resample_labels
from ctstyle.slices.window import Window
from ctstyle.study.data import SliceSettings

OUTLINE_EVERY_MM = 10.0
"""Distance of the axial planes from which the crop is found."""


class NoLabels(CTStyleError):
    """A mask was given and labels nothing in this volume."""


@dataclass(frozen=True, eq=False)
class Straight:
    """A volume whose axes run to the patient's left, back and head: arrays `[z, y, x]`, first centre and step in mm.

    The arrays are views: what is written into them is written into the volume.

    `uids` names the files along `uid_axis` (0 x, 1 y, 2 z), the axis across which the scan was acquired.
    """

    hu: np.ndarray
    labels: np.ndarray
    first_mm: np.ndarray
    step_mm: np.ndarray
    uids: tuple[str, ...]
    uid_axis: int

    def trimmed(self, start: int, stop: int) -> "Straight":
        """The slab of planes `start` to `stop` (exclusive) along z."""
        first = self.first_mm + self.step_mm * (0, 0, start)
        uids = self.uids[start:stop] if self.uid_axis == 2 else self.uids
        return replace(self, hu=self.hu[start:stop], labels=self.labels[start:stop], first_mm=first, uids=uids)

    def centres(self, axis: int) -> np.ndarray:
        """Positions in mm of the voxel centres along an axis (0 x, 1 y, 2 z)."""
        return self.first_mm[axis] + self.step_mm[axis] * np.arange(self.hu.shape[2 - axis])

    def names(self, axis: int, chosen: np.ndarray) -> list[str]:
        """The files of these slices across an axis; empty where such a slice crosses several files."""
        return [self.uids[k] if self.uids and axis == self.uid_axis else "" for k in chosen]


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
    bytes). Raises `crop.NoBody`, NoLabels and OutOfBounds.
    """
    straight = straighten(volume, labels)
    centroids = level_centroids(straight.labels, straight.centres(2))
    if labels is not None:
        labelled = np.flatnonzero(straight.labels.any(axis=(1, 2)))
        if not labelled.size:
            raise NoLabels("the mask labels no voxel of this scan", expected="labels of vertebrae")
        start, stop = labelled[0], labelled[-1] + 1
        straight = straight.trimmed(start, stop)
    chosen = _chosen(len(straight.hu), straight.step_mm[2], OUTLINE_EVERY_MM)
    seen = outline(straight.hu[chosen], straight.centres(0), straight.centres(1), Window(*settings.window_hu))
    y, x = in_plane_fields(
        seen, Window(*settings.window_hu), crop=settings.crop, size_px=settings.size_px, spacing_mm=settings.spacing_mm
    )
    hu, marks, rows = _PLANES[settings.orientation](straight, seen, y, x, settings)
    if not body_mask(hu, Window(*settings.window_hu)).any():
        raise NoBody(
            f"no body in any of its {settings.orientation} slices",
            found=Fact(f"a scan of {volume.hu.shape} voxels (z, y, x) of {_shown(volume.spacing_mm)} mm"),
            expected="a scan that fills slices of this orientation with tissue",
            fix="A single sagittal image holds no axial slice: cut it with `slices: orientation: sagittal`.",
        )
    rows["level"] = [_nearest(centroids, z) for z in rows.pop("z_mm")]
    rows["foreground_px"] = (marks > 0).sum(axis=(1, 2))
    rows["sha256"] = [hashlib.sha256(one.tobytes() + mark.tobytes()).hexdigest() for one, mark in zip(hu, marks)]
    return hu, marks, rows


def _shown(numbers) -> str:
    return " x ".join(f"{value:g}" for value in numbers)


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


def straighten(volume: Volume, labels: np.ndarray | None) -> Straight:
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
    across = axes.index(2)
    uids = volume.sop_instance_uids[::-1] if direction[across, 2] < 0 else volume.sop_instance_uids
    return Straight(
        volume.hu.transpose(order)[turn],
        labels.transpose(order)[turn],
        first,
        np.asarray(volume.spacing_mm)[list(axes)],
        uids,
        across,
    )


def _axes(direction: np.ndarray) -> tuple[int, int, int]:
    """Which grid axis runs along the patient's x, y and z."""
    x, y, z = max(permutations(range(3)), key=lambda axes: sum(abs(direction[a, axis]) for a, axis in enumerate(axes)))
    return x, y, z


def _chosen(count: int, step_mm: float, every_mm: float) -> np.ndarray:
    """The indices of native slices nearest to every multiple of `every_mm`."""
    wanted = np.arange(0, (count - 1) * step_mm + 1e-6, every_mm)
    return np.unique(np.minimum(np.rint(wanted / step_mm).astype(int), count - 1))


def _axial(straight: Straight, seen: Outline, y: np.ndarray, x: np.ndarray, settings: SliceSettings):
    z = straight.centres(2)
    chosen = _chosen(len(z), straight.step_mm[2], settings.every_mm)
    planes = [(straight.hu[k], straight.labels[k]) for k in chosen]
    rows, columns = (area_weights(straight.centres(axis), at, settings.spacing_mm) for axis, at in ((1, y), (0, x)))
    hu, labels = _resample(planes, rows, columns, Window(*settings.window_hu))
    frame = _frame(settings, z[chosen], row0_mm=y[0], column0_mm=x[0])
    return hu, labels, frame.assign(sop_instance_uid=straight.names(2, chosen), z_mm=z[chosen])


def _sagittal(straight: Straight, seen: Outline, y: np.ndarray, x: np.ndarray, settings: SliceSettings):
    across = abs(straight.centres(0) - midline_mm(seen))
    inside = np.flatnonzero(across <= max(settings.sagittal_range_mm, across.min()))
    chosen = inside[_chosen(len(inside), straight.step_mm[0], settings.every_mm)]
    ends = straight.centres(2)[[0, -1]]
    # found from the geometry, not from the image: no need for wide steps
    spacing = settings.spacing_mm
    z = field(float(ends.mean()), size_px=settings.size_px, spacing_mm=spacing, step_mm=spacing)[::-1]
    planes = [(straight.hu[:, :, k], straight.labels[:, :, k]) for k in chosen]
    rows, columns = (area_weights(straight.centres(axis), at, settings.spacing_mm) for axis, at in ((2, z), (1, y)))
    hu, labels = _resample(planes, rows, columns, Window(*settings.window_hu))
    frame = _frame(settings, straight.centres(0)[chosen], row0_mm=z[0], column0_mm=y[0])
    return hu, labels, frame.assign(sop_instance_uid=straight.names(0, chosen), z_mm=z.mean())


_PLANES = {"axial": _axial, "sagittal": _sagittal}


def _resample(planes, rows: np.ndarray, columns: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    check_resampled((len(planes), len(rows), len(columns)), LARGEST_CUT_VOXELS)
    hu = np.stack([window.clip(resample(plane, rows, columns, outside=AIR_HU)) for plane, _ in planes])
    return hu, np.stack([resample_labels(plane, rows, columns) for _, plane in planes])


def _frame(settings: SliceSettings, position_mm: np.ndarray, *, row0_mm: float, column0_mm: float) -> pd.DataFrame:
    frame = pd.DataFrame({"index": np.arange(len(position_mm)), "orientation": settings.orientation})
    return frame.assign(position_mm=np.round(position_mm, 4), row0_mm=row0_mm, column0_mm=column0_mm)


log = logging.getLogger(__name__)

ON_BAD_SCAN = ("fail", "skip")


def slice_scan(scan: Scan, settings: SliceSettings, files: ScanFiles, *, on_bad_scan: str = "fail") -> None:
    """Read a scan and its mask, cut them and write `files`.

    A scan that cannot be used raises its CTStyleError where `on_bad_scan` is "fail"; where it is "skip", a valid empty
    archive with the reason is written and the reason logged.
    """
    if on_bad_scan not in ON_BAD_SCAN:
        raise CTStyleError("unknown value", where="on_bad_scan", found=on_bad_scan, expected=" or ".join(ON_BAD_SCAN))
    names = {"scan": scan.scan, "patient": scan.patient, "cohort": scan.cohort}
    try:
        volume, hu, labels, rows = _read_and_cut(scan, settings)
    except CTStyleError as error:
        if on_bad_scan == "fail":
            raise
        log.warning("scan %s is skipped: %s", scan.scan, error)
        write_skipped(files, **names, reason=error.public, size_px=settings.size_px, spacing_mm=settings.spacing_mm)
        return
    log.info("scan %s: %d %s slices of %s %s", scan.scan, len(hu), settings.orientation, scan.series, volume.hu.shape)
    write_scan(
        files,
        hu=hu,
        labels=labels,
        rows=rows,
        **names,
        acquisition=volume.acquisition,
        grey_values=volume.grey_values,
        burned_in=volume.burned_in,
        spacing_mm=settings.spacing_mm,
    )


def _read_and_cut(scan: Scan, settings: SliceSettings):
    # pydicom and SimpleITK stay out of the processes that only open archives
    from ctstyle.ct.mask import read_mask
    from ctstyle.ct.read import read_volume

    volume = read_volume(
        Path(scan.series),
        series_uid=scan.series_uid,
        grey_values=settings.grey_values,
        burned_in=settings.burned_in,
        window_hu=settings.window_hu,
    )
    labels = read_mask(Path(scan.mask), volume, scan.label_map, mask_uid=scan.mask_uid) if scan.mask else None
    return volume, *cut(volume, labels, settings)
