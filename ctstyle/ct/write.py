"""Write a CT series and the masks of its vertebrae as DICOM in one zip, byte for byte the same every time."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctstyle.ct.instance import BadSeries, Series, check_labels, image, segmentation, uid

MANUFACTURER = "ctstyle virtual scanner"
_INTERCEPT = -1024


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
    shared = _shared(series)
    stored = series.pixels.astype(np.int32) - shared.intercept
    images = [image(shared, k, stored[k], uid(series.name, "image", k)) for k in range(len(stored))][::-1]
    members = {f"ct/{i:04d}.dcm": one for i, one in enumerate(images, start=1)}
    if series.labels.any():
        members["seg.dcm"] = segmentation(
            images,
            # the images go head first and the labels feet first
            series.labels[::-1],
            series=shared,
            algorithm=("anatomy of the virtual patient", "SIMULATION", "Simulated anatomy"),
            uids=tuple(uid(series.name, part) for part in ("seg series", "seg", "dimensions")),
        )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, dataset in members.items():
            buffer = io.BytesIO()
            dataset.save_as(buffer, enforce_file_format=True)
            info = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 12, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, buffer.getvalue())


def _shared(series: CTSeries) -> Series:
    display = series.window is not None
    tags = {
        "BodyPartExamined": "SPINE",
        "PatientPosition": "HFS",
        "KVP": float(series.kvp),
        "Exposure": round(series.exposure_mas),
        "ConvolutionKernel": series.kernel,
    }
    if display:
        tags["DerivationDescription"] = "display window applied"
    if series.contrast:
        tags["ContrastBolusAgent"] = series.contrast
    return Series(
        patient=series.patient,
        name=series.name,
        study_uid=uid(series.patient, "study"),
        series_uid=uid(series.name, "series"),
        frame_of_reference_uid=uid(series.patient, "frame"),
        origin_mm=series.origin_mm,
        spacing_mm=series.spacing_mm,
        direction=np.eye(3),
        slices=len(series.pixels),
        manufacturer=MANUFACTURER,
        model="parallel beam",
        image_type=("DERIVED", "SECONDARY", "AXIAL") if display else ("ORIGINAL", "PRIMARY", "AXIAL"),
        deidentification="simulated, no real person",
        intercept=0 if display else _INTERCEPT,
        rescale_type="US" if display else "HU",
        bits=12,
        # a display export says that its grey values are shown as they are
        window=(127.5, 255.0) if display else (40.0, 400.0),
        tags=tags,
    )
