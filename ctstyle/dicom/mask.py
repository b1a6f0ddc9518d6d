"""Read vertebra labels and lay them onto the grid of their CT by geometry, never by index."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctstyle.dicom.geometry import tag_name
from ctstyle.dicom.index import DicomFile, index
from ctstyle.dicom.labels import LABEL_MAPS, UNNAMED_VERTEBRA, lookup_table, segment_label
from ctstyle.dicom.read import VOLUME_SUFFIXES, read_image
from ctstyle.dicom.seg import read_frames, segment_names
from ctstyle.dicom.volume import Volume
from ctstyle.errors import CTStyleError

if TYPE_CHECKING:
    import SimpleITK


class NoMask(CTStyleError):
    """There is no segmentation in the place that was named, or more than one."""


class UnknownLabels(CTStyleError):
    """The mask holds no vertebra that its label map knows, or values that are no labels."""


class MaskOfAnotherPatient(CTStyleError):
    """Mask and CT name different patients."""


class MaskFrameOfReference(CTStyleError):
    """Mask and CT were acquired in different coordinate systems."""


class MaskElsewhere(CTStyleError):
    """Mask and CT do not overlap in space."""


class MaskShape(CTStyleError):
    """The mask covers only a part of the CT: beyond it nobody looked for vertebrae."""


def read_mask(source: Path | str, volume: Volume, label_map: str, *, mask_uid: str = "") -> np.ndarray:
    """Labels uint8 `[z, y, x]` on the grid of `volume`, in TotalSegmentator's ids (`labels.VERTEBRA_NAMES`).

    `source` is a NIfTI, NRRD or MHA file, a DICOM-SEG file, or a folder or zip with one DICOM-SEG among other files;
    `mask_uid` is its SOPInstanceUID where there are several.
    Labels are carried over by geometry with the nearest voxel; frames and axes may run either way. `label_map` is
    "totalsegmentator" or "verse" (numbers of a file; in a DICOM-SEG the names of the segments decide) or "vertebrae"
    (whatever is marked is a vertebra without a name, 255).

    Raises NoMask, UnknownLabels, MaskOfAnotherPatient (PatientID), MaskFrameOfReference (FrameOfReferenceUID),
    MaskElsewhere, MaskShape, and the errors of `index`, `seg` and `read.read_image`.
    """
    if label_map not in LABEL_MAPS:
        raise UnknownLabels("unknown label_map", where=source, found=label_map, expected=", ".join(LABEL_MAPS))
    source = Path(source)
    if source.name.lower().endswith(VOLUME_SUFFIXES):
        labels = _from_image(source, volume, label_map)
    else:
        with index(source) as found:
            labels = _from_seg(_single(found.segmentations, source, mask_uid), volume, label_map)
    if not labels.any():
        raise MaskElsewhere(
            "no label of the mask lies inside the CT",
            where=source,
            expected="vertebrae inside the CT",
            fix="Check that the mask was drawn on this scan.",
        )
    return labels


def resample_labels_to(image: "SimpleITK.Image", volume: Volume) -> np.ndarray:
    """Labels of a SimpleITK image on the grid of `volume`, uint8 `[z, y, x]`, nearest voxel; outside is 0."""
    import SimpleITK

    resampled = SimpleITK.Resample(
        image, volume.to_sitk(), SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, 0, SimpleITK.sitkUInt8
    )
    return SimpleITK.GetArrayFromImage(resampled)


def _from_image(source: Path, volume: Volume, label_map: str) -> np.ndarray:
    import SimpleITK

    image = read_image(source)
    values = SimpleITK.GetArrayFromImage(image)
    fractions = np.issubdtype(values.dtype, np.floating) and (values != np.rint(values)).any()
    if values.min() < 0 or values.max() > 255 or fractions:
        raise UnknownLabels(
            "values that are no labels",
            where=source,
            found=f"{values.min():g} to {values.max():g}",
            expected="whole numbers from 0 to 255",
            fix="Name the label file, not the image or a probability map.",
        )
    labels = lookup_table(label_map)[values.astype(np.uint8)]
    if not labels.any():
        present = np.unique(values).astype(int).tolist()
        raise UnknownLabels(
            "no vertebra in it",
            where=source,
            found=f"labels {present[:12]}",
            expected=f"ids of vertebrae by label_map {label_map}",
            fix="Correct label_map in the sheet of scans (totalsegmentator, verse or vertebrae).",
        )
    marked = SimpleITK.GetImageFromArray(labels)
    marked.CopyInformation(image)
    _check_field(marked, volume, source, sparse=False)
    return resample_labels_to(marked, volume)


def _from_seg(file: DicomFile, volume: Volume, label_map: str) -> np.ndarray:
    import SimpleITK

    _check_identity(file, volume)
    names = segment_names(file.header)
    if label_map == "vertebrae":
        labels = dict.fromkeys(names, UNNAMED_VERTEBRA)
    else:
        labels = {number: segment_label(name) for number, name in names.items()}
    if not any(labels.values()):
        raise UnknownLabels(
            f"no vertebra among the segments; {tag_name('SegmentLabel')}",
            where=file.name,
            found=", ".join(names.values()) or "no segment",
            expected="names as 'T12 vertebra' or 'vertebrae_T12'",
            fix="Set label_map to `vertebrae` in the sheet of scans if every segment is a vertebra.",
        )
    frames = read_frames(file, labels, volume)
    image = SimpleITK.GetImageFromArray(frames.labels)
    image.SetOrigin(frames.origin_mm)
    image.SetSpacing(frames.spacing_mm)
    image.SetDirection(frames.direction.ravel().tolist())
    _check_field(image, volume, file.name, sparse=True)
    return resample_labels_to(image, volume)


def _single(segmentations: list[DicomFile], source: Path, mask_uid: str) -> DicomFile:
    if mask_uid:
        segmentations = [file for file in segmentations if file.header.get("SOPInstanceUID") == mask_uid]
    if len(segmentations) != 1:
        raise NoMask(
            "not exactly one segmentation; Modality (0008,0060) SEG",
            where=source,
            found=f"{len(segmentations)}: {', '.join(file.name for file in segmentations)}".rstrip(": "),
            expected="one DICOM-SEG, or a NIfTI, NRRD or MHA file",
            fix="Name the file of the mask itself in the sheet of scans, or its SOPInstanceUID in the column mask_uid.",
        )
    return segmentations[0]


def _check_identity(file: DicomFile, volume: Volume) -> None:
    patient = str(file.header.get("PatientID") or "")
    if patient and volume.patient_id and patient != volume.patient_id:
        # the identifiers themselves stay out of messages and logs
        raise MaskOfAnotherPatient(
            f"the mask belongs to another patient; {tag_name('PatientID')}",
            where=file.name,
            found="another value than in the CT",
            expected="the value of the CT",
            fix="Pair the mask with the CT it was drawn on in the sheet of scans.",
        )
    frame = str(file.header.get("FrameOfReferenceUID") or "")
    if frame and volume.frame_of_reference_uid and frame != volume.frame_of_reference_uid:
        raise MaskFrameOfReference(
            f"the mask lies in another coordinate system; {tag_name('FrameOfReferenceUID')}",
            where=file.name,
            found=frame,
            expected=volume.frame_of_reference_uid,
            fix="Take the mask that was drawn on this series, or register and resample it first.",
        )


def _check_field(image: "SimpleITK.Image", volume: Volume, where: object, *, sparse: bool) -> None:
    """Mask and CT must overlap, and the mask must reach over the CT (a sparse one only within its planes)."""
    shape = np.array(volume.hu.shape[::-1])
    spacing, direction = np.asarray(volume.spacing_mm), np.asarray(volume.direction)
    corners = np.array(list(product(*((0, size - 1) for size in shape)))) * spacing @ direction.T + volume.origin_mm
    inverse = np.linalg.inv(np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing())
    places = (corners - image.GetOrigin()) @ inverse.T
    low, high, size = places.min(axis=0), places.max(axis=0), np.array(image.GetSize())
    found = f"{_shape(size)} voxels of {_mm(image.GetSpacing())} mm at {_mm(image.GetOrigin())}"
    expected = f"{_shape(shape)} voxels of {_mm(spacing)} mm at {_mm(volume.origin_mm)}"
    if (high < -0.5).any() or (low > size - 0.5).any():
        raise MaskElsewhere(
            "mask and CT do not overlap",
            where=where,
            found=found,
            expected=expected,
            fix="Check that the mask was drawn on this scan, and that its file kept origin and direction.",
        )
    checked = slice(0, 2) if sparse else slice(0, 3)
    # grids resampled to other spacings end up to nearly a voxel short; one whole voxel short is another shape
    if (low < -0.95)[checked].any() or (high > size - 0.05)[checked].any():
        raise MaskShape(
            "the mask covers only a part of the CT",
            where=where,
            found=found,
            expected=expected,
            fix="Write the mask on the grid of the CT; voxels outside it would count as background.",
        )


def _shape(size: np.ndarray) -> str:
    return " x ".join(str(int(value)) for value in size)


def _mm(values) -> str:
    return "(" + ", ".join(f"{float(value):.3f}" for value in values) + ")"
