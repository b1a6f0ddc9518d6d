"""CT scans of an archive: those the reader will read, and the fault of every other."""

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ctstyle.ct import pixels
from ctstyle.ct.acquisition import acquisition
from ctstyle.ct.anatomy import FILE_OF_ONE
from ctstyle.ct.limits import named_errors
from ctstyle.ct.series import DuplicatedSlices, Slice, Stack, slices_of, stack
from ctstyle.ct.volume import Grid
from ctstyle.ct.volume_file import image_reader, read_image
from ctstyle.ct.words import bits_in_use
from ctstyle.errors import CTStyleError
from ctstyle.sheet import names
from ctstyle.sheet.headers import CT, DAMAGED, Entry

LOOK = 4
"""Slices that are read first: one value below 0 among them and the file is a CT."""
MOST_LABELS = 128
"""More different values than this are grey values; TotalSegmentator has 117 classes."""


@dataclass(frozen=True, kw_only=True)
class CTScan:
    """One CT that the reader will read: `path` the folder, zip or file, `home` the folder or zip it lies in.

    `series_uid` is empty where the place holds no other CT, `uid` never. `patient` tells patients apart and is never
    printed; `told_by` says what it was made of: "id", "study" or "path", of a volume file "subject" (BIDS) or "name".
    `instances` (SOP instances), `frame` and `patient_id` (a digest) are for masks. `display` marks what looks like an
    export with its window burnt in.
    """

    path: Path
    home: Path
    series_uid: str = ""
    uid: str = ""
    grid: Grid
    files: int = 1
    patient: str
    told_by: str
    patient_id: str = ""
    study: str = ""
    subject: str = ""
    frame: str = ""
    instances: frozenset[str] = frozenset()
    acquisition: Mapping[str, Any] = field(default_factory=dict)
    display: bool = False


@dataclass(frozen=True, order=True)
class LeftOut:
    """A place that gives no scan or no mask, and why."""

    path: str
    reason: str


class Unusable(CTStyleError):
    """A series that the reader will refuse, or should not be given."""


def reason_of(error: CTStyleError) -> str:
    """The message of an error with its files, which the sheet names, but without values of tags: one can be a name."""
    if isinstance(error, Unusable):
        return str(error)
    return f"{error.where}: {error.public}" if error.where is not None else error.public


def _by_place(entries: Iterable[Entry]) -> dict[Path, list[Entry]]:
    """The CT and the damaged files of an archive by the folder, zip or file where the reader finds them."""
    found: dict[Path, list[Entry]] = defaultdict(list)
    for entry in entries:
        # a file counts for itself and all folders above it, but the reader opens no zip that lies in a folder
        for place in [entry.container] if entry.packed else [Path(entry.path), *Path(entry.path).parents]:
            found[place].append(entry)
    return found


def find_series(entries: Iterable[Entry]) -> tuple[list[CTScan], list[LeftOut]]:
    """The CT series among the files, sorted by place, and those that cannot be used.

    A series is what has one SeriesInstanceUID. Where several folders hold files of it they are one series if all
    together make a regular grid, else each folder is one (some exports give all series one UID); a second copy is left
    out. Without a UID the files of one folder or zip are a series.
    """
    images = [entry for entry in entries if entry.kind in (CT, DAMAGED)]
    seen = _by_place(images)
    by_uid: dict[str, dict[Path, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in images:
        if entry.kind == CT:
            by_uid[_text(entry, "SeriesInstanceUID")][entry.container].append(entry)
    scans: list[CTScan] = []
    left_out: list[LeftOut] = []
    for uid, places in sorted(by_uid.items()):
        kept: list[CTScan] = []
        for files in _candidates(uid, places):
            place = _place(files)
            instances = frozenset(_text(file, "SOPInstanceUID") for file in files) - {""}
            copied = next((scan for scan in kept if uid and instances & scan.instances), None)
            try:
                if copied is not None:
                    raise Unusable("a copy of another series", found=copied.path)
                with named_errors(place):
                    kept.append(_scan(uid, place, files, seen[place], instances))
            except CTStyleError as error:
                left_out.append(LeftOut(str(place), reason_of(error)))
        scans += kept
    return sorted(scans, key=_order), left_out


def _order(scan: CTScan) -> tuple[str, str]:
    return str(scan.path), scan.series_uid


def _candidates(uid: str, places: dict[Path, list[Entry]]) -> list[list[Entry]]:
    """The files of one UID as series, the largest first: zips one by one, folders together where that gives a grid."""
    apart = sorted(places.values(), key=lambda files: (-len(files), str(files[0].container)))
    folders = [files for files in apart if not files[0].packed]
    together = list(itertools.chain.from_iterable(folders))
    if not uid or len(folders) < 2:
        return apart
    try:
        _grid(together)
    except DuplicatedSlices:
        return apart
    except CTStyleError:
        if all(map(_is_sound, folders)):
            return apart
    return [together, *(files for files in apart if files[0].packed)]


def _is_sound(files: Sequence[Entry]) -> bool:
    try:
        _grid(files)
    except CTStyleError:
        return False
    return True


def _place(files: Sequence[Entry]) -> Path:
    if len(files) == 1 and not files[0].packed:
        return Path(files[0].path)
    return Path(os.path.commonpath([file.container for file in files]))


def _scan(uid: str, place: Path, files: list[Entry], around: list[Entry], instances: frozenset[str]) -> CTScan:
    """The scan these files make. Raises Unusable and the errors of `series` and `pixels` as the reader will."""
    others = {_text(entry, "SeriesInstanceUID") for entry in around if entry.kind == CT} - {uid}
    _check_place(uid, files, around, others)
    if any(_text(file, "BurnedInAnnotation").upper() == "YES" for file in files):
        raise Unusable(
            "text is burnt into the pixels, perhaps a name; BurnedInAnnotation (0028,0301)",
            found="YES",
            fix="Look at it, and write its row by hand if nobody is named.",
        )
    found = _grid(files)
    display = _check_values(found.slices)
    patient_id = _text(files[0], "PatientID")
    keys = {
        "id": patient_id and f"{patient_id} {_text(files[0], 'IssuerOfPatientID')}",
        "study": _text(files[0], "StudyInstanceUID"),
        "path": str(place),
    }
    told_by = next(kind for kind, key in keys.items() if key)
    return CTScan(
        path=place,
        home=files[0].container if place.name == Path(files[0].path).name else place,
        series_uid=uid if others else "",
        uid=uid,
        grid=Grid(
            shape=found.shape,
            origin_mm=found.origin_mm,
            spacing_mm=found.spacing_mm,
            direction=found.direction,
        ),
        files=len(files),
        patient=f"{told_by} {keys[told_by]}",
        told_by=told_by,
        patient_id=patient_id,
        study=keys["study"],
        frame=_text(files[0], "FrameOfReferenceUID"),
        instances=instances,
        acquisition=acquisition(found.slices),
        display=display,
    )


def _check_place(uid: str, files: Sequence[Entry], around: Sequence[Entry], others: set[str]) -> None:
    damaged = [entry for entry in around if entry.kind == DAMAGED]
    same = [entry for entry in around if entry.kind == CT and _text(entry, "SeriesInstanceUID") == uid]
    if damaged:
        raise Unusable(
            f"{len(damaged)} damaged file{'s' * (len(damaged) > 1)} in its place: the reader stops there",
            found=f"{Path(damaged[0].path).name}: {damaged[0].reason}",
            fix="Copy or export it again, or take it out.",
        )
    if len(same) != len(files):
        raise Unusable(
            "its folder holds other files under the same SeriesInstanceUID (0020,000E)",
            found=f"{len(same)} files",
            expected=f"{len(files)}",
            fix="Move copies and other series out of it.",
        )
    if others and not uid:
        raise Unusable(
            "no SeriesInstanceUID (0020,000E), and other CT series in its place",
            fix="Put it into a folder of its own.",
        )


def _grid(files: Sequence[Entry]) -> Stack:
    return stack(slices_of([file.dicom_file() for file in files]))


def _check_values(slices: Sequence[Slice]) -> bool:
    """Whether the series looks like a display export. Raises what the reader raises for headers without HU."""
    for one in slices:
        if one.text("SamplesPerPixel") not in ("", "1"):
            raise Unusable("colour, no CT slice; SamplesPerPixel (0028,0002)", expected="1 (grey)")
    scales = [pixels.Scale.of(one, bits_in_use(one)) for one in slices]
    display = pixels.may_be_display_export(slices, scales)
    if not display:
        pixels.check_hounsfield(slices)
    return display


def _text(entry: Entry, keyword: str) -> str:
    """A tag of a CT as one string, empty where it is missing."""
    value = entry.header.get(keyword) if entry.header is not None else None
    return str(value or "")


@dataclass(frozen=True)
class LabelFile:
    """A file of labels: where it lies, its values other than 0, and BIDS' subject."""

    path: Path
    grid: Grid
    values: tuple[int, ...]
    subject: str = ""


def find_volumes(paths: Iterable[Path], roots: Sequence[Path]) -> tuple[list[CTScan], list[LabelFile], list[LeftOut]]:
    """CT volumes, label files, and what is neither, of files that lie below `roots`.

    Folders with one file for each structure are not read at all.
    """
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        by_folder[path.parent].append(path)
    scans: list[CTScan] = []
    labels: list[LabelFile] = []
    left_out: list[LeftOut] = []
    for folder, files in sorted(by_folder.items()):
        single = sum(bool(re.match(FILE_OF_ONE, file.name, re.IGNORECASE)) for file in files)
        if single > 1:
            reason = (
                f"{len(files)} files, one for each structure ({single} vertebrae): no mask of one file. Merge them "
                "(TotalSegmentator writes one file with --ml) and name that in the column mask"
            )
            left_out.append(LeftOut(str(folder), reason))
            continue
        for file in sorted(files):
            root = max((root for root in roots if root in file.parents), key=lambda root: len(root.parts))
            found = _look(file, names.subject(file.relative_to(root)))
            if isinstance(found, LabelFile):
                labels.append(found)
            elif isinstance(found, LeftOut):
                left_out.append(found)
            else:
                scans.append(found)
    return scans, labels, left_out


def _look(path: Path, subject: str) -> CTScan | LabelFile | LeftOut:
    import SimpleITK

    try:
        with named_errors(path):
            reader = image_reader(path)
            grid = Grid.of_sitk(reader)
            *plane, slices = reader.GetSize()
            reader.SetExtractSize((*plane, min(slices, LOOK)))
            values = SimpleITK.GetArrayFromImage(reader.Execute())
            if values.min() >= 0:
                values = SimpleITK.GetArrayFromImage(read_image(path))
    except CTStyleError as error:
        return LeftOut(str(path), reason_of(error))
    low, high = float(values.min()), float(values.max())
    if low < 0:
        return _volume_scan(path, grid, subject)
    if high > pixels.DISPLAY_MAXIMUM:
        return LeftOut(
            str(path), f"the values are no Hounsfield units (found {low:g} to {high:g}, expected air below 0)"
        )
    whole = values.astype(np.uint8)
    if np.array_equal(whole, values):
        present = np.flatnonzero(np.bincount(whole.ravel(), minlength=256))
        if present.size <= MOST_LABELS:
            return LabelFile(path, grid, tuple(int(value) for value in present if value), subject)
    if high <= 1:
        return LeftOut(str(path), "neither Hounsfield units nor labels (found 0 to 1, a probability map?)")
    return _volume_scan(path, grid, subject, display=True)


def _volume_scan(path: Path, grid: Grid, subject: str, *, display: bool = False) -> CTScan:
    return CTScan(
        path=path,
        home=path.parent,
        grid=grid,
        patient=f"subject {subject}" if subject else f"name {path}",
        told_by="subject" if subject else "name",
        subject=subject,
        display=display,
    )
