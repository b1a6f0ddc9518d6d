"""Small valid CT series and segmentations written with pydicom alone, for tests to read and to break."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    SegmentationStorage,
    generate_uid,
)

AXIAL = (1, 0, 0, 0, 1, 0)
SAGITTAL = (0, 1, 0, 0, 0, -1)
SERIES_UID = "1.2.826.0.1.3680043.10.1.1"
FRAME_UID = "1.2.826.0.1.3680043.10.1.2"
NAME = "Mustermann^Erika"


def ct_slice(stored: np.ndarray, position: tuple[float, float, float], number: int = 1) -> FileDataset:
    """A CT slice whose stored values (int16 or uint16 `[rows, columns]`) are HU + 1024, with a patient's name."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(position), str(number)])
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = SERIES_UID, FRAME_UID
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, "ID-4711", "19500101"
    dataset.InstitutionName, dataset.AccessionNumber = "Sankt Nimmerlein", "ACC-0815"
    dataset.Manufacturer, dataset.ManufacturerModelName = "SIEMENS", "Sensation 64"
    dataset.KVP, dataset.ConvolutionKernel, dataset.Exposure = "120", ["Br38f", "3"], "200"
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = list(position), list(AXIAL)
    dataset.PixelSpacing, dataset.SliceThickness = [1.5, 1.5], 2.5
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    set_pixels(dataset, stored)
    return dataset


def set_pixels(dataset: Dataset, stored: np.ndarray) -> None:
    """Put stored values, signed or unsigned 16 bit, into a slice."""
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()


def ct_series(hu: np.ndarray, *, step_mm: float = 2.5, origin: tuple = (-10.0, -20.0, 30.0)) -> list[FileDataset]:
    """An axial series of HU `[z, rows, columns]`, signed, head-first order of files reversed to positions."""
    slices = []
    for k, plane in enumerate(hu):
        place = (origin[0], origin[1], origin[2] + k * step_mm)
        slices.append(ct_slice((plane + 1024).astype(np.int16), place, len(hu) - k))
    return slices


def write(slices: list[FileDataset], folder: Path, change: Callable[[int, FileDataset], None] | None = None) -> Path:
    """Save a series, after `change(k, slice)`, under names that say nothing about the order."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, dataset in enumerate(slices):
        if change is not None:
            change(k, dataset)
        dataset.save_as(folder / f"{(7 * k + 3) % 101:03d}.dcm", enforce_file_format=True)
    return folder


def enhanced(slices: list[FileDataset], number: int = 0) -> FileDataset:
    """The slices as the frames of one Enhanced CT Image (PS3.3, A.38): what they share once, the rest per frame."""
    first = slices[0]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = EnhancedCTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["enhanced", str(number)])
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = EnhancedCTImageStorage, meta.MediaStorageSOPInstanceUID
    for keyword in (
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "Modality",
        "PatientName",
        "PatientID",
        "Manufacturer",
        "ManufacturerModelName",
        "SamplesPerPixel",
        "PhotometricInterpretation",
    ):
        setattr(dataset, keyword, first[keyword].value)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)],
            CTImageFrameTypeSequence=[_item(FrameType=first.ImageType)],
            CTReconstructionSequence=[_item(ConvolutionKernel=first.ConvolutionKernel)],
            CTXRayDetailsSequence=[_item(KVP=first.KVP)],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=one.ImagePositionPatient)],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=one.ImageOrientationPatient)],
            PixelValueTransformationSequence=[
                _item(RescaleSlope=one.RescaleSlope, RescaleIntercept=one.RescaleIntercept, RescaleType="HU")
            ],
            CTExposureSequence=[_item(ExposureInmAs=float(one.Exposure))],
        )
        for one in slices
    ]
    set_pixels(dataset, first.pixel_array)
    dataset.NumberOfFrames = len(slices)
    dataset.PixelData = b"".join(one.PixelData for one in slices)
    return dataset


def random_hu(seed: int = 0, shape: tuple[int, int, int] = (5, 12, 10)) -> np.ndarray:
    """Any HU from air to bone."""
    return np.random.default_rng(seed).integers(-1024, 2000, shape).astype(np.int16)


def segmentation(frames: list[tuple[int, tuple, np.ndarray]], names: dict[int, str], **tags) -> FileDataset:
    """A binary DICOM-SEG of frames (segment number, position, mask `[rows, columns]`), stored one byte per pixel."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = SegmentationStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(len(frames))])
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = SegmentationStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID, dataset.FrameOfReferenceUID = "SEG", "ID-4711", FRAME_UID
    dataset.SegmentationType, dataset.MaximumFractionalValue = "FRACTIONAL", 255
    dataset.SegmentSequence = [_item(SegmentNumber=number, SegmentLabel=name) for number, name in names.items()]
    measures = _item(PixelSpacing=[1.5, 1.5], SliceThickness=2.5)
    orientation = _item(ImageOrientationPatient=list(AXIAL))
    dataset.SharedFunctionalGroupsSequence = [
        _item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[orientation])
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=list(position))],
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=number)],
        )
        for number, position, _ in frames
    ]
    pixels = np.stack([mask for *_, mask in frames]).astype(np.uint8) * 255
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    return dataset


def _item(**values) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
