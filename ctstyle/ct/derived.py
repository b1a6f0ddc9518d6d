"""Write a volume that was made from CT as derived DICOM: an image per slice, and the vertebrae as a DICOM-SEG."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ctstyle.ct.instance import BadSeries, Series, check_labels, image, segmentation, uid
from ctstyle.ct.volume import Volume
from ctstyle.errors import Fact

_LONG_STRING = 64
"""Most characters of a value of the type LO (PS3.5, 6.2)."""


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
    or 255 (`labels.UNNAMED_VERTEBRA`), a segment each. UIDs follow from the names and the content, so that the same
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
