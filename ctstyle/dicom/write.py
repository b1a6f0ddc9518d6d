"""Write a CT series and the masks of its vertebrae as DICOM in one zip, byte for byte the same every time."""

import io
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctstyle.dicom.labels import VERTEBRA_NAMES
from ctstyle.errors import CTStyleError

if TYPE_CHECKING:
    import pydicom

MANUFACTURER = "ctstyle virtual scanner"
_DATE, _TIME = "20200101", "120000"
_INTERCEPT = -1024


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
        if self.pixels.shape != self.labels.shape or self.pixels.ndim != 3:
            raise BadSeries(
                "labels and pixels differ in shape",
                where=self.name,
                found=self.labels.shape,
                expected=self.pixels.shape,
            )
        wanted = np.int16 if self.window is None else np.uint8
        if self.pixels.dtype != wanted:
            raise BadSeries(
                "pixels of the wrong type", where=self.name, found=self.pixels.dtype, expected=np.dtype(wanted)
            )
        unknown = sorted(set(np.unique(self.labels).tolist()) - {0} - set(VERTEBRA_NAMES))
        if unknown:
            raise BadSeries("labels that are no vertebra", where=self.name, found=unknown, expected="ids 25 to 50")


def write_ct_zip(path: Path, series: CTSeries) -> None:
    """Write `ct/0001.dcm` .. (head first) and, where anything is labelled, `seg.dcm`, stored without compression.

    CT Image Storage with Hounsfield units (unsigned, intercept -1024), or for a display export the grey values with
    slope 1, intercept 0, RescaleType US and ImageType DERIVED\\SECONDARY. The masks are a binary DICOM-SEG (PS3.3,
    A.51) with one segment per vertebra. Times in the files and in the archive are fixed.
    """
    images = [_image(series, k) for k in range(len(series.pixels))][::-1]
    members = {f"ct/{i:04d}.dcm": image for i, image in enumerate(images, start=1)}
    if series.labels.any():
        members["seg.dcm"] = _segmentation(series, images)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, dataset in members.items():
            buffer = io.BytesIO()
            dataset.save_as(buffer, enforce_file_format=True)
            info = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 12, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, buffer.getvalue())


def _uid(*names: object) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join(['ctstyle', *map(str, names)])).int}"


def _image(series: CTSeries, k: int) -> "pydicom.Dataset":
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    display = series.window is not None
    slices, rows, columns = series.pixels.shape
    x, y, z = (float(v) for v in series.origin_mm)
    dx, dy, dz = (float(v) for v in series.spacing_mm)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"] if display else ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = _uid(series.name, "image", k)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = _DATE
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = _TIME
    ds.AccessionNumber = ds.ReferringPhysicianName = ds.StudyID = ""
    ds.Modality = "CT"
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = "parallel beam"
    ds.SeriesDescription = series.name
    ds.PatientName = f"{series.patient}^"
    ds.PatientID = series.patient
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "simulated, no real person"
    if display:
        ds.DerivationDescription = "display window applied"
    if series.contrast:
        ds.ContrastBolusAgent = series.contrast
    ds.BodyPartExamined = "SPINE"
    ds.SliceThickness = ds.SpacingBetweenSlices = dz
    ds.KVP = float(series.kvp)
    ds.Exposure = round(series.exposure_mas)
    ds.PatientPosition = "HFS"
    ds.ConvolutionKernel = series.kernel
    ds.StudyInstanceUID = _uid(series.patient, "study")
    ds.SeriesInstanceUID = _uid(series.name, "series")
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 1, 1, slices - k
    ds.ImagePositionPatient = [round(v, 4) for v in (x, y, z + k * dz)]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.FrameOfReferenceUID = _uid(series.patient, "frame")
    ds.PositionReferenceIndicator = ""
    ds.SliceLocation = round(z + k * dz, 4)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = rows, columns
    ds.PixelSpacing = [dy, dx]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    level, width = series.window or (40.0, 400.0)
    if display:
        # what a display export says: its grey values are shown as they are
        level, width = 127.5, 255.0
    ds.WindowCenter, ds.WindowWidth = level, width
    ds.RescaleIntercept, ds.RescaleSlope = (0 if display else _INTERCEPT), 1
    ds.RescaleType = "US" if display else "HU"
    stored = series.pixels[k].astype(np.int32) - (0 if display else _INTERCEPT)
    ds.PixelData = np.clip(stored, 0, 4095).astype("<u2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def _segmentation(series: CTSeries, images: list["pydicom.Dataset"]) -> "pydicom.Dataset":
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.uid import ExplicitVRLittleEndian

    present = [int(label) for label in np.unique(series.labels) if label]
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="anatomy of the virtual patient",
        family=highdicom.sr.CodedConcept("SIMULATION", "99CTSTYLE", "Simulated anatomy"),
        version="1",
    )
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"{VERTEBRA_NAMES[label]} vertebra",
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=getattr(codes.SCT, f"{VERTEBRA_NAMES[label]}Vertebra"),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, label in enumerate(present, start=1)
    ]
    # the images go head first and the labels feet first
    masks = np.stack([series.labels[::-1] == label for label in present], axis=-1).astype(np.uint8)
    segmentation = highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=masks,
        segmentation_type="BINARY",
        segment_descriptions=segments,
        series_instance_uid=_uid(series.name, "seg series"),
        series_number=2,
        sop_instance_uid=_uid(series.name, "seg"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name="ctstyle",
        software_versions="1",
        device_serial_number="0",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="VERTEBRAE",
        series_description=f"{series.name} vertebrae",
        use_extended_offset_table=False,
    )
    _make_repeatable(segmentation, _uid(series.name, "dimensions"))
    return segmentation


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
