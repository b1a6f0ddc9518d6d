"""What one file of an archive is, and of a DICOM file the few tags that the sheet needs."""

import hashlib
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import MediaStorageDirectoryStorage

from ctstyle.dicom.index import DicomFile, Member
from ctstyle.dicom.read import VOLUME_SUFFIXES
from ctstyle.dicom.seg import segment_names

CT, SCOUT, SEG, RTSTRUCT, DICOMDIR, OTHER, DAMAGED = (
    "CT",
    "scout view",
    "SEG",
    "RTSTRUCT",
    "DICOMDIR",
    "other",
    "damaged",
)
DICOM = "DICOM "
"""Before the modality of DICOM files that are neither CT nor masks: `DICOM MR`."""
PACKED_VOLUME, BAD_ZIP = "volume in a zip", "unreadable zip"

TEXTS = (
    *("Modality", "ImageType", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
    *("Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "RescaleType", "BurnedInAnnotation"),
)
NUMBERS = (
    *("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "KVP"),
    *("GantryDetectorTilt", "RescaleSlope", "RescaleIntercept", "NumberOfFrames", "SamplesPerPixel"),
)
IDENTIFIERS = ("PatientID", "IssuerOfPatientID")
WANTED = tuple(Tag(keyword) for keyword in (*TEXTS, *NUMBERS, *IDENTIFIERS))
MASK_TAGS = tuple(
    Tag(keyword)
    for keyword in (
        *("ReferencedSeriesSequence", "SegmentSequence"),
        *("ReferencedFrameOfReferenceSequence", "StructureSetROISequence"),
    )
)
FRAME_TAGS = tuple(
    Tag(keyword)
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DimensionIndexSequence")
)
DAMAGE = (InvalidDicomError, EOFError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError, OSError)
"""What pydicom raises for bytes that are no sound header."""


@dataclass(frozen=True)
class Entry:
    """One file: its `container` (folder or zip), its `path` to print (`scans.zip!a/1.dcm` in a zip) and its `kind`.

    `header` holds tags by keyword, plain values; identifiers of patients as digests; for a mask `references` (series),
    `instances` (SOP instances) and `names` (of segments or regions). A file of several frames keeps its dataset, with
    its functional groups. `reason` says why a damaged file is one.
    """

    container: Path
    path: str
    kind: str
    header: Mapping[str, Any] | pydicom.Dataset | None = None
    reason: str = ""

    @property
    def packed(self) -> bool:
        """Whether the file is a member of a zip."""
        return self.path.startswith(f"{self.container}!")

    def dicom_file(self) -> DicomFile:
        """As `ctstyle.dicom.geometry` takes it; only its name and header serve."""
        return DicomFile(Member(self.path, Path(self.path).open), self.header)


def read_entries(paths: Iterable[Path]) -> list[Entry]:
    """The entries of files on disk; a zip gives one for each member (zips in zips are not opened)."""
    # pydicom quotes values in its warnings, and a value can be a name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [entry for path in paths for entry in _entries(path)]


def _entries(path: Path) -> Iterator[Entry]:
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
            if start != b"PK\x03\x04":
                stream.seek(0)
                yield _entry(path.parent, str(path), stream)
                return
        yield from _members(path)
    except OSError as error:
        yield Entry(
            path.parent, str(path), DAMAGED, reason=f"cannot be read ({error.strerror or type(error).__name__})"
        )


def _members(path: Path) -> list[Entry]:
    """The members of a zip, or one entry that says why the reader will refuse it as a whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
            for info in infos:
                name = PurePosixPath(info.filename.replace("\\", "/"))
                outside = name.is_absolute() or ".." in name.parts
                if outside or info.flag_bits & 1:
                    fault = "named outside the zip" if outside else "encrypted"
                    return [Entry(path, str(path), BAD_ZIP, reason=f"a zip that is not read: a member is {fault}")]
            return [_member(path, archive, info) for info in infos]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error):
        return [Entry(path, str(path), BAD_ZIP, reason="a damaged zip")]


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    where = f"{path}!{info.filename}"
    if info.filename.lower().endswith(VOLUME_SUFFIXES):
        return Entry(path, where, PACKED_VOLUME)
    with archive.open(info) as stream:
        return _entry(path, where, stream)


def _entry(container: Path, path: str, stream: BinaryIO) -> Entry:
    """Told by content as `ctstyle.dicom.index` does, so that both call the same files damaged."""
    start = stream.read(132)
    if start[128:] != b"DICM" and start[:2] not in (b"\x02\x00", b"\x08\x00"):
        if path.lower().endswith(".dcm"):
            return Entry(container, path, DAMAGED, reason="no DICOM header in a file named .dcm")
        return _other(container, path)
    stream.seek(0)
    try:
        dataset = _read(stream, WANTED)
        if dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return Entry(container, path, DICOMDIR)
        # looked at as the reader does: damage shows here
        modality = str(dataset.get("Modality") or "")
        image_type = _text(dataset.get("ImageType"))
        header = {keyword: _text(_value(dataset, keyword)) for keyword in TEXTS}
        header |= {keyword: _number(_value(dataset, keyword)) for keyword in NUMBERS}
        header |= {keyword: _digest(_value(dataset, keyword)) for keyword in IDENTIFIERS}
        if modality in (SEG, RTSTRUCT):
            stream.seek(0)
            header |= _mask_tags(_read(stream, MASK_TAGS), modality)
        elif modality == CT and (header["NumberOfFrames"] or 1) > 1:
            stream.seek(0)
            frames = _read(stream, (*WANTED, *FRAME_TAGS))
            for keyword in IDENTIFIERS:
                setattr(frames, keyword, header[keyword])
            header = frames
    except DAMAGE as error:
        # the error's own words may quote a value
        return Entry(
            container, path, DAMAGED, reason=f"the DICOM header is cut off or damaged ({type(error).__name__})"
        )
    if not modality:
        return Entry(container, path, DAMAGED, reason="the DICOM header is cut off or damaged (no Modality)")
    if modality == CT:
        return Entry(container, path, SCOUT if "LOCALIZER" in (image_type or ()) else CT, header)
    return Entry(container, path, modality if modality in (SEG, RTSTRUCT) else f"{DICOM}{modality}", header)


def _other(container: Path, path: str) -> Entry:
    if path.lower().endswith(".zip"):
        packed = path.startswith(f"{container}!")
        return Entry(container, path, BAD_ZIP, reason="a zip in a zip is not opened" if packed else "a damaged zip")
    return Entry(container, path, OTHER)


def _read(stream: BinaryIO, tags: Iterable[BaseTag]) -> pydicom.Dataset:
    return pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=list(tags))


def _mask_tags(dataset: pydicom.Dataset, modality: str) -> dict[str, Any]:
    """What a mask was drawn on (PS3.3, C.8.20.2 and C.8.8.5) and what it marks."""
    if modality == SEG:
        series = list(dataset.get("ReferencedSeriesSequence") or ())
        images = [image for one in series for image in one.get("ReferencedInstanceSequence") or ()]
        names, frames = tuple(segment_names(dataset).values()), ()
    else:
        places = list(dataset.get("ReferencedFrameOfReferenceSequence") or ())
        studies = [study for place in places for study in place.get("RTReferencedStudySequence") or ()]
        series = [one for study in studies for one in study.get("RTReferencedSeriesSequence") or ()]
        images = [image for one in series for image in one.get("ContourImageSequence") or ()]
        names = tuple(str(region.get("ROIName") or "") for region in dataset.get("StructureSetROISequence") or ())
        frames = tuple(str(place.get("FrameOfReferenceUID") or "") for place in places)
    return {
        "references": tuple(str(one.get("SeriesInstanceUID") or "") for one in series),
        "instances": frozenset(str(image.get("ReferencedSOPInstanceUID") or "") for image in images),
        "names": names,
        "frames": frames,
    }


def _value(dataset: pydicom.Dataset, keyword: str) -> Any:
    """A tag's value, None where it cannot be told: the check that needs it then says so."""
    try:
        return dataset.get(keyword)
    except (ValueError, TypeError, OverflowError):
        return None


def _text(value: Any) -> str | MultiValue | None:
    if value is None or isinstance(value, str):
        return value
    return MultiValue(str, [str(part) for part in value]) or None


def _number(value: Any) -> float | tuple[float, ...] | None:
    try:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            return None if value in (None, "") else float(value)
        return tuple(float(part) for part in value)
    except (TypeError, ValueError):
        return None


def _digest(value: Any) -> str:
    """Patients are told apart by this; the identifier itself is not kept."""
    text = str(value or "").strip()
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
