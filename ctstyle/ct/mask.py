"""Read vertebra labels and lay them onto the grid of their CT by geometry, never by index."""

import re
from pathlib import Path

import numpy as np
import SimpleITK

from ctstyle.ct import rtstruct, seg
from ctstyle.ct.files import tag_name
from ctstyle.ct.index import DicomFile, index
from ctstyle.ct.labels import LARGEST_NUMBER, LabelMap, Segment, UnknownLabels, shortened
from ctstyle.ct.limits import reads_files
from ctstyle.ct.volume import Grid, LabelImage, Volume
from ctstyle.ct.volume_file import VOLUME_SUFFIXES, NotThreeDimensional, read_image
from ctstyle.errors import CTStyleError, Fact


class NoMask(CTStyleError):
    """There is no segmentation in the place that was named, or more than one."""


class MaskOfAnotherPatient(CTStyleError):
    """Mask and CT name different patients."""


class MaskFrameOfReference(CTStyleError):
    """Mask and CT were acquired in different coordinate systems."""


@reads_files
def read_mask(source: Path | str, volume: Volume, label_map: str, *, mask_uid: str = "") -> np.ndarray:
    """Labels uint8 `[z, y, x]` on the grid of `volume`, in TotalSegmentator's ids (`labels.VERTEBRA_NAMES`).

    `source` is a NIfTI, NRRD or MHA file, a DICOM-SEG or RTSTRUCT file, or a folder or zip with one of these among
    other files; `mask_uid` is its SOPInstanceUID where there are several. Labels are carried over by geometry with the
    nearest voxel, contours by `rtstruct.rasterise`; frames and axes may run either way. `label_map` is written as in
    `labels.LabelMap.parse`; segments and ROIs are told by their names and codes, also for "totalsegmentator" and
    "verse", and so are those of a 3D Slicer NRRD (`.seg.nrrd`) whose names tell a level.

    Raises NoMask, UnknownLabels, MaskOfAnotherPatient (PatientID), MaskFrameOfReference (FrameOfReferenceUID),
    MaskElsewhere, MaskShape (`volume.LabelImage`), and the errors of `index`, `seg`, `rtstruct`, `volume_file` and
    `limits`.
    """
    meaning = LabelMap.parse(label_map, where=source)
    source, grid = Path(source), volume.grid
    if source.name.lower().endswith(VOLUME_SUFFIXES):
        return _from_image(source, meaning).onto(grid)
    with index(source) as found:
        file = _single(found.segmentations + found.structure_sets, source, mask_uid)
        return _from_dicom(file, volume, grid, meaning).onto(grid)


def _from_image(source: Path, label_map: LabelMap) -> LabelImage:
    """The labels of a volume file by its numbers, or by the names that 3D Slicer gives them."""
    image = _read_label_image(source)
    values = SimpleITK.GetArrayFromImage(image)
    largest = LARGEST_NUMBER if label_map.kind == "id" else 255
    fractions = np.issubdtype(values.dtype, np.floating) and (values != np.rint(values)).any()
    if fractions or values.min() < 0 or values.max() > largest:
        raise UnknownLabels(
            "values that are no labels",
            where=source,
            found=Fact(f"{values.min():g} to {values.max():g}"),
            expected=f"whole numbers from 0 to {largest}",
            fix="Name the label file, not the image or a probability map.",
        )
    table = label_map.number_table()
    segments = _named_segments(image)
    levelled = any(segment.levels() for segment in segments)
    if label_map.kind == "name" or (levelled and label_map.kind in ("totalsegmentator", "verse")):
        if not segments:
            raise UnknownLabels(
                f"the file holds no names for label_map {label_map.form}",
                where=source,
                found=Fact(f"numbers {_present(values)}"),
                expected="an NRRD file of 3D Slicer with Segment0_Name, a DICOM-SEG or an RTSTRUCT",
                fix="List the numbers of the vertebrae in label_map, as id:1-24.",
            )
        table[:] = 0
        named = label_map.segment_labels(segments, where=source, told_by="Segment0_Name")
        table[list(named)] = list(named.values())
    labels = table[values.astype(np.uint16)]
    if not labels.any():
        raise UnknownLabels(
            "no vertebra in it",
            where=source,
            found=Fact(f"labels {_present(values)}"),
            expected=f"ids of vertebrae by label_map {label_map.form}",
            fix="Correct label_map in the sheet of scans (totalsegmentator, verse, vertebrae or id:NUMBERS).",
        )
    return LabelImage(labels=labels, grid=Grid.of_sitk(image), where=source)


def _read_label_image(source: Path) -> SimpleITK.Image:
    try:
        return read_image(source)
    except NotThreeDimensional as error:
        if not source.name.lower().endswith((".nrrd", ".nhdr")):
            raise
        raise NotThreeDimensional(
            "segments in layers over each other",
            where=source,
            found=error.found,
            expected="one layer: 3 dimensions, 1 value per voxel",
            fix="Collapse the layers in 3D Slicer (Segmentations, Binary labelmap layers), or export as DICOM-SEG.",
        ) from error


def _named_segments(image: SimpleITK.Image) -> list[Segment]:
    """The segments that 3D Slicer names in the header of an NRRD file (Segment0_Name, Segment0_LabelValue)."""
    keys = [key for key in image.GetMetaDataKeys() if re.fullmatch(r"Segment[0-9]+_(Name|LabelValue)", key)]
    texts = {key: image.GetMetaData(key).encode(errors="replace").decode().strip() for key in keys}
    segments = []
    for key, name in texts.items():
        number = texts.get(key.removesuffix("_Name") + "_LabelValue", "")
        if key.endswith("_Name") and re.fullmatch("[0-9]{1,5}", number) and 1 <= int(number) <= LARGEST_NUMBER:
            segments.append(Segment(int(number), (name,)))
    return segments


def _present(values: np.ndarray) -> str:
    return f"[{shortened(str(int(value)) for value in np.unique(values))}]"


def _from_dicom(file: DicomFile, volume: Volume, grid: Grid, label_map: LabelMap) -> LabelImage:
    """The labels of a DICOM-SEG or RTSTRUCT by the names and codes of its segments."""
    _check_patient(file, volume)
    if file.kind == "RTSTRUCT":
        labels = label_map.segment_labels(rtstruct.rois(file), where=file.name, told_by=tag_name("ROIName"))
        _check_frame_of_reference(file, volume, rtstruct.frames_of_reference(file, set(labels)))
        return rtstruct.rasterise(file, labels, grid)
    _check_frame_of_reference(file, volume, {file.tags.text("FrameOfReferenceUID")})
    labels = label_map.segment_labels(seg.segments(file), where=file.name, told_by=tag_name("SegmentLabel"))
    return seg.read_frames(file, labels, grid)


def _single(masks: list[DicomFile], source: Path, mask_uid: str) -> DicomFile:
    if mask_uid:
        masks = [file for file in masks if file.header.get("SOPInstanceUID") == mask_uid]
    if len(masks) != 1:
        raise NoMask(
            "not exactly one segmentation; Modality (0008,0060) SEG or RTSTRUCT",
            where=" and ".join(file.name for file in masks) or source,
            found=len(masks),
            expected="one DICOM-SEG or RTSTRUCT, or a NIfTI, NRRD or MHA file",
            fix="Name the file of the mask itself in the sheet of scans, or its SOPInstanceUID in the column mask_uid.",
        )
    return masks[0]


def _check_patient(file: DicomFile, volume: Volume) -> None:
    patient = file.tags.text("PatientID")
    if patient and volume.patient_id and patient != volume.patient_id:
        # the identifiers themselves stay out of messages and logs
        raise MaskOfAnotherPatient(
            f"the mask belongs to another patient; {tag_name('PatientID')}",
            where=file.name,
            found=Fact("another value than in the CT"),
            expected="the value of the CT",
            fix="Pair the mask with the CT it was drawn on in the sheet of scans.",
        )


def _check_frame_of_reference(file: DicomFile, volume: Volume, frames: set[str]) -> None:
    others = sorted(frames - {"", volume.frame_of_reference_uid})
    if others and volume.frame_of_reference_uid:
        raise MaskFrameOfReference(
            f"the mask lies in another coordinate system; {tag_name('FrameOfReferenceUID')}",
            where=file.name,
            found=f"{shortened(others)}, and {volume.frame_of_reference_uid} in the CT",
            expected="the value of the CT",
            fix="Take the mask that was drawn on this series, or register and resample it first.",
        )
