"""The slices of every scan on disk: one array of HU, one of labels, one manifest and one record per scan.

`{scan}.hu.npy` int16 `[n, H, W]`, `{scan}.labels.npy` uint8 `[n, H, W]`, `{scan}.tsv` (a row per slice) and
`{scan}.json` (what holds for the whole scan). `gather` lays all scans into four files of the same kind, so that a job
has four inputs and not four for each of a thousand scans. Arrays are opened memory-mapped. Only the columns and keys
listed here are written, so that nothing that identifies a patient can leave this stage by accident.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctstyle.errors import CTStyleError
from ctstyle.slices.resample import area_weights, resample, resample_labels

COLUMNS = (
    *("scan", "patient", "cohort", "index", "orientation", "position_mm", "row0_mm", "column0_mm"),
    *("sop_instance_uid", "level", "foreground_px", "sha256"),
)
"""The columns of a manifest, in order (`cut.cut` says what they mean)."""
ACQUISITION_KEYS = (
    *("manufacturer", "model", "kvp", "kernel", "exposure_mas", "contrast", "slice_thickness_mm"),
    *("image_type", "modality"),
)
"""The acquisition tags that are kept; none identifies a patient."""
TEXT_COLUMNS = ("scan", "patient", "cohort", "orientation", "sop_instance_uid", "sha256")


class BrokenArchive(CTStyleError):
    """The files of a scan do not fit together."""


@dataclass(frozen=True, kw_only=True)
class ScanFiles:
    """The four files of a scan."""

    hu: Path
    labels: Path
    rows: Path
    about: Path

    @classmethod
    def beside(cls, hu: Path | str) -> "ScanFiles":
        """The files that belong to a `{scan}.hu.npy`."""
        hu = Path(hu)
        stem = hu.name.removesuffix(".hu.npy")
        return cls(
            hu=hu,
            labels=hu.with_name(f"{stem}.labels.npy"),
            rows=hu.with_name(f"{stem}.tsv"),
            about=hu.with_name(f"{stem}.json"),
        )


def write_scan(
    files: ScanFiles,
    *,
    hu: np.ndarray,
    labels: np.ndarray,
    rows: pd.DataFrame,
    scan: str,
    patient: str,
    cohort: str,
    acquisition: Mapping[str, Any],
    grey_values: str,
    spacing_mm: float,
    burned_in: str = "not said",
    reason: str = "",
) -> None:
    """Write the slices of one scan (`cut.cut`); its `status` is ok, or skipped where there is a `reason`."""
    names = {"scan": scan, "patient": patient, "cohort": cohort}
    about = names | {
        "status": "skipped" if reason else "ok",
        "reason": reason,
        "grey_values": grey_values,
        "burned_in": burned_in,
        "spacing_mm": spacing_mm,
        "acquisition": {key: acquisition.get(key) for key in ACQUISITION_KEYS},
    }
    for path in (files.hu, files.labels, files.rows, files.about):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.save(files.hu, np.asarray(hu, np.int16))
    np.save(files.labels, np.asarray(labels, np.uint8))
    rows.assign(**names)[list(COLUMNS)].to_csv(files.rows, sep="\t", index=False, lineterminator="\n")
    Path(files.about).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write_skipped(files: ScanFiles, *, size_px: int, **about: Any) -> None:
    """Write the valid, empty archive of a scan that could not be used; `about` as of `write_scan`, with a `reason`."""
    nothing, rows = np.zeros((0, size_px, size_px)), pd.DataFrame(columns=list(COLUMNS))
    write_scan(files, hu=nothing, labels=nothing, rows=rows, acquisition={}, grey_values="", burned_in="", **about)


def gather(hu_paths: Iterable[Path | str], files: ScanFiles) -> None:
    """Lay the `{scan}.hu.npy` files of a run, and the files beside them, into one set of four, in the order given.

    Scans are copied one at a time, so memory holds one. Raises as `Archive.open`.
    """
    archive = Archive.open(hu_paths)
    about = [{**one, "slices": int((archive.rows["scan"] == name).sum())} for name, one in archive.scans.items()]
    for path, arrays in ((files.hu, archive._hu), (files.labels, archive._labels)):
        first = next(iter(arrays.values()))
        shape = (sum(map(len, arrays.values())), *first.shape[1:])
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if 0 in shape:
            np.save(path, np.zeros(shape, first.dtype))
            continue
        whole = np.lib.format.open_memmap(path, mode="w+", dtype=first.dtype, shape=shape)
        start = 0
        for array in arrays.values():
            whole[start : start + len(array)] = array
            start += len(array)
        whole.flush()
    archive.rows[list(COLUMNS)].to_csv(files.rows, sep="\t", index=False, lineterminator="\n")
    Path(files.about).write_text(json.dumps({"scans": about}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Archive:
    """All slices of a run, or a selection of them.

    `rows` has one row per slice (`COLUMNS`, and whatever `join` added) and its own numbers 0..n-1; `scans` is the
    record of every scan by name, skipped ones included.
    """

    rows: pd.DataFrame
    scans: Mapping[str, Mapping[str, Any]]
    _hu: Mapping[str, np.ndarray]
    _labels: Mapping[str, np.ndarray]
    _size_px: int | None = None

    @classmethod
    def open(cls, hu_paths: Iterable[Path | str]) -> "Archive":
        """Open the `{scan}.hu.npy` files of a run, memory-mapped, with the files beside them, in the order given.

        A file may hold one scan or what `gather` laid together. Raises BrokenArchive where arrays and manifest of a
        scan do not fit together or a file is missing.
        """
        tables, scans, hu, labels = [], {}, {}, {}
        for path in hu_paths:
            table, about, images, marks = _read(ScanFiles.beside(path))
            tables.append(table)
            start = 0
            for one in about["scans"] if "scans" in about else [{**about, "slices": len(images)}]:
                inside = slice(start, start + one["slices"])
                name, start = one["scan"], inside.stop
                scans[name] = {key: value for key, value in one.items() if key != "slices"}
                hu[name], labels[name] = images[inside], marks[inside]
        filled = [table for table in tables if len(table)] or tables[:1]
        if not filled:
            raise BrokenArchive("no scan to open", expected="at least one {scan}.hu.npy")
        sizes = {name: images.shape[1:] for name, images in hu.items()}
        if len(set(sizes.values())) > 1:
            raise BrokenArchive(
                "scans of different slice size", found=sizes, expected="one size", fix="Delete them and cut them again."
            )
        return cls(pd.concat(filled, ignore_index=True), scans, hu, labels)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def reasons(self) -> dict[str, str]:
        """Why scans were skipped, by name."""
        return {name: about["reason"] for name, about in self.scans.items() if about["status"] == "skipped"}

    def join(self, scans: pd.DataFrame) -> "Archive":
        """The archive with further columns per scan, from a table with a column `scan` (`styles.tsv`, `split.tsv`).

        Raises BrokenArchive for a scan without a row in the table.
        """
        columns = [name for name in scans.columns if name == "scan" or name not in self.rows.columns]
        rows = self.rows.merge(scans[columns], on="scan", how="left", validate="m:1", indicator=True)
        lost = rows.loc[rows.pop("_merge") == "left_only", "scan"].unique().tolist()
        if lost:
            raise BrokenArchive("scans without a row in this table", found=lost, expected="every scan that has slices")
        return replace(self, rows=rows)

    def select(self, **wanted: Any) -> "Archive":
        """The slices whose columns have the wanted values, each a value or a list of them: `select(side="train")`."""
        chosen = np.ones(len(self.rows), bool)
        for column, value in wanted.items():
            values = [value] if isinstance(value, str) or np.isscalar(value) else list(value)
            chosen &= self.rows[column].isin(values).to_numpy()
        return self.take(np.flatnonzero(chosen))

    def take(self, numbers: Sequence[int] | np.ndarray) -> "Archive":
        """The slices with these row numbers, in their order."""
        rows = self.rows.iloc[np.asarray(numbers, int)].reset_index(drop=True)
        return replace(self, rows=rows)

    def at_size(self, size_px: int) -> "Archive":
        """The same slices, averaged down to squares of `size_px` when they are read (labels by the area they cover)."""
        return replace(self, _size_px=size_px)

    def hu(self, numbers: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """HU int16 `[n, H, W]` of all slices, or of these row numbers, read from disk."""
        hu = self._gather(self._hu, numbers)
        if self._size_px in (None, hu.shape[1]):
            return hu
        rows, columns = self._reduction(hu.shape[1:])
        return np.rint(np.stack([resample(one, rows, columns, outside=0.0) for one in hu])).astype(np.int16)

    def hu_in_field(self, like: pd.DataFrame, *, outside_hu: float) -> np.ndarray:
        """HU int16 `[n, H, W]` of all slices, each shifted onto the field of the same row of `like`.

        Crops lie on one pixel lattice (`row0_mm`, `column0_mm`), so that slices of one patient, scanned twice, are laid
        over each other by whole pixels; what was not in the slice becomes `outside_hu`. Raises BrokenArchive for slices
        in another orientation or at another position, or off the lattice by more than a tenth of a pixel.
        """
        shifted = self.hu()
        for k, (mine, other) in enumerate(zip(self.rows.to_dict("records"), like.to_dict("records"), strict=True)):
            spacing = float(self.scans[mine["scan"]]["spacing_mm"])
            steps = {axis: (other[axis] - mine[axis]) / spacing for axis in ("row0_mm", "column0_mm")}
            off = max(abs(step - round(step)) for step in steps.values())
            apart = abs(other["position_mm"] - mine["position_mm"])
            if mine["orientation"] != other["orientation"] or off > 0.1 or apart > spacing:
                raise BrokenArchive(
                    "two slices do not show the same plane",
                    where=f"{mine['scan']} slice {mine['index']}",
                    found=f"{other['scan']} slice {other['index']}, {apart:.1f} mm apart, {off:.2f} pixels off",
                    expected="the same orientation, position and pixel lattice",
                )
            # sagittal rows run downwards in space
            down = -1 if mine["orientation"] == "sagittal" else 1
            shifted[k] = _shift(shifted[k], down * round(steps["row0_mm"]), round(steps["column0_mm"]), outside_hu)
        return shifted

    def labels(self, numbers: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Labels uint8 `[n, H, W]` of all slices, or of these row numbers."""
        labels = self._gather(self._labels, numbers)
        if self._size_px in (None, labels.shape[1]):
            return labels
        rows, columns = self._reduction(labels.shape[1:])
        return np.stack([resample_labels(one, rows, columns) for one in labels])

    def _reduction(self, shape: tuple[int, int]) -> list[np.ndarray]:
        """The area weights from slices of `shape` to the wanted size, one matrix per axis."""
        weights, size_px = [], self._size_px or shape[0]
        for count in shape:
            step = count / size_px
            lattice = (np.arange(size_px) + 0.5) * step - 0.5
            weights.append(area_weights(np.arange(count, dtype=np.float64), lattice, step))
        return weights

    def _gather(self, arrays: Mapping[str, np.ndarray], numbers) -> np.ndarray:
        rows = self.rows if numbers is None else self.rows.iloc[np.asarray(numbers, int)]
        first = next(iter(arrays.values()))
        gathered = np.empty((len(rows), *first.shape[1:]), first.dtype)
        for k, (scan, index) in enumerate(zip(rows["scan"], rows["index"], strict=True)):
            gathered[k] = arrays[scan][index]
        return gathered


def _shift(image: np.ndarray, rows: int, columns: int, outside: float) -> np.ndarray:
    """`image` seen through a field that lies this many pixels lower and further right."""
    height, width = image.shape
    shifted = np.full_like(image, outside)
    to_rows = slice(max(0, -rows), min(height, height - rows))
    to_columns = slice(max(0, -columns), min(width, width - columns))
    if to_rows.start < to_rows.stop and to_columns.start < to_columns.stop:
        from_rows = slice(to_rows.start + rows, to_rows.stop + rows)
        from_columns = slice(to_columns.start + columns, to_columns.stop + columns)
        shifted[to_rows, to_columns] = image[from_rows, from_columns]
    return shifted


def _read(files: ScanFiles) -> tuple[pd.DataFrame, dict[str, Any], np.ndarray, np.ndarray]:
    try:
        hu, labels = np.load(files.hu, mmap_mode="r"), np.load(files.labels, mmap_mode="r")
        table = pd.read_csv(
            files.rows,
            sep="\t",
            dtype=dict.fromkeys(TEXT_COLUMNS, str),
            keep_default_na=False,
            float_precision="round_trip",
        )
        about = json.loads(files.about.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenArchive(
            "the slices of a scan cannot be read",
            where=files.hu,
            found=f"{type(error).__name__}: {error}",
            expected="the four files that were written together",
            fix="Delete them and run again.",
        ) from error
    counted = sum(one["slices"] for one in about["scans"]) if "scans" in about else len(hu)
    if hu.shape != labels.shape or not len(table) == len(hu) == counted:
        raise BrokenArchive(
            "the files of a scan do not fit together",
            where=files.hu,
            found=f"{hu.shape} slices, {labels.shape} labels, {len(table)} rows",
            expected="the same number and size",
            fix="Delete them and run again.",
        )
    return table, about, hu, labels
