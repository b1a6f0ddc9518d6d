"""Made archives for the sheet of scans: series of any identity, masks that refer to them, and planted personal data."""

import io
import zipfile
from pathlib import Path

import numpy as np
import SimpleITK
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from tests.dicom_series import ct_series, random_hu, segmentation

SHAPE = (5, 12, 10)


def uid(*parts: object) -> str:
    """A UID that is the same for the same parts."""
    return generate_uid(entropy_srcs=[" ".join(map(str, parts))])


def series(name: str, patient: str = "ID-4711", **tags) -> list[FileDataset]:
    """An axial CT series of five slices of its own; tags are set in every slice."""
    slices = ct_series(random_hu(shape=SHAPE))
    for dataset in slices:
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = uid("series", name), uid("study", patient)
        dataset.FrameOfReferenceUID, dataset.PatientID = uid("frame", name), patient
        dataset.SOPInstanceUID = uid(name, dataset.InstanceNumber)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
    return slices


def save(datasets: list[FileDataset], folder: Path, suffix: str = ".dcm", start: int = 0) -> Path:
    """Save datasets one by one into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets, start=start):
        dataset.save_as(folder / f"{number:03d}{suffix}", enforce_file_format=True)
    return folder


def pack(datasets: list[FileDataset], path: Path) -> Path:
    """Save datasets into a zip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number, dataset in enumerate(datasets):
            stream = io.BytesIO()
            dataset.save_as(stream, enforce_file_format=True)
            archive.writestr(f"a/{number:03d}", stream.getvalue())
    return path


def seg(slices: list[FileDataset], names: list[str], number: int = 0, **tags) -> FileDataset:
    """A DICOM-SEG with all pixels of every slice in each of its segments, drawn on a series."""
    mask = np.ones((slices[0].Rows, slices[0].Columns), np.uint8)
    frames = [
        (segment, tuple(one.ImagePositionPatient), mask) for segment in range(1, len(names) + 1) for one in slices
    ]
    dataset = segmentation(frames, dict(enumerate(names, start=1)))
    dataset.SOPInstanceUID = uid("seg", slices[0].SeriesInstanceUID, number)
    dataset.PatientID, dataset.FrameOfReferenceUID = slices[0].PatientID, slices[0].FrameOfReferenceUID
    dataset.ReferencedSeriesSequence = [_item(SeriesInstanceUID=slices[0].SeriesInstanceUID)]
    dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [
        _item(ReferencedSOPInstanceUID=one.SOPInstanceUID) for one in slices
    ]
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    return dataset


def rtstruct(slices: list[FileDataset], names: list[str]) -> FileDataset:
    """A structure set that names regions of a series; its contours play no part here."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = RTStructureSetStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = uid("rtstruct", slices[0].SeriesInstanceUID)
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID = "RTSTRUCT", slices[0].PatientID
    one = _item(SeriesInstanceUID=slices[0].SeriesInstanceUID)
    study = _item(RTReferencedSeriesSequence=[one])
    frame = _item(FrameOfReferenceUID=slices[0].FrameOfReferenceUID, RTReferencedStudySequence=[study])
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.StructureSetROISequence = [_item(ROINumber=k, ROIName=name) for k, name in enumerate(names, start=1)]
    return dataset


def volume(path: Path, values: np.ndarray, spacing: tuple = (1.0, 1.0, 2.0), origin: tuple = (0.0, 0.0, 0.0)) -> Path:
    """A volume file of values `[z, y, x]`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    SimpleITK.WriteImage(image, str(path))
    return path


def labels(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """A label volume of the shape of the made CT, one row for each value."""
    array = np.zeros(SHAPE, dtype)
    for row, value in enumerate(values):
        array[1:3, row % SHAPE[1], row // SHAPE[1]] = value
    return array


def _item(**values) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
