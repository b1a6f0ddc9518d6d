"""What lies in a folder or a zip: DICOM files by series, everything else counted.

Files are told by their content, never by their name. Archives are read in place: nothing is unpacked, and a member
whose name points out of the archive is refused.
"""

import io
import logging
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from ctstyle.errors import CTStyleError

log = logging.getLogger(__name__)

LARGEST_MEMBER_BYTES = 4 << 30
"""A member of a zip that says it is larger is refused: no DICOM file is, and a small zip can claim any size."""


class SourceMissing(CTStyleError):
    """The folder or file of a scan does not exist or holds nothing."""


class NoCT(CTStyleError):
    """There are files, but no CT image among them."""


class MixedSeries(CTStyleError):
    """One folder or zip holds more than one CT series."""


class TruncatedFile(CTStyleError):
    """A DICOM file ends before its contents do."""


class UnsafeArchive(CTStyleError):
    """A zip is damaged, encrypted, or names members outside itself."""


@dataclass(frozen=True)
class Member:
    """One file of a folder or zip: a name to print and a way to open it as a seekable binary file."""

    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class DicomFile:
    """A DICOM file and its header (all tags before the pixel data)."""

    member: Member
    header: pydicom.Dataset

    @property
    def name(self) -> str:
        """Where the file lies, for messages."""
        return self.member.name

    def dataset(self) -> pydicom.Dataset:
        """The whole file, read again with its pixel data."""
        with self.member.open() as stream:
            return pydicom.dcmread(io.BytesIO(stream.read()), force=True)


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
                found=_count(self.passed_over + others) or "no file at all",
                expected="DICOM files of Modality CT",
                fix="Name the folder or zip that holds one CT series.",
            )
        if series_uid:
            if series_uid not in self.ct:
                raise NoCT(
                    "no CT image of this series",
                    where=self.source,
                    found=f"{len(self.ct)} other series",
                    expected=f"SeriesInstanceUID {series_uid}",
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
    not exist or holds no file, UnsafeArchive for a zip that must not be read, and TruncatedFile for a DICOM file whose
    header is cut off.
    """
    source = Path(source)
    with _members(source) as members:
        if not members:
            raise SourceMissing("no file in it", where=source, expected="DICOM files of one CT series")
        ct: dict[str, list[DicomFile]] = defaultdict(list)
        segmentations: list[DicomFile] = []
        structure_sets: list[DicomFile] = []
        passed_over: Counter = Counter()
        for member in members:
            header = _header(member)
            if header is None:
                passed_over["not DICOM"] += 1
                continue
            modality = str(header.get("Modality") or "")
            if modality == "CT" and "LOCALIZER" not in _values(header.get("ImageType")):
                ct[str(header.get("SeriesInstanceUID") or "")].append(DicomFile(member, header))
            elif modality == "SEG":
                segmentations.append(DicomFile(member, header))
            elif modality == "RTSTRUCT":
                structure_sets.append(DicomFile(member, header))
            else:
                passed_over["scout view" if modality == "CT" else f"DICOM {modality or 'without Modality'}"] += 1
        if passed_over:
            log.info("%s: passed over %s", source, _count(passed_over))
        yield Index(source, dict(ct), segmentations, structure_sets, passed_over)


@contextmanager
def _members(source: Path) -> Iterator[list[Member]]:
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.is_file())
        yield [Member(str(path), lambda path=path: path.open("rb")) for path in paths]
    elif not source.exists():
        raise SourceMissing("no such file or folder", where=source, fix="Correct the path in the sheet of scans.")
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            infos = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
            for info in infos:
                _check_member(source, info)
            yield [Member(f"{source}!{info.filename}", lambda info=info: archive.open(info)) for info in infos]
    else:
        yield [Member(str(source), lambda: source.open("rb"))]


def _check_member(source: Path, info: zipfile.ZipInfo) -> None:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        fault = "a member's name points out of the archive"
    elif info.flag_bits & 1:
        fault = "a member is encrypted"
    elif info.file_size > LARGEST_MEMBER_BYTES:
        fault = f"a member claims {info.file_size} bytes"
    else:
        return
    raise UnsafeArchive(fault, where=f"{source}!{info.filename}", fix="Pack the series again with plain file names.")


def _header(member: Member) -> pydicom.Dataset | None:
    """All tags before the pixel data, or None for a file that is not DICOM."""
    try:
        with member.open() as stream:
            start = stream.read(132)
            # files written before the DICM preamble was required begin with their first tag, of group 0002 or 0008
            if start[128:] != b"DICM" and start[:2] not in (b"\x02\x00", b"\x08\x00"):
                if member.name.lower().endswith(".dcm"):
                    raise _truncated(member, f"{len(start)} bytes or more without a DICOM header")
                return None
            stream.seek(0)
            header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
            header.get("ImageType"), header.get("Modality")  # parsed lazily: damage shows here
    except zipfile.BadZipFile as error:
        raise UnsafeArchive(f"damaged zip: {error}", where=member.name, fix="Copy the zip again.") from error
    except (InvalidDicomError, EOFError, ValueError, KeyError, TypeError, NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _truncated(member, f"{type(error).__name__}: {error}") from error
    if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return header
    if not header.get("Modality"):
        raise _truncated(member, "no Modality (0008,0060)")
    return header


def _truncated(member: Member, found: str) -> TruncatedFile:
    return TruncatedFile(
        "the DICOM header is cut off or damaged",
        where=member.name,
        found=found,
        expected="a header with Modality (0008,0060)",
        fix="Copy or export the file again, or take it out of the folder if it is no part of the series.",
    )


def _values(element: object) -> list[str]:
    return [element] if isinstance(element, str) else [str(value) for value in element or ()]


def _count(kinds: Counter) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()) if number)
