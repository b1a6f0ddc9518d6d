"""All files of an archive: what each is, and of a DICOM file the few tags that the sheet needs."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.tag import Tag
from pydicom.uid import MediaStorageDirectoryStorage

from ctstyle.ct import rtstruct, seg
from ctstyle.ct.acquisition import known_uid, modality_name
from ctstyle.ct.files import DAMAGE, Member, UnsafeArchive, members, read_header
from ctstyle.ct.index import DicomFile
from ctstyle.ct.series import PER_FRAME, SHARED
from ctstyle.ct.volume_file import VOLUME_SUFFIXES
from ctstyle.errors import CTStyleError

CT, SCOUT, SEG, RTSTRUCT, DICOMDIR, OTHER, DAMAGED = (
    "CT",
    "scout view",
    "SEG",
    "RTSTRUCT",
    "DICOMDIR",
    "other",
    "damaged",
)
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
    header: Mapping[str, Any] | pydicom.Dataset | None = None
    pixels_at: int | None = None
    size: int = 0
    reason: str = ""

    @property
    def packed(self) -> bool:
        """Whether the file is a member of a zip."""
        return self.path.startswith(f"{self.container}!")

    def dicom_file(self) -> DicomFile:
        """As `ctstyle.ct.geometry` takes it; only its name and header serve."""
        return DicomFile(Member(self.path, self.size, Path(self.path).open), self.header, self.pixels_at)


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
        dataset, pixels_at = read
        if dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return Entry(container, member.name, DICOMDIR)
        modality = str(dataset.get("Modality") or "")
        if modality == CT:
            # as the index tells a scout
            image_type = dataset.get("ImageType")
            kind = SCOUT if "LOCALIZER" in ([image_type] if isinstance(image_type, str) else image_type or ()) else CT
            return Entry(container, member.name, kind, _kept(dataset), pixels_at, member.size)
        if modality in (SEG, RTSTRUCT):
            return Entry(container, member.name, modality, _mask_tags(DicomFile(member, dataset), modality))
    except UnsafeArchive:
        raise
    except CTStyleError as error:
        # what was found may quote a value
        return Entry(container, member.name, DAMAGED, reason=error.what)
    except DAMAGE as error:
        reason = f"the DICOM header is damaged ({type(error).__name__})"
        return Entry(container, member.name, DAMAGED, reason=reason)
    return Entry(container, member.name, modality_name(modality))


def _other(container: Path, path: str) -> Entry:
    if path.lower().endswith(".zip"):
        packed = path.startswith(f"{container}!")
        return Entry(container, path, BAD_ZIP, reason="a zip in a zip is not opened" if packed else "a damaged zip")
    return Entry(container, path, OTHER)


def _kept(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """A dataset of the tags that serve, with digests for the identifiers."""
    kept = pydicom.Dataset({Tag(keyword): dataset.get_item(keyword) for keyword in KEPT if keyword in dataset})
    kept.file_meta = pydicom.dataset.FileMetaDataset()
    if "TransferSyntaxUID" in dataset.file_meta:
        kept.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    kept.set_original_encoding(*dataset.original_encoding, dataset.original_character_set)
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        setattr(kept, keyword, known_uid(_value(dataset, keyword)))
    for keyword in IDENTIFIERS:
        setattr(kept, keyword, _digest(_value(dataset, keyword)))
    return kept


def _mask_tags(file: DicomFile, modality: str) -> dict[str, Any]:
    """What a mask was drawn on (PS3.3, C.8.20.2 and C.8.8.5) and what it marks."""
    dataset = file.header
    frames: tuple[str, ...] = ()
    if modality == SEG:
        series = list(dataset.get("ReferencedSeriesSequence") or ())
        images = [image for one in series for image in one.get("ReferencedInstanceSequence") or ()]
        segments = seg.segments(file)
    else:
        places = list(dataset.get("ReferencedFrameOfReferenceSequence") or ())
        studies = [study for place in places for study in place.get("RTReferencedStudySequence") or ()]
        series = [one for study in studies for one in study.get("RTReferencedSeriesSequence") or ()]
        images = [image for one in series for image in one.get("ContourImageSequence") or ()]
        segments = rtstruct.rois(file)
        frames = tuple(str(place.get("FrameOfReferenceUID") or "") for place in places)
    tags = {keyword: str(dataset.get(keyword) or "") for keyword in ("Modality", "FrameOfReferenceUID")}
    return tags | {
        "SOPInstanceUID": known_uid(dataset.get("SOPInstanceUID")),
        "PatientID": _digest(_value(dataset, "PatientID")),
        "references": tuple(str(one.get("SeriesInstanceUID") or "") for one in series),
        "instances": frozenset(str(image.get("ReferencedSOPInstanceUID") or "") for image in images),
        "segments": tuple(segments),
        "frames": frames,
    }


def _value(dataset: pydicom.Dataset, keyword: str) -> Any:
    """A tag's value, None where it cannot be told: the check that needs it then says so."""
    try:
        return dataset.get(keyword)
    except (ValueError, TypeError, OverflowError):
        return None


def _digest(value: Any) -> str:
    """Patients are told apart by this; the identifier itself is not kept."""
    text = str(value or "").strip()
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
