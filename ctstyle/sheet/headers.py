"""All files of an archive: what each is, and of a DICOM file the few tags that the sheet needs."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
from pydicom.tag import Tag
from pydicom.uid import MediaStorageDirectoryStorage

from ctstyle.ct import rtstruct, seg
from ctstyle.ct.acquisition import known_uid
from ctstyle.ct.files import DAMAGE, Member, UnsafeArchive, members, read_header
from ctstyle.ct.index import DicomFile
from ctstyle.ct.series import PER_FRAME, SHARED
from ctstyle.ct.volume_file import VOLUME_SUFFIXES
from ctstyle.errors import CTStyleError

CT, SCOUT, SEG, RTSTRUCT, DICOMDIR = "CT", "scout view", "SEG", "RTSTRUCT", "DICOMDIR"
OTHER, DAMAGED = "other", "damaged"
PACKED_VOLUME, BAD_ZIP = "volume in a zip", "unreadable zip"

KEPT = (
    *("Modality", "ImageType", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
    *("Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "KVP", "BurnedInAnnotation", "GantryDetectorTilt"),
    *("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "NumberOfFrames", "Rows"),
    *("Columns", "RescaleSlope", "RescaleIntercept", "RescaleType", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", SHARED, PER_FRAME),
)
"""What the checks of a CT look at."""
CHUNK = 100
"""Files given to a process at a time."""
FEWEST = 500
"""Fewer files than this are read before a second process would have started."""
MOST_PROCESSES = 8
IDENTIFIERS = ("PatientID", "IssuerOfPatientID")


@dataclass(frozen=True)
class Entry:
    """One file: its `container` (folder or zip), its `path` to print (`scans.zip!a/1.dcm` in a zip) and its `kind`.

    `header` of a CT holds the tags `KEPT`, of a mask a few by keyword and `references` (series), `instances` (SOP
    instances), `frames` (of reference) and `segments`; identifiers of patients are digests. `pixels_at` is as in
    `ctstyle.ct.index.DicomFile`, `reason` says why a damaged file is one.
    """

    container: Path
    path: str
    kind: str
    header: Any = None
    pixels_at: int | None = None
    size: int = 0
    reason: str = ""

    @property
    def packed(self) -> bool:
        """Whether the file is a member of a zip."""
        return self.path.startswith(f"{self.container}!")

    def dicom_file(self) -> DicomFile:
        """As `ctstyle.ct.series` takes it; only its name and header serve."""
        return DicomFile(Member(self.path, self.size, partial(Path(self.path).open, "rb")), self.header, self.pixels_at)


@dataclass(frozen=True)
class Archive:
    """Everything below the folders that were named: `entries` of all files but `volumes`, and `unentered` folders."""

    entries: list[Entry] = field(default_factory=list)
    volumes: list[Path] = field(default_factory=list)
    unentered: list[str] = field(default_factory=list)


def walk(folders: Sequence[Path], told: Callable[[int], None] | None = None) -> Archive:
    """Read the headers of all files below `folders`, sorted by path, each once; `told` hears how many were read.

    Folders that are links, or that may not be read, are not entered: the reader does not enter them either.
    """
    paths: set[Path] = set()
    unentered: list[str] = []

    def refused(error: OSError) -> None:
        """Note a folder that may not be entered."""
        unentered.append(str(error.filename))

    for folder in folders:
        for where, names, files in os.walk(folder, onerror=refused):
            unentered += [str(Path(where, name)) for name in names if Path(where, name).is_symlink()]
            paths |= {Path(where, name) for name in files}
    ordered = sorted(path for path in paths if path.is_file())
    volumes = [path for path in ordered if path.name.lower().endswith(VOLUME_SUFFIXES)]
    others = [path for path in ordered if not path.name.lower().endswith(VOLUME_SUFFIXES)]
    return Archive(_read(others, told), volumes, sorted(unentered))


def _read(paths: Sequence[Path], told: Callable[[int], None] | None) -> list[Entry]:
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    processes = min(len(os.sched_getaffinity(0)), MOST_PROCESSES)
    if len(paths) < FEWEST or processes == 1:
        return _read_entries(paths)
    entries: list[Entry] = []
    with ProcessPoolExecutor(processes) as pool:
        for number, part in enumerate(pool.map(_read_entries, chunks), start=1):
            entries += part
            if told is not None and number * CHUNK % 10_000 == 0:
                told(number * CHUNK)
    return entries


def _read_entries(paths: Iterable[Path]) -> list[Entry]:
    """The entries of files on disk; a zip gives one for each member (zips in zips are not opened)."""
    # pydicom quotes values in its warnings, and a value can be a name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [entry for path in paths for entry in _entries(path)]


def _entries(path: Path) -> Iterator[Entry]:
    found = []
    try:
        with members(path) as present:
            for member in present:
                container = path if member.name != str(path) else path.parent
                found.append(_entry(container, member))
    except UnsafeArchive as error:
        yield Entry(path, str(path), BAD_ZIP, reason=f"a zip that is not read: {error.what}")
        return
    except CTStyleError as error:
        yield Entry(path.parent, str(path), DAMAGED, reason=error.what)
        return
    except OSError as error:
        reason = f"cannot be read ({error.strerror or type(error).__name__})"
        yield Entry(path.parent, str(path), DAMAGED, reason=reason)
        return
    yield from found


def _entry(container: Path, member: Member) -> Entry:
    """Told by content and by the reader's own hand, so that both call the same files damaged."""
    if member.name.lower().endswith(VOLUME_SUFFIXES):
        return Entry(container, member.name, PACKED_VOLUME)
    try:
        read = read_header(member)
        if read is None:
            return _other(container, member.name)
        file = DicomFile(member, *read)
        header = None
        if file.header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return Entry(container, member.name, DICOMDIR)
        if file.kind in (CT, SCOUT):
            header = _kept(file)
        elif file.kind in (SEG, RTSTRUCT):
            header = _mask_tags(file)
        return Entry(container, member.name, file.kind, header, file.pixels_at, member.size)
    except UnsafeArchive:
        raise
    except CTStyleError as error:
        # what was found may quote a value
        return Entry(container, member.name, DAMAGED, reason=error.what)
    except DAMAGE as error:
        reason = f"the DICOM header is damaged ({type(error).__name__})"
        return Entry(container, member.name, DAMAGED, reason=reason)


def _other(container: Path, path: str) -> Entry:
    if path.lower().endswith(".zip"):
        packed = path.startswith(f"{container}!")
        return Entry(container, path, BAD_ZIP, reason="a zip in a zip is not opened" if packed else "a damaged zip")
    return Entry(container, path, OTHER)


def _kept(file: DicomFile) -> pydicom.Dataset:
    """A dataset of the tags that serve, with digests for the identifiers."""
    dataset = file.header
    kept = pydicom.Dataset({Tag(keyword): dataset.get_item(keyword) for keyword in KEPT if keyword in dataset})
    kept.file_meta = pydicom.dataset.FileMetaDataset()
    if "TransferSyntaxUID" in dataset.file_meta:
        kept.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    kept.set_original_encoding(*dataset.original_encoding, dataset.original_character_set)
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        setattr(kept, keyword, known_uid(file.tags.get(keyword)))
    for keyword in IDENTIFIERS:
        setattr(kept, keyword, _digest(file.tags.text(keyword)))
    return kept


def _mask_tags(file: DicomFile) -> dict[str, Any]:
    """What a mask was drawn on (PS3.3, C.8.20.2 and C.8.8.5) and what it marks."""
    tags = file.tags
    if file.kind == SEG:
        places = []
        series = tags.items("ReferencedSeriesSequence")
        images = [image for one in series for image in one.items("ReferencedInstanceSequence")]
        segments = seg.segments(file)
    else:
        places = tags.items("ReferencedFrameOfReferenceSequence")
        studies = [study for place in places for study in place.items("RTReferencedStudySequence")]
        series = [one for study in studies for one in study.items("RTReferencedSeriesSequence")]
        images = [image for one in series for image in one.items("ContourImageSequence")]
        segments = rtstruct.rois(file)
    return {
        "Modality": file.kind,
        "FrameOfReferenceUID": tags.text("FrameOfReferenceUID"),
        "SOPInstanceUID": known_uid(tags.get("SOPInstanceUID")),
        "PatientID": _digest(tags.text("PatientID")),
        "references": tuple(one.text("SeriesInstanceUID") for one in series),
        "instances": frozenset(image.text("ReferencedSOPInstanceUID") for image in images),
        "segments": tuple(segments),
        "frames": tuple(place.text("FrameOfReferenceUID") for place in places),
    }


def _digest(text: str) -> str:
    """Patients are told apart by this; the identifier itself is not kept."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
