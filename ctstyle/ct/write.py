"""Write CT series and the masks of their vertebrae as DICOM, byte for byte the same every time."""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctstyle.ct.instance import BadSeries, Series, check_labels, image, segmentation, uid
from ctstyle.ct.volume import Volume
from ctstyle.errors import Fact

MANUFACTURER = "ctstyle virtual scanner"
_INTERCEPT = -1024
_LONG_STRING = 64
"""Most characters of a value of the type LO (PS3.5, 6.2)."""


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
    shared = Series(
        patient=patient,
        name=name[:_LONG_STRING],
        study_uid=uid(patient, "derived study"),
        series_uid=uid(name, content, "series"),
        frame_of_reference_uid=frame_of_reference_uid or uid(name, content, "frame"),
        origin_mm=volume.origin_mm,
        spacing_mm=volume.spacing_mm,
        direction=volume.direction,
        slices=len(volume.hu),
        manufacturer="ctstyle",
        model="ctstyle",
        image_type=("DERIVED", "SECONDARY", "AXIAL" if abs(volume.direction[2, 2]) > 0.7 else "REFORMATTED"),
        deidentification="pseudonyms, no identifying tag of the source was copied",
        intercept=min(-1024, int(volume.hu.min())),
        tags=_tags(volume, description, synthetic),
    )
    stored = volume.hu.astype(np.int32) - shared.intercept
    images = [image(shared, k, stored[k], uid(name, content, "image", k)) for k in range(len(stored))]
    for one, source in zip(images, volume.sop_instance_uids, strict=False):
        if source:
            one.SourceImageSequence = [_source(source)]
    files = {folder / "ct" / f"{one.InstanceNumber:04d}.dcm": one for one in images[::-1]}
    if labels.any():
        files[folder / "seg.dcm"] = segmentation(
            images,
            labels,
            series=shared,
            algorithm=("labels of the source images", "CARRIED", "Labels carried over from the source images"),
            uids=tuple(uid(name, content, part) for part in ("seg series", "seg", "dimensions")),
        )
    (folder / "ct").mkdir(parents=True)
    for path, dataset in files.items():
        dataset.save_as(path, enforce_file_format=True)
    return list(files)


def _check(folder: Path, volume: Volume, labels: np.ndarray, patient: str, name: str) -> None:
    check_labels(labels, volume.hu.shape, name)
    if volume.hu.dtype != np.int16 or not volume.hu.size:
        raise BadSeries(
            "pixels of the wrong type",
            where=name,
            found=Fact(f"{volume.hu.dtype} {volume.hu.shape}"),
            expected="int16 Hounsfield units, at least one voxel",
        )
    direction = np.asarray(volume.direction)
    if abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise BadSeries(
            "axes that are not at right angles",
            where=name,
            found=direction.round(4).tolist(),
            expected="an orthonormal direction",
            fix="Resample the volume onto a straight grid first.",
        )
    if len(volume.sop_instance_uids) not in (0, len(volume.hu)):
        raise BadSeries(
            "source images for another number of slices",
            where=name,
            found=len(volume.sop_instance_uids),
            expected=f"{len(volume.hu)}, or none",
        )
    if not 0 < len(patient) < _LONG_STRING or any(sign in patient + name for sign in "\\^="):
        raise BadSeries(
            "a pseudonym that DICOM cannot hold",
            where=name,
            found=repr(patient),
            expected=f"1 to {_LONG_STRING - 1} characters, none of \\ ^ =",
            fix="Choose another name in the sheet of scans.",
        )
    if folder.exists() and any(folder.iterdir()):
        raise BadSeries(
            "the folder is not empty, and its files would mix with the series", where=folder, fix="Choose another."
        )


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
        "KVP": known.get("kvp", ""),
        # these are known of a patient on a table, not of a volume
        "PatientPosition": "",
        "Laterality": "",
    }
    if "slice_thickness_mm" in known:
        tags["SliceThickness"] = float(known["slice_thickness_mm"])
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
