"""One CT image and one segmentation as DICOM data sets: what every writer here makes its files of."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ctstyle.ct.anatomy import SEGMENTS, STRUCTURE, STRUCTURES, UNNAMED_VERTEBRA, VERTEBRA_NAMES
from ctstyle.errors import CTStyleError

if TYPE_CHECKING:
    import highdicom
    import pydicom

_DATE, _TIME = "20200101", "120000"


class BadSeries(CTStyleError):
    """Pixels, labels and geometry that do not make one CT series."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """What the images of one CT series share.

    `patient` and `name` are pseudonyms. `origin_mm`, `spacing_mm` and `direction` as in `volume.Grid`. Stored values
    are unsigned, of `bits` bits, and become those of `rescale_type` by adding `intercept`. `window` is level and width
    for showing them. `tags` are further elements, by keyword.
    """

    patient: str
    name: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    direction: np.ndarray
    slices: int
    manufacturer: str
    model: str
    image_type: tuple[str, str, str]
    deidentification: str
    intercept: int
    rescale_type: str = "HU"
    bits: int = 16
    window: tuple[float, float] = (40.0, 400.0)
    tags: Mapping[str, Any] = field(default_factory=dict)


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


def image(series: Series, k: int, stored: np.ndarray, sop_instance_uid: str) -> "pydicom.Dataset":
    """Slice `k` of a series as CT Image Storage (PS3.3, A.3); `stored` values `[y, x]`, whole numbers.

    The last slice is instance number 1, so that a series from feet to head is listed head first.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    direction = np.asarray(series.direction, float)
    dx, dy, dz = (float(v) for v in series.spacing_mm)
    place = np.asarray(series.origin_mm, float) + direction[:, 2] * (k * dz)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = list(series.image_type)
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = sop_instance_uid
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = _DATE
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = _TIME
    ds.AccessionNumber = ds.ReferringPhysicianName = ds.StudyID = ""
    ds.Modality = "CT"
    ds.Manufacturer = series.manufacturer
    ds.ManufacturerModelName = series.model
    ds.SeriesDescription = series.name
    ds.PatientName = f"{series.patient}^"
    ds.PatientID = series.patient
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = series.deidentification
    ds.SliceThickness = ds.SpacingBetweenSlices = dz
    ds.StudyInstanceUID = series.study_uid
    ds.SeriesInstanceUID = series.series_uid
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 1, 1, series.slices - k
    ds.ImagePositionPatient = [_number(v, 4) for v in place]
    ds.ImageOrientationPatient = [_number(v, 10) for v in direction[:, :2].T.ravel()]
    ds.FrameOfReferenceUID = series.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""
    ds.SliceLocation = _number(direction[:, 2] @ place, 4)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape
    ds.PixelSpacing = [dy, dx]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, series.bits, series.bits - 1, 0
    ds.WindowCenter, ds.WindowWidth = series.window
    ds.RescaleIntercept, ds.RescaleSlope = series.intercept, 1
    ds.RescaleType = series.rescale_type
    for keyword, value in series.tags.items():
        setattr(ds, keyword, value)
    ds.PixelData = np.clip(stored, 0, 2**series.bits - 1).astype("<u2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def _number(value: float, digits: int) -> float:
    # a negative zero would be written as such
    return round(float(value), digits) + 0.0


def segmentation(
    images: Sequence["pydicom.Dataset"],
    labels: np.ndarray,
    *,
    series: Series,
    algorithm: tuple[str, str, str],
    uids: tuple[str, str, str],
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
        manufacturer=series.manufacturer,
        manufacturer_model_name="ctstyle",
        software_versions="1",
        device_serial_number="0",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label=STRUCTURES.upper(),
        # a title of at most 64 characters (LO)
        series_description=f"{series.name[:54]} {STRUCTURES}",
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
