"""Sound files of every kind that the reader takes, and damage to them: a number makes one mutant, always the same."""

import gzip
import io
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.dicom_series import ct_series, enhanced, random_hu, segmentation, set_pixels

NUMBERS = (0, 1, 2, 3, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NOT_NUMBERS = (b"", b"\\", b"\\\\\\", b"nan", b"-inf", b"1e999", b"1_0", b"\0" * 16, b"\xff" * 16)
ODD_NUMBERS = (b"0", b"-1", b"99999999999", b"1e-300", b"1e300\\1e300\\1e300", b"1e300")
OTHER_VALUES = (b"YES", b"US", b"CT", b"SEG", b"DERIVED\\SECONDARY", b"1\\0\\0\\0\\1\\0", b"0\\0\\0\\0\\0\\0")
OTHER_UIDS = (b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.5")
TEXTS = NOT_NUMBERS + ODD_NUMBERS + OTHER_VALUES + OTHER_UIDS
TYPES = [*b"OB OW SQ UN DS IS US SS UI PN AT FD LT UT XX".split(), b"\0\0"]


def _bytes(dataset: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _slice(size: int = 32) -> pydicom.Dataset:
    return ct_series(random_hu(shape=(1, size, size)))[0]


def _in_syntax(syntax: str) -> bytes:
    dataset = _slice()
    other = pydicom.Dataset(dict(dataset.items()))
    other.file_meta, other.preamble = dataset.file_meta, b"\0" * 128
    other.file_meta.TransferSyntaxUID = syntax
    return _bytes(other)


def _compressed(syntax: str, plugin: str = "pylibjpeg") -> bytes:
    dataset = _slice(64)
    dataset.compress(syntax, encoding_plugin=plugin)
    return _bytes(dataset)


def recode(path: Path, syntax: str) -> None:
    """Compress a file in its place with GDCM, which has encoders that pydicom lacks."""
    import gdcm

    kinds = {JPEGLosslessSV1: "JPEGLosslessProcess14_1", JPEGBaseline8Bit: "JPEGBaselineProcess1"}
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kinds[syntax])))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def _by_gdcm(syntax: str) -> bytes:
    dataset = _slice()
    if syntax == JPEGBaseline8Bit:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        dataset.PixelData = bytes(range(256)) * 4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ct.dcm"
        dataset.save_as(path, enforce_file_format=True)
        recode(path, syntax)
        dataset.PixelData = encapsulate([get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return _bytes(dataset)


def _enhanced(syntax: str = "") -> bytes:
    dataset = enhanced(ct_series(random_hu(shape=(3, 32, 32))))
    if syntax:
        dataset.compress(syntax, encoding_plugin="pylibjpeg")
    return _bytes(dataset)


def _display() -> bytes:
    dataset = _slice(16)
    dataset.RescaleIntercept, dataset.RescaleType = 0, "US"
    set_pixels(dataset, np.arange(256, dtype=np.int16).reshape(16, 16))
    return _bytes(dataset)


def _segmentation() -> bytes:
    mask = np.zeros((12, 10), bool)
    mask[3:8, 2:7] = True
    frames = [(1, (-10.0, -20.0, 30.0 + 2.5 * k), mask) for k in range(5)]
    return _bytes(segmentation(frames, {1: "T12 vertebra"}))


def _volume_file(suffix: str, kind: type, *, compressed: bool) -> bytes:
    values = np.random.default_rng(0).integers(-1000, 1000, (4, 8, 8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"ct{suffix}"
        sitk.WriteImage(sitk.GetImageFromArray(values.astype(kind)), str(path), compressed)
        return path.read_bytes()


def _zip(data: bytes, method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo("ct.dcm"), data, method)
    return stream.getvalue()


KINDS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "raw": ("ct.dcm", lambda: _bytes(_slice())),
    "implicit": ("ct.dcm", lambda: _in_syntax(ImplicitVRLittleEndian)),
    "big endian": ("ct.dcm", lambda: _in_syntax(ExplicitVRBigEndian)),
    "deflated": ("ct.dcm", lambda: _in_syntax(DeflatedExplicitVRLittleEndian)),
    "display": ("ct.dcm", _display),
    "rle": ("ct.dcm", lambda: _compressed(RLELossless)),
    "jpeg 2000": ("ct.dcm", lambda: _compressed(JPEG2000Lossless)),
    "jpeg-ls": ("ct.dcm", lambda: _compressed(JPEGLSLossless, "pyjpegls")),
    "jpeg lossless": ("ct.dcm", lambda: _by_gdcm(JPEGLosslessSV1)),
    "jpeg": ("ct.dcm", lambda: _by_gdcm(JPEGBaseline8Bit)),
    "enhanced": ("ct.dcm", _enhanced),
    "enhanced rle": ("ct.dcm", lambda: _enhanced(RLELossless)),
    "seg": ("seg.dcm", _segmentation),
    "stored zip": ("ct.zip", lambda: _zip(_bytes(_slice()), zipfile.ZIP_STORED)),
    "deflated zip": ("ct.zip", lambda: _zip(_bytes(_slice()), zipfile.ZIP_DEFLATED)),
    "nifti": ("ct.nii", lambda: _volume_file(".nii", np.int16, compressed=False)),
    "nifti.gz": ("ct.nii.gz", lambda: _volume_file(".nii.gz", np.float32, compressed=True)),
    "nrrd": ("ct.nrrd", lambda: _volume_file(".nrrd", np.int16, compressed=False)),
    "nrrd gzip": ("ct.nrrd", lambda: _volume_file(".nrrd", np.int32, compressed=True)),
    "mha": ("ct.mha", lambda: _volume_file(".mha", np.float64, compressed=False)),
    "mha zlib": ("ct.mha", lambda: _volume_file(".mha", np.int16, compressed=True)),
}


@cache
def original(kind: str) -> bytes:
    """The sound file of a kind."""
    return KINDS[kind][1]()


@cache
def elements(kind: str) -> tuple[tuple[int, int, int], ...]:
    """Place and size of the length field, and length of the value, of the top-level elements of a DICOM file."""
    dataset = pydicom.dcmread(io.BytesIO(original(kind)), stop_before_pixels=True)
    found = []
    for element in map(dataset.get_item, dataset.keys()):
        if isinstance(element, RawDataElement):
            size = 4 if element.is_implicit_VR or element.VR in ("OB", "OW", "SQ", "UN", "UT") else 2
            found.append((element.value_tell - size, size, element.length))
    return tuple(found)


def mutate(data: bytes, places: tuple[tuple[int, int, int], ...], rng: np.random.Generator) -> bytes:
    """One to four changes of the bytes of a file; `places` are its elements, where they are known."""
    for _ in range(int(rng.integers(1, 5))):
        change = _CHANGES[int(rng.integers(len(_CHANGES) if places else _ANYWHERE))]
        changed = change(data, places, rng)
        # what follows may have moved
        places = places if len(changed) == len(data) else ()
        data = changed
    return data


def _flip(data: bytes, places, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    # headers are short beside pixels, and are where most can go wrong
    end = len(data) if rng.random() < 0.4 else min(len(data), 1500)
    for place in rng.integers(0, max(end, 1), rng.integers(1, 9)):
        changed[place : place + 1] = bytes([rng.integers(256)])
    return bytes(changed)


def _flip_bit(data: bytes, places, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(max(len(data), 1)))
    return (
        data[:place] + bytes(byte ^ (1 << int(rng.integers(8))) for byte in data[place : place + 1]) + data[place + 1 :]
    )


def _number(data: bytes, places, rng: np.random.Generator) -> bytes:
    place, size = int(rng.integers(max(len(data) - 4, 1))), int(rng.choice([1, 2, 4]))
    number = int(rng.choice(NUMBERS)) & ((1 << 8 * size) - 1)
    return data[:place] + number.to_bytes(size, str(rng.choice(["little", "big"]))) + data[place + size :]


def _cut(data: bytes, places, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _drop(data: bytes, places, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data) + 1))
    return data[:start] + data[start + int(rng.integers(1, 200)) :]


def _repeat(data: bytes, places, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 200))
    return data[: start + length] + data[start:]


def _value(data: bytes, places, rng: np.random.Generator) -> bytes:
    place, size, length = places[rng.integers(len(places))]
    value = TEXTS[rng.integers(len(TEXTS))]
    value += b" " * (len(value) % 2)
    start = place + size
    return data[:place] + len(value).to_bytes(size, "little") + value + data[start + length :]


def _value_of_same_length(data: bytes, places, rng: np.random.Generator) -> bytes:
    place, size, length = places[rng.integers(len(places))]
    value = (struct.pack("<I", int(rng.choice(NUMBERS))) * (length // 4 + 1))[:length]
    if rng.random() < 0.5:
        value = (TEXTS[rng.integers(len(TEXTS))] + b" " * length)[:length]
    start = place + size
    return data[:start] + value + data[start + length :]


def _length(data: bytes, places, rng: np.random.Generator) -> bytes:
    place, size, length = places[rng.integers(len(places))]
    number = int(rng.choice([int(rng.choice(NUMBERS)), length + 1, max(length - 1, 0), length + 2, 2 * length]))
    return data[:place] + (number & ((1 << 8 * size) - 1)).to_bytes(size, "little") + data[place + size :]


def _type(data: bytes, places, rng: np.random.Generator) -> bytes:
    place, size, _ = places[rng.integers(len(places))]
    start = place - (4 if size == 4 else 2)
    return data[:start] + TYPES[rng.integers(len(TYPES))] + data[start + 2 :]


_CHANGES = (_flip, _flip_bit, _number, _cut, _drop, _repeat, _value, _value_of_same_length, _length, _type)
_ANYWHERE = 6
"""So many of them need no elements."""


def mutant(number: int) -> tuple[str, str, bytes]:
    """Kind, file name and bytes of the mutant with this number; packed files are damaged inside or outside."""
    kind = list(KINDS)[number % len(KINDS)]
    rng = np.random.default_rng(number)
    name, data = KINDS[kind][0], original(kind)
    inside = rng.random() < 0.7
    if kind in ("stored zip", "deflated zip") and inside:
        method = zipfile.ZIP_STORED if kind == "stored zip" else zipfile.ZIP_DEFLATED
        return kind, name, _zip(mutate(original("raw"), elements("raw"), rng), method)
    if kind == "nifti.gz" and inside:
        return kind, name, gzip.compress(mutate(gzip.decompress(data), (), rng), mtime=0)
    if kind == "deflated" and inside:
        start = 144 + struct.unpack("<I", data[140:144])[0]
        pack = zlib.compressobj(wbits=-15)
        plain = mutate(zlib.decompress(data[start:], -15), (), rng)
        return kind, name, data[:start] + pack.compress(plain) + pack.flush()
    known = name.endswith(".dcm") and kind not in ("big endian", "deflated")
    return kind, name, mutate(data, elements(kind) if known else (), rng)
