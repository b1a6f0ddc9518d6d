"""What lies in a folder or a zip: DICOM files by series, everything else counted.

Files are told by their content, never by their name.
"""

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.multival import MultiValue

from ctstyle.ct.acquisition import known_uid, modality_name
from ctstyle.ct.files import DAMAGE, Member, SourceMissing, members, read_all, read_header
from ctstyle.errors import CTStyleError, Fact

log = logging.getLogger(__name__)

_SHORT = frozenset(("CS", "DS", "IS", "UI", "US"))
"""Value representations whose values are short, and the same in every character set."""


class NoCT(CTStyleError):
    """There are files, but no CT image among them."""


class MixedSeries(CTStyleError):
    """One folder or zip holds more than one CT series."""


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A DICOM file, its header (all tags before the pixel data), and the byte at which its pixel data begins.

    `pixels_at` is None where there is no pixel data, or where the file is deflated.
    """

    member: Member
    header: pydicom.Dataset
    pixels_at: int | None = None

    @property
    def name(self) -> str:
        """Where the file lies, for messages."""
        return self.member.name

    @property
    def tags(self) -> "Tags":
        """The tags of its header."""
        return Tags(self, (self.header,))

    @property
    def kind(self) -> str:
        """CT, scout view (ImageType LOCALIZER), SEG or RTSTRUCT, and of other files what messages call them."""
        modality = self.tags.text("Modality")
        if modality == "CT":
            return "scout view" if "LOCALIZER" in self.tags.texts("ImageType") else modality
        return modality if modality in ("SEG", "RTSTRUCT") else modality_name(modality)

    def dataset(self) -> pydicom.Dataset:
        """The whole file, read again with its pixel data. Raises TruncatedFile and UnsafeArchive."""
        return read_all(self.member)


@dataclass(frozen=True, eq=False)
class Tags:
    """Tags of a file or of an item in it, looked up in one data set after the other.

    pydicom parses a value when it is asked for, so damage may show in each. A damaged value is given as its bytes,
    which are neither numbers nor items.
    """

    file: DicomFile
    datasets: tuple[pydicom.Dataset, ...]

    def get(self, keyword: str) -> Any:
        """The value of a tag, None where it is missing or empty."""
        tag = tag_for_keyword(keyword)
        for dataset in self.datasets:
            element = dataset.get_item(tag, keep_deferred=True)
            if (
                element is None
                or element.value is None
                or (isinstance(element.value, str | bytes) and not element.value)
            ):
                continue
            try:
                short = isinstance(element, RawDataElement) and element.VR in _SHORT
                return _value(element._replace(value_tell=0)) if short else dataset[tag].value
            except DAMAGE:
                return element.value
        return None

    def text(self, keyword: str) -> str:
        """The value as text without blanks around it, empty where it is missing."""
        found = self.get(keyword)
        return "" if found is None else str(found).strip()

    def texts(self, keyword: str) -> list[str]:
        """The values as texts; none where the tag is missing or a sequence."""
        found = self.get(keyword)
        if found is None or isinstance(found, pydicom.Sequence):
            return []
        return [str(part).strip() for part in (found if isinstance(found, MultiValue) else [found])]

    def numbers(self, keyword: str, count: int = 1) -> np.ndarray | None:
        """Exactly `count` finite float64 values, or None."""
        found = self.get(keyword)
        try:
            values = [float(entry) for entry in (found if isinstance(found, MultiValue | list) else [found])]
        except (TypeError, ValueError):
            return None
        # Python, not DICOM, takes 1_0 for ten
        sound = all(math.isfinite(one) for one in values) and "_" not in str(found)
        return np.array(values) if sound and len(values) == count else None

    def number(self, keyword: str) -> float | None:
        """A finite number, or None."""
        found = self.numbers(keyword)
        return None if found is None else float(found[0])

    def whole(self, keyword: str) -> int | None:
        """A whole number, or None."""
        found = self.number(keyword)
        return int(found) if found is not None and found == int(found) else None

    def items(self, keyword: str) -> list["Tags"]:
        """The items of a sequence; none where it is missing, or where damage made something else of it."""
        found = self.get(keyword)
        return [Tags(self.file, (item,)) for item in found] if isinstance(found, pydicom.Sequence) else []


@lru_cache(maxsize=1024)
def _value(element: RawDataElement) -> Any:
    """The value of a raw element. The slices of a series say the same in most tags, and pydicom converts slowly."""
    return convert_raw_data_element(element).value


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
            file = DicomFile(member, *read)
            kind = file.kind
            if kind == "CT":
                ct[known_uid(file.tags.get("SeriesInstanceUID"))].append(file)
            elif kind == "SEG":
                segmentations.append(file)
            elif kind == "RTSTRUCT":
                structure_sets.append(file)
            else:
                passed_over[kind] += 1
        if passed_over:
            log.info("%s: passed over %s", source, _count(passed_over))
        yield Index(source, dict(ct), segmentations, structure_sets, passed_over)


def _count(kinds: Counter) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()) if number)


def as_point(values: np.ndarray) -> tuple[float, float, float]:
    """Three numbers of an array as a place in mm."""
    x, y, z = map(float, values)
    return x, y, z
