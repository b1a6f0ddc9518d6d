"""Write CT series and the masks of their vertebrae as DICOM, byte for byte the same every time."""

import hashlib
import io
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctstyle.ct.anatomy import SEGMENTS, STRUCTURE, STRUCTURES, UNNAMED_VERTEBRA, VERTEBRA_NAMES
from ctstyle.ct.volume import Grid, Volume
from ctstyle.errors import CTStyleError, Fact

if TYPE_CHECKING:
    import highdicom
    import pydicom

MANUFACTURER = "ctstyle virtual scanner"
_LONG_STRING = 64
"""Most characters of a value of the type LO (PS3.5, 6.2)."""
_DATE, _TIME = "20200101", "120000"
_IN_EVERY_IMAGE: dict[str, Any] = {
    **{f"{of}Date": _DATE for of in ("Study", "Series", "Acquisition", "Content")},
    **{f"{of}Time": _TIME for of in ("Study", "Series", "Acquisition", "Content")},
    **dict.fromkeys(("AccessionNumber", "ReferringPhysicianName", "StudyID", "PositionReferenceIndicator"), ""),
    **dict.fromkeys(("PatientBirthDate", "PatientSex"), ""),
    "SpecificCharacterSet": "ISO_IR 100",
    "Modality": "CT",
    "PatientIdentityRemoved": "YES",
    "SeriesNumber": 1,
    "AcquisitionNumber": 1,
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "PixelRepresentation": 0,
    "RescaleSlope": 1,
    "WindowCenter": 40.0,
    "WindowWidth": 400.0,
}


class BadSeries(CTStyleError):
    """Pixels, labels and geometry that do not make one CT series."""


@dataclass(frozen=True, kw_only=True)
class CTSeries:
    """One axial CT series to be written; slices go from feet to head, x to the patient's left, y to the back.

    `pixels` `[z, y, x]`: int16 Hounsfield units, or uint8 grey values with the display `window` (level, width in HU)
    burnt in. `labels` uint8 `[z, y, x]`: TotalSegmentator ids of vertebrae. `origin_mm` (LPS) and `spacing_mm` are
    (x, y, z). `patient` and `name` are pseudonyms: all UIDs follow from them, so two series of one patient share study
    and frame of reference. `contrast` is the name of the contrast agent, or empty.
    """

    patient: str
    name: str
    pixels: np.ndarray
    labels: np.ndarray
    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    kvp: float
    exposure_mas: float
    kernel: str
    contrast: str = ""
    window: tuple[float, float] | None = None

    def __post_init__(self):
        check_labels(self.labels, self.pixels.shape, self.name)
        wanted = np.int16 if self.window is None else np.uint8
        if self.pixels.dtype != wanted:
            raise BadSeries(
                "pixels of the wrong type", where=self.name, found=self.pixels.dtype, expected=np.dtype(wanted)
            )


def write_ct_zip(path: Path, series: CTSeries) -> None:
    """Write `ct/0001.dcm` .. (head first) and, where anything is labelled, `seg.dcm`, stored without compression.

    CT Image Storage with Hounsfield units (unsigned, intercept -1024), or for a display export the grey values with
    slope 1, intercept 0, RescaleType US and ImageType DERIVED\\SECONDARY. The masks are a binary DICOM-SEG (PS3.3,
    A.51) with one segment per vertebra. Times in the files and in the archive are fixed.
    """
    display = series.window is not None
    shape, axes = series.pixels.shape, np.eye(3)
    grid = Grid(shape=shape, origin_mm=series.origin_mm, spacing_mm=series.spacing_mm, direction=axes)
    shared = {
        "PatientName": f"{series.patient}^",
        "PatientID": series.patient,
        "SeriesDescription": series.name,
        "DeidentificationMethod": "simulated, no real person",
        "StudyInstanceUID": uid(series.patient, "study"),
        "SeriesInstanceUID": uid(series.name, "series"),
        "FrameOfReferenceUID": uid(series.patient, "frame"),
        "Manufacturer": MANUFACTURER,
        "ManufacturerModelName": "parallel beam",
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL"] if display else ["ORIGINAL", "PRIMARY", "AXIAL"],
        "BodyPartExamined": "SPINE",
        "PatientPosition": "HFS",
        "KVP": float(series.kvp),
        "Exposure": round(series.exposure_mas),
        "ConvolutionKernel": series.kernel,
        "BitsStored": 12,
        "RescaleIntercept": 0 if display else -1024,
        "RescaleType": "US" if display else "HU",
        # a display export says that its grey values are shown as they are
        **({"WindowCenter": 127.5, "WindowWidth": 255.0} if display else {}),
    }
    if display:
        shared["DerivationDescription"] = "display window applied"
    if series.contrast:
        shared["ContrastBolusAgent"] = series.contrast
    uids = [uid(series.name, "image", k) for k in range(len(series.pixels))]
    images = _images(shared, grid, series.pixels, uids)[::-1]
    members = {f"ct/{i:04d}.dcm": one for i, one in enumerate(images, start=1)}
    if series.labels.any():
        members["seg.dcm"] = _segmentation(
            images,
            # the images go head first and the labels feet first
            series.labels[::-1],
            algorithm=("anatomy of the virtual patient", "SIMULATION", "Simulated anatomy"),
            uids=[uid(series.name, part) for part in ("seg series", "seg", "dimensions")],
        )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, dataset in members.items():
            buffer = io.BytesIO()
            dataset.save_as(buffer, enforce_file_format=True)
            info = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 12, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, buffer.getvalue())


def write_derived(
    folder: Path,
    volume: Volume,
    *,
    patient: str,
    name: str,
    description: str,
    labels: np.ndarray | None = None,
    frame_of_reference_uid: str = "",
    synthetic: bool = True,
) -> list[Path]:
    """Write `folder/ct/0001.dcm` .. (the last slice of z first) and, where anything is labelled, `folder/seg.dcm`.

    CT Image Storage (PS3.3, A.3), ImageType DERIVED\\SECONDARY, on any orthonormal LPS grid, oblique ones too. `hu`
    is stored unsigned with 16 bits and an intercept of at most -1024, so that the whole of int16 fits and no reader
    takes it for grey values. `volume.sop_instance_uids` name the source image of every z ("" where there is none) and
    become SourceImageSequence; of `volume.acquisition` the keys kvp, kernel, exposure_mas, slice_thickness_mm and
    contrast are written where they are known.

    `patient` and `name` are pseudonyms; `description` says how the images were made (DerivationDescription);
    `synthetic` marks values that no scanner measured (SyntheticData). `labels` uint8 `[z, y, x]`: TotalSegmentator ids
    or 255 (`anatomy.UNNAMED_VERTEBRA`), a segment each. UIDs follow from the names and the content, so that the same
    call gives the same bytes and another content never the same UID; without `frame_of_reference_uid` the frame of
    reference is a new one too.

    Returns the files, images first. Raises BadSeries.
    """
    folder = Path(folder)
    labels = np.zeros(volume.hu.shape, np.uint8) if labels is None else labels
    _check(folder, volume, labels, patient, name)
    content = _content(volume, labels, description)
    shared = {
        "PatientName": f"{patient}^",
        "PatientID": patient,
        "SeriesDescription": name[:_LONG_STRING],
        "DeidentificationMethod": "pseudonyms, no identifying tag of the source was copied",
        "StudyInstanceUID": uid(patient, "derived study"),
        "SeriesInstanceUID": uid(name, content, "series"),
        "FrameOfReferenceUID": frame_of_reference_uid or uid(name, content, "frame"),
        "Manufacturer": "ctstyle",
        "ManufacturerModelName": "ctstyle",
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL" if abs(volume.direction[2, 2]) > 0.7 else "REFORMATTED"],
        "BitsStored": 16,
        "RescaleIntercept": min(-1024, int(volume.hu.min())),
        "RescaleType": "HU",
        **_tags(volume, description, synthetic),
    }
    uids = [uid(name, content, "image", k) for k in range(len(volume.hu))]
    images = _images(shared, volume.grid, volume.hu, uids)
    for one, source in zip(images, volume.sop_instance_uids, strict=False):
        if source:
            one.SourceImageSequence = [_source(source)]
    files = {folder / "ct" / f"{one.InstanceNumber:04d}.dcm": one for one in images[::-1]}
    if labels.any():
        files[folder / "seg.dcm"] = _segmentation(
            images,
            labels,
            algorithm=("labels of the source images", "CARRIED", "Labels carried over from the source images"),
            uids=[uid(name, content, part) for part in ("seg series", "seg", "dimensions")],
        )
    (folder / "ct").mkdir(parents=True)
    for path, dataset in files.items():
        dataset.save_as(path, enforce_file_format=True)
    return list(files)


def uid(*names: object) -> str:
    """The UID that follows from these names (PS3.5, B.2, over a name-based UUID)."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join(['ctstyle', *map(str, names)])).int}"


def check_labels(labels: np.ndarray, shape: tuple[int, ...], where: str) -> None:
    """Raise BadSeries for labels that do not lie on pixels of this shape or are no vertebrae."""
    if labels.shape != shape or len(shape) != 3:
        raise BadSeries("labels and pixels differ in shape", where=where, found=labels.shape, expected=shape)
    unknown = sorted(set(np.unique(labels).tolist()) - {0, UNNAMED_VERTEBRA, *VERTEBRA_NAMES})
    if unknown:
        expected = f"ids {min(VERTEBRA_NAMES)} to {max(VERTEBRA_NAMES)}, or {UNNAMED_VERTEBRA}"
        raise BadSeries(f"labels that are no {STRUCTURE}", where=where, found=unknown, expected=expected)


def _check(folder: Path, volume: Volume, labels: np.ndarray, patient: str, name: str) -> None:
    check_labels(labels, volume.hu.shape, name)
    if volume.hu.dtype != np.int16 or not volume.hu.size:
        found, expected = Fact(f"{volume.hu.dtype} {volume.hu.shape}"), "int16 Hounsfield units, at least one voxel"
        raise BadSeries("pixels of the wrong type", where=name, found=found, expected=expected)
    direction = np.asarray(volume.direction)
    if abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        found, fix = direction.round(4).tolist(), "Resample the volume onto a straight grid first."
        expected = "an orthonormal direction"
        raise BadSeries("axes that are not at right angles", where=name, found=found, expected=expected, fix=fix)
    if len(volume.sop_instance_uids) not in (0, len(volume.hu)):
        count, expected = len(volume.sop_instance_uids), f"{len(volume.hu)}, or none"
        raise BadSeries("source images for another number of slices", where=name, found=count, expected=expected)
    if not 0 < len(patient) < _LONG_STRING or any(sign in patient + name for sign in "\\^="):
        what, expected = "a pseudonym that DICOM cannot hold", f"1 to {_LONG_STRING - 1} characters, none of \\ ^ ="
        fix = "Choose another name in the sheet of scans."
        raise BadSeries(what, where=name, found=repr(patient), expected=expected, fix=fix)
    if folder.exists() and any(folder.iterdir()):
        what = "the folder is not empty, and its files would mix with the series"
        raise BadSeries(what, where=folder, fix="Choose another.")


def _content(volume: Volume, labels: np.ndarray, description: str) -> str:
    digest = hashlib.sha256(description.encode())
    for array in (volume.hu, labels, volume.origin_mm, volume.spacing_mm, volume.direction):
        values = np.asarray(array)
        digest.update(str(values.shape).encode())
        digest.update(np.ascontiguousarray(values if values.dtype.kind in "iu" else values.round(6) + 0.0).tobytes())
    digest.update("\n".join(volume.sop_instance_uids).encode())
    return digest.hexdigest()


def _tags(volume: Volume, description: str, synthetic: bool) -> dict[str, Any]:
    known = {key: value for key, value in volume.acquisition.items() if value not in (None, "")}
    tags = {
        "SpecificCharacterSet": "ISO_IR 192",
        "DerivationDescription": description,
        "SyntheticData": "YES" if synthetic else "NO",
        "BurnedInAnnotation": "NO",
        # these two are known of a patient on a table, not of a volume
        **dict.fromkeys(("PatientPosition", "Laterality"), ""),
        "KVP": known.get("kvp", ""),
        "SliceThickness": float(known.get("slice_thickness_mm", volume.spacing_mm[2])),
    }
    if "exposure_mas" in known:
        tags["Exposure"] = round(known["exposure_mas"])
    if "kernel" in known:
        tags["ConvolutionKernel"] = [part[:16] for part in str(known["kernel"]).split("/")]
    if known.get("contrast"):
        tags["ContrastBolusAgent"] = "contrast agent"
    return tags


def _source(sop_instance_uid: str):
    from pydicom.dataset import Dataset
    from pydicom.uid import CTImageStorage

    purpose, item = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    item.ReferencedSOPClassUID = CTImageStorage
    item.ReferencedSOPInstanceUID = sop_instance_uid
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _images(shared: Mapping[str, Any], grid: Grid, values: np.ndarray, uids: Sequence[str]) -> list["pydicom.Dataset"]:
    """Every slice of a series as CT Image Storage (PS3.3, A.3), in the order of z; `shared` are elements by keyword.

    `values` `[z, y, x]` are whole numbers, stored unsigned less RescaleIntercept. The last slice is instance number 1,
    so that a series from feet to head is listed head first.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    direction = np.asarray(grid.direction, float)
    dx, dy, dz = (float(v) for v in grid.spacing_mm)
    images = []
    for k, sop_instance_uid in enumerate(uids):
        place = np.asarray(grid.origin_mm, float) + direction[:, 2] * (k * dz)
        ds = Dataset()
        own = {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": sop_instance_uid,
            "InstanceNumber": len(uids) - k,
            "SliceThickness": dz,
            "SpacingBetweenSlices": dz,
            "PixelSpacing": [dy, dx],
            "ImagePositionPatient": [_number(v, 4) for v in place],
            "ImageOrientationPatient": [_number(v, 10) for v in direction[:, :2].T.ravel()],
            "SliceLocation": _number(direction[:, 2] @ place, 4),
            "Rows": values.shape[1],
            "Columns": values.shape[2],
            "HighBit": shared["BitsStored"] - 1,
        }
        for keyword, value in {**_IN_EVERY_IMAGE, **own, **shared}.items():
            setattr(ds, keyword, value)
        stored = values[k].astype(np.int32) - shared["RescaleIntercept"]
        ds.PixelData = np.clip(stored, 0, 2 ** shared["BitsStored"] - 1).astype("<u2").tobytes()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = sop_instance_uid
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        images.append(ds)
    return images


def _number(value: float, digits: int) -> float:
    # a negative zero would be written as such
    return round(float(value), digits) + 0.0


def _segmentation(
    images: Sequence["pydicom.Dataset"],
    labels: np.ndarray,
    *,
    algorithm: tuple[str, str, str],
    uids: Sequence[str],
) -> "pydicom.Dataset":
    """Labels uint8 `[z, y, x]` as a binary DICOM-SEG (PS3.3, A.51), one segment per label, on `images` in their order.

    `algorithm` is name, code and meaning of what made the labels; `uids` are those of series, instance and dimensions.
    """
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian

    present = [int(label) for label in np.unique(labels) if label]
    name, code, meaning = algorithm
    made_by = highdicom.AlgorithmIdentificationSequence(
        name=name, family=highdicom.sr.CodedConcept(code, "99CTSTYLE", meaning), version="1"
    )
    series_uid, instance_uid, dimensions_uid = uids
    dataset = highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=np.stack([labels == label for label in present], axis=-1).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[_segment(k, label, made_by) for k, label in enumerate(present, start=1)],
        series_instance_uid=series_uid,
        series_number=2,
        sop_instance_uid=instance_uid,
        instance_number=1,
        manufacturer=images[0].Manufacturer,
        manufacturer_model_name="ctstyle",
        software_versions="1",
        device_serial_number="0",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label=STRUCTURES.upper(),
        # a title of at most 64 characters (LO)
        series_description=f"{images[0].SeriesDescription[:54]} {STRUCTURES}",
        use_extended_offset_table=False,
    )
    _make_repeatable(dataset, dimensions_uid)
    return dataset


def _segment(number: int, label: int, made_by) -> "highdicom.seg.SegmentDescription":
    import highdicom
    from pydicom.sr.codedict import codes

    title, code, meaning = SEGMENTS[VERTEBRA_NAMES.get(label, "")]
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=title,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=highdicom.sr.CodedConcept(code, "SCT", meaning),
        algorithm_type="AUTOMATIC",
        algorithm_identification=made_by,
    )


def _make_repeatable(dataset: "pydicom.Dataset", organization_uid: str) -> None:
    """Replace what highdicom draws from the clock or from a random source."""
    for element in dataset.iterall():
        if element.keyword == "DimensionOrganizationUID":
            element.value = organization_uid
        elif element.VR == "DA" and element.value:
            element.value = _DATE
        elif element.VR == "TM" and element.value:
            element.value = _TIME
        elif element.VR == "DT" and element.value:
            element.value = _DATE + _TIME
