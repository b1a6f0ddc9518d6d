"""Whole small scans of every format with a mask, and damage that a reader may not notice: numbers no scanner writes.

A number makes one mutant, always the same. What `tests.mutants` does to bytes is done here too.
"""

import copy
import re
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from ctstyle.ct.limits import LARGEST_POSITION_MM
from tests.dicom_series import ct_series, enhanced, segmentation
from tests.dicom_structures import structure_set
from tests.mutants import mutate

SHAPE = (8, 24, 32)
SPACING, STEP = 1.5, 2.5
ORIGIN = (-10.0, -20.0, 30.0)
NUMBERS = (
    *("0", "-1", "1", "2", "3", "7", "NaN", "-NaN", "inf", "1e30", "-1e30", "1e9", "1e-9", "1000", "-1000", "1e300"),
    *("1e999", "65535", "32768", "-32769", "4294967295", "0.5", "-0", "", "abc", "9" * 40, "1" * 400, str(1 << 62)),
    *("100", str(LARGEST_POSITION_MM), "12.5", "0x10", "1,5", "\u0661"),
)
KEYWORDS = (
    *("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "RescaleSlope"),
    *("RescaleIntercept", "RescaleType", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "SamplesPerPixel", "NumberOfFrames", "ImageType"),
    *("PhotometricInterpretation", "Modality", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"),
    *("PatientID", "KVP", "Exposure", "ConvolutionKernel", "Manufacturer", "ManufacturerModelName"),
    *("GantryDetectorTilt", "WindowCenter"),
)
MASK_KEYWORDS = (
    *("SegmentNumber", "SegmentLabel", "ReferencedSegmentNumber", "ROINumber", "ReferencedROINumber", "ROIName"),
    *("ContourData", "ContourGeometricType", "NumberOfContourPoints", "PixelSpacing", "ImagePositionPatient"),
    *("ImageOrientationPatient", "SliceThickness", "SpacingBetweenSlices", "MaximumFractionalValue"),
    *("SegmentationType", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "PatientID", "FrameOfReferenceUID"),
)
NIFTI_FIELDS = {
    **{f"dim {k}": (40 + 2 * k, "h") for k in range(8)},
    **{f"pixdim {k}": (76 + 4 * k, "f") for k in range(8)},
    **{"datatype": (70, "h"), "bitpix": (72, "h"), "vox_offset": (108, "f"), "slope": (112, "f"), "inter": (116, "f")},
    **{"qform": (252, "h"), "sform": (254, "h")},
    **{f"form {k}": (256 + 4 * k, "f") for k in range(18)},
}


def body() -> tuple[np.ndarray, np.ndarray]:
    """HU of a body with a column of bone, and the labels of its three vertebrae."""
    rng = np.random.default_rng(0)
    _, y, x = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    inside = ((y - 11.5) / 10) ** 2 + ((x - 15.5) / 13) ** 2 < 1
    hu = np.where(inside, rng.normal(40, 20, SHAPE), -1000)
    labels = np.zeros(SHAPE, np.uint8)
    for k, label in enumerate((31, 30, 29)):
        labels[2 * k + 1 : 2 * k + 3, 12:18, 13:19] = label
    return np.where(labels > 0, hu + 300, hu).astype(np.int16), labels


def _image(values: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((SPACING, SPACING, STEP))
    image.SetOrigin(ORIGIN)
    return image


@cache
def _file(suffix: str, *, mask: bool = False, packed: bool = False) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        sitk.WriteImage(_image(body()[mask]), str(path), useCompression=packed)
        return path.read_bytes()


@cache
def _series() -> tuple[pydicom.Dataset, ...]:
    return tuple(ct_series(body()[0], step_mm=STEP, origin=ORIGIN))


def _place(k: int) -> tuple[float, float, float]:
    return (*ORIGIN[:2], ORIGIN[2] + k * STEP)


@cache
def _seg() -> pydicom.Dataset:
    labels = body()[1]
    names = {31: "L1", 30: "T12", 29: "T11"}
    return segmentation(
        [
            (label, _place(k), labels[k] == label)
            for label in names
            for k in range(SHAPE[0])
            if (labels[k] == label).any()
        ],
        {label: f"{name} vertebra" for label, name in names.items()},
    )


@cache
def _structures() -> pydicom.Dataset:
    square = np.array([[12, 12], [19, 12], [19, 18], [12, 18]]) * SPACING + ORIGIN[:2]
    return structure_set(
        {
            name: [np.column_stack([square, np.full(4, _place(k)[2])]) for k in planes]
            for name, planes in (("L1", (1, 2)), ("T12", (3, 4)), ("T11", (5, 6)))
        }
    )


def _bytes(dataset: pydicom.Dataset) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.dcm"
        dataset.save_as(path)
        return path.read_bytes()


def _set_in_text(data: bytes, rng: np.random.Generator) -> bytes:
    """A number of the header of an NRRD or MetaImage file is another one, or one line is gone or doubled."""
    end = min(len(data), 700)
    header, rest = data[:end], data[end:]
    if rng.random() < 0.2:
        lines = header.split(b"\n")
        k = int(rng.integers(1, max(min(len(lines) - 1, 14), 2)))
        lines[k : k + 1] = [] if rng.random() < 0.5 else [lines[k]] * 2
        return b"\n".join(lines) + rest
    found = list(re.finditer(rb"(?<=[ (,:])-?[0-9][0-9.e+-]*", header))[:30]
    one = found[int(rng.integers(len(found)))]
    return header[: one.start()] + _text(rng).encode() + header[one.end() :] + rest


def _set_in_nifti(data: bytes, rng: np.random.Generator) -> bytes:
    place, kind = list(NIFTI_FIELDS.values())[int(rng.integers(len(NIFTI_FIELDS)))]
    changed = bytearray(data)
    if kind == "h":
        struct.pack_into("<h", changed, place, int(rng.choice([0, -1, 1, 2, 3, 4, 5, 16, 64, 512, 32767, -32768])))
    else:
        number = float(rng.choice([0, -1, 1e30, -1e30, np.nan, np.inf, 1e9, 1e-9, 1000, 0.5, 352, 1e38, 5]))
        struct.pack_into("<f", changed, place, number)
    return bytes(changed)


def _set_in_dicom(datasets: list[pydicom.Dataset], keywords: tuple[str, ...], rng: np.random.Generator) -> None:
    """One tag of all data sets, wherever it lies in them, has another value, that of another tag, or is gone."""
    keyword = keywords[int(rng.integers(len(keywords)))]
    tag, kind = Tag(keyword), int(rng.integers(8))
    text, several = _text(rng).encode(errors="replace"), int(rng.integers(1, 7))
    other = Tag(keywords[int(rng.integers(len(keywords)))])
    for dataset in datasets:
        for holder in _holders(dataset, tag) or [dataset]:
            vr, old = _said(holder, tag)
            if kind == 0:
                holder.pop(tag, None)
            elif kind == 1:
                _put(holder, tag, vr, b"\\".join(_said(holder, other)[1]))
            elif vr in ("US", "SS"):
                _put(holder, tag, vr, struct.pack("<H", int(rng.choice([0, 1, 2, 8, 12, 17, 255, 32768, 65535]))))
            elif kind == 2 or len(old) < 2:
                _put(holder, tag, vr, b"\\".join([text] * several))
            else:
                old[several % len(old)] = text
                _put(holder, tag, vr, b"\\".join(old))


def _said(holder: pydicom.Dataset, tag: int) -> tuple[str, list[bytes]]:
    """The type and the values of a tag, none where an earlier change made nonsense of it."""
    element = holder.get_item(tag)
    if element is None or isinstance(element, RawDataElement):
        return ("DS", []) if element is None else (element.VR, (element.value or b"").split(b"\\"))
    value = element.value
    return element.VR, [
        str(one).encode() for one in (value if isinstance(value, pydicom.multival.MultiValue) else [value])
    ]


def _holders(dataset: pydicom.Dataset, tag: int) -> list[pydicom.Dataset]:
    found = [dataset] if tag in dataset else []
    for element in map(dataset.get_item, dataset.keys()):
        if element.VR == "SQ" and not isinstance(element, RawDataElement):
            found += [holder for item in element.value for holder in _holders(item, tag)]
    return found


def _put(holder: pydicom.Dataset, tag: int, kind: str, value: bytes) -> None:
    value += b" " * (len(value) % 2)
    holder[tag] = RawDataElement(tag, kind, len(value), value, 0, False, True)


def _text(rng: np.random.Generator) -> str:
    return NUMBERS[int(rng.integers(len(NUMBERS)))]


def _dicom(datasets: tuple[pydicom.Dataset, ...], keywords: tuple[str, ...], rng: np.random.Generator) -> list[bytes]:
    changed = [copy.deepcopy(dataset) for dataset in datasets]
    for _ in range(int(rng.integers(0, 3))):
        _set_in_dicom(changed, keywords, rng)
    try:
        return [_bytes(dataset) for dataset in changed]
    except (ValueError, TypeError, OverflowError, AttributeError):  # a nonsense that pydicom cannot write
        return [_bytes(dataset)[:-100] for dataset in datasets]


def _scan(folder: Path, rng: np.random.Generator, kind: str, *, damaged: bool) -> Path:
    if kind == "series":
        files = _dicom(_series(), KEYWORDS, rng) if damaged else list(map(_bytes, _series()))
        if damaged and rng.random() < 0.3:
            k = int(rng.integers(len(files)))
            files[k] = mutate(files[k], (), rng)
        if damaged and rng.random() < 0.1:
            del files[int(rng.integers(len(files)))]
        (folder / "ct").mkdir()
        for k, data in enumerate(files):
            (folder / "ct" / f"{k}.dcm").write_bytes(data)
        return folder / "ct"
    if kind == "enhanced":
        made = (enhanced(list(_series())),)
        data = _dicom(made, KEYWORDS, rng)[0] if damaged else _bytes(made[0])
        return _write(folder / "ct.dcm", data, rng, damaged)
    return _volume_file(folder / f"ct{kind}", rng, damaged=damaged)


def _volume_file(path: Path, rng: np.random.Generator, *, damaged: bool, mask: bool = False) -> Path:
    suffix = path.name[path.name.index(".") :]
    data = _file(suffix, mask=mask, packed=bool(rng.random() < 0.3) and suffix != ".nii")
    change: Callable = _set_in_nifti if suffix == ".nii" else _set_in_text
    if damaged and suffix != ".nii.gz":
        for _ in range(int(rng.integers(0, 3))):
            data = change(data, rng)
    return _write(path, data, rng, damaged)


def _write(path: Path, data: bytes, rng: np.random.Generator, damaged: bool) -> Path:
    path.write_bytes(mutate(data, (), rng) if damaged and rng.random() < 0.3 else data)
    return path


def _mask(folder: Path, rng: np.random.Generator, kind: str, *, damaged: bool) -> Path:
    if kind in ("seg", "rtstruct"):
        made = (_seg() if kind == "seg" else _structures(),)
        data = _dicom(made, MASK_KEYWORDS, rng)[0] if damaged else _bytes(made[0])
        return _write(folder / f"{kind}.dcm", data, rng, damaged)
    return _volume_file(folder / f"mask{kind}", rng, damaged=damaged, mask=True)


SCANS = ("series", "enhanced", ".nii", ".nii.gz", ".nrrd", ".mha")
MASKS = ("", "", ".nii", ".nrrd", "seg", "rtstruct")


def scan_mutant(number: int, folder: Path) -> tuple[str, Path, Path | None]:
    """What is damaged, the scan and its mask (None for a third of them) with this number; they lie in `folder`."""
    rng = np.random.default_rng([number, 20])
    scan, mask = SCANS[number % len(SCANS)], MASKS[number // len(SCANS) % len(MASKS)]
    in_mask = bool(mask) and rng.random() < 0.5
    path = _scan(folder, rng, scan, damaged=not in_mask)
    return f"{scan} with {mask or 'no mask'}", path, _mask(folder, rng, mask, damaged=in_mask) if mask else None
