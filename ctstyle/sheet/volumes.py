"""Volume files (NIfTI, NRRD, MHA): CT, label file or neither, told by their values."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctstyle.ct.boundary import named_errors
from ctstyle.ct.pixels import DISPLAY_MAXIMUM
from ctstyle.ct.read import image_reader, read_image
from ctstyle.errors import CTStyleError
from ctstyle.sheet import names
from ctstyle.sheet.field import Field
from ctstyle.sheet.scans import CTScan, LeftOut, reason_of

if TYPE_CHECKING:
    import SimpleITK

LOOK = 4
"""Slices that are read first: one value below 0 among them and the file is a CT."""
MOST_LABELS = 128
"""More different values than this are grey values; TotalSegmentator has 117 classes."""
ONE_STRUCTURE = re.compile(r"vertebrae_(C\d|T\d\d?|L\d|S1)\.", re.IGNORECASE)
"""TotalSegmentator's names where each vertebra has a file of its own."""


@dataclass(frozen=True)
class LabelFile:
    """A file of labels: where it lies, its values other than 0, and BIDS' subject."""

    path: Path
    field: Field
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
        single = sum(bool(ONE_STRUCTURE.match(file.name)) for file in files)
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
            field = _field(reader)
            *plane, slices = reader.GetSize()
            reader.SetExtractSize((*plane, min(slices, LOOK)))
            values = SimpleITK.GetArrayFromImage(reader.Execute())
            if values.min() >= 0:
                values = SimpleITK.GetArrayFromImage(read_image(path))
    except CTStyleError as error:
        return LeftOut(str(path), reason_of(error))
    low, high = float(values.min()), float(values.max())
    if low < 0:
        return _scan(path, field, subject)
    if high > DISPLAY_MAXIMUM:
        return LeftOut(
            str(path), f"the values are no Hounsfield units (found {low:g} to {high:g}, expected air below 0)"
        )
    whole = values.astype(np.uint8)
    if np.array_equal(whole, values):
        present = np.flatnonzero(np.bincount(whole.ravel(), minlength=256))
        if present.size <= MOST_LABELS:
            return LabelFile(path, field, tuple(int(value) for value in present if value), subject)
    if high <= 1:
        return LeftOut(str(path), "neither Hounsfield units nor labels (found 0 to 1, a probability map?)")
    return _scan(path, field, subject, display=True)


def _scan(path: Path, field: Field, subject: str, *, display: bool = False) -> CTScan:
    return CTScan(
        path=path,
        home=path.parent,
        field=field,
        patient=f"subject {subject}" if subject else f"name {path}",
        told_by="subject" if subject else "name",
        subject=subject,
        display=display,
    )


def _field(reader: "SimpleITK.ImageFileReader") -> Field:
    direction = np.array(reader.GetDirection()).reshape(3, 3)
    return Field(tuple(reader.GetSize()), tuple(reader.GetOrigin()), tuple(reader.GetSpacing()), direction)
