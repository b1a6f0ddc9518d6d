"""Structure sets (RTSTRUCT) written with pydicom alone, for tests to read and to break."""

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from tests.dicom_series import FRAME_UID, _item


def structure_set(rois: dict[str, list[np.ndarray]], **tags) -> FileDataset:
    """An RTSTRUCT: the closed planar contours (points `[n, 3]` in mm) of every ROI by its name, numbered from 1."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = RTStructureSetStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=list(rois))
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID = "RTSTRUCT", "ID-4711"
    dataset.StructureSetROISequence = [
        _item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=FRAME_UID)
        for number, name in enumerate(rois, start=1)
    ]
    dataset.ROIContourSequence = [
        _item(ReferencedROINumber=number, ContourSequence=[contour(points) for points in contours])
        for number, contours in enumerate(rois.values(), start=1)
    ]
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    return dataset


def contour(points: np.ndarray, kind: str = "CLOSED_PLANAR") -> Dataset:
    """One contour, its coordinates written with 4 decimals."""
    values = [f"{value:.4f}" for value in np.asarray(points).ravel()]
    return _item(ContourGeometricType=kind, NumberOfContourPoints=len(points), ContourData=values)
