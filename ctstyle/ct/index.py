"""What lies in a folder or a zip: DICOM files by series, everything else counted.

Files are told by their content, never by their name.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom

from ctstyle.ct.elements import value
from ctstyle.ct.header import TruncatedFile, read_all, read_header
from ctstyle.ct.known import known_uid, modality_name
from ctstyle.ct.limits import AbsurdSize
from ctstyle.ct.members import Member, SourceMissing, UnsafeArchive, members
from ctstyle.errors import CTStyleError, Fact

__all__ = [
    "AbsurdSize",
    "DicomFile",
    "Index",
    "Member",
    "MixedSeries",
    "NoCT",
    "SourceMissing",
    "TruncatedFile",
    "UnsafeArchive",
    "index",
]
log = logging.getLogger(__name__)


class NoCT(CTStyleError):
    """There are files, but no CT image among them."""


class MixedSeries(CTStyleError):
    """One folder or zip holds more than one CT series."""


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A DICOM file, its header (all tags before the pixel data), and the byte at which its pixel data begins.

    `pixels_at` is None where there is no pixel data, or where the file is deflated; `seen` are values of tags that
    were looked up, which pydicom would parse again each time.
    """

    member: Member
    header: pydicom.Dataset
    pixels_at: int | None = None
    seen: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Where the file lies, for messages."""
        return self.member.name

    def dataset(self) -> pydicom.Dataset:
        """The whole file, read again with its pixel data. Raises TruncatedFile and UnsafeArchive."""
        return read_all(self.member)


@dataclass(frozen=True)
class Index:
    """What a source holds: CT images by series UID, segmentations, structure sets, and the number of others."""

    source: Path
    ct: dict[str, list[DicomFile]] = field(default_factory=dict)
    segmentations: list[DicomFile] = field(default_factory=list)
    structure_sets: list[DicomFile] = field(default_factory=list)
    passed_over: Counter = field(default_factory=Counter)

    def series(self, series_uid: str = "") -> list[DicomFile]:
        """The files of one CT series: the one with this SeriesInstanceUID, or the only one where none is named.

        Raises NoCT where there is no CT image, or none of that series, and MixedSeries where none is named and there
        are several.
        """
        if not self.ct:
            others = Counter({"DICOM-SEG": len(self.segmentations), "RTSTRUCT": len(self.structure_sets)})
            raise NoCT(
                "no CT image",
                where=self.source,
                found=Fact(_count(self.passed_over + others) or "no file at all"),
                expected="DICOM files of Modality CT",
                fix="Name the folder or zip that holds one CT series.",
            )
        if series_uid:
            if series_uid not in self.ct:
                raise NoCT(
                    "no CT image of this series",
                    where=f"{self.source}, series {series_uid}",
                    found=Fact(f"{len(self.ct)} other series"),
                    expected="the SeriesInstanceUID in the column series_uid",
                    fix="Correct series_uid in the sheet of scans.",
                )
            return self.ct[series_uid]
        if len(self.ct) > 1:
            kinds = "; ".join(f"{uid or '(empty)'}: {len(files)} files" for uid, files in sorted(self.ct.items()))
            raise MixedSeries(
                f"{len(self.ct)} CT series in one place, told by SeriesInstanceUID",
                where=self.source,
                found=kinds,
                expected="one series",
                fix="Name one of them in the sheet's column series_uid, each as a scan of its own.",
            )
        return next(iter(self.ct.values()))


@contextmanager
def index(source: Path | str) -> Iterator[Index]:
    """Index a folder, a zip or a single DICOM file; the files can be opened inside the `with` block.

    CT images are grouped by SeriesInstanceUID (all files with an empty one form one group); scout views (ImageType
    LOCALIZER) and files of other kinds are passed over, counted and logged. Raises SourceMissing for a path that does
    not exist or holds no file, UnsafeArchive for a zip that must not be read, TruncatedFile for a DICOM file whose
    header is cut off, and AbsurdSize for one that claims more than it can hold.
    """
    source = Path(source)
    with members(source) as present:
        if not present:
            raise SourceMissing(
                "no file in it",
                where=source,
                expected="DICOM files of one CT series",
                fix="Correct the path in the sheet of scans, or copy the series again.",
            )
        ct: dict[str, list[DicomFile]] = defaultdict(list)
        segmentations: list[DicomFile] = []
        structure_sets: list[DicomFile] = []
        passed_over: Counter = Counter()
        for member in present:
            read = read_header(member)
            if read is None:
                passed_over["not DICOM"] += 1
                continue
            header, pixels_at = read
            file = DicomFile(member, header, pixels_at)
            modality = str(value(header, "Modality") or "")
            if modality == "CT" and "LOCALIZER" not in _values(value(header, "ImageType")):
                ct[known_uid(value(header, "SeriesInstanceUID"))].append(file)
            elif modality == "SEG":
                segmentations.append(file)
            elif modality == "RTSTRUCT":
                structure_sets.append(file)
            else:
                passed_over["scout view" if modality == "CT" else modality_name(modality)] += 1
        if passed_over:
            log.info("%s: passed over %s", source, _count(passed_over))
        yield Index(source, dict(ct), segmentations, structure_sets, passed_over)


def _values(element: object) -> list[str]:
    return [element] if isinstance(element, str) else [str(value) for value in element or ()]


def _count(kinds: Counter) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()) if number)
