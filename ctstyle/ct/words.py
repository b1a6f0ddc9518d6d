"""The pixel data of a file as 16-bit words, uncompressed or decoded (DICOM PS3.5, 8 and annex A).

Compressed frames are decoded one at a time, each transfer syntax by one fixed decoder, so that the same file gives the
same words everywhere. What the header claims is compared with the file, and with what a frame says about itself, before
memory is taken or a decoder sees it.
"""

import io
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder

from ctstyle.ct.files import DAMAGE, TruncatedFile, damaged_zip, raise_if_of_the_system, tag_name
from ctstyle.ct.index import DicomFile
from ctstyle.ct.limits import LARGEST_FRAMES, LARGEST_RATIO, LARGEST_SIDE, absurd_size
from ctstyle.ct.series import Slice
from ctstyle.errors import CTStyleError, Fact

UNCOMPRESSED = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2K)
JPEG_LOSSLESS = (uid.JPEGLossless, uid.JPEGLosslessSV1)
JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
PYDICOM_PLUGIN = {
    **dict.fromkeys((uid.RLELossless, *JPEG_2000, uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit), "pylibjpeg"),
    **dict.fromkeys(JPEG_LOSSLESS, "gdcm"),
    **dict.fromkeys(JPEG_LS, "pyjpegls"),
}
"""The plugin of pydicom that decodes each, where pydicom does."""
LARGEST_TILES = 4096
"""Tiles of one JPEG 2000 frame; every tile has a decoder's state of its own."""
_START_OF_JPEG_2000 = b"\xff\x4f\xff\x51"
_START_OF_JPEG_LS_FRAME = 0xF7
_START_OF_FRAME = {*range(0xC0, 0xD0), _START_OF_JPEG_LS_FRAME} - {0xC4, 0xC8, 0xCC}
_MOST_BITS = 16
"""Of a pixel; GDCM, which reads such frames of segmentations, does not survive more."""
_HUFFMAN_TABLES = 0xC4
_START_OF_SCAN = 0xDA
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_END_OF_IMAGE = b"\xff\xd9"
_LONGEST_PADDING = 16
_RLE_GROWTH = 64
"""Two bytes of a PackBits run stand for at most 128 (PS3.5, G.3)."""
_REST_BYTES = 1 << 16


class UnsupportedPixels(CTStyleError):
    """Pixel data in a form that is no CT slice, or in an unknown transfer syntax."""


def bits_in_use(one: Slice) -> int:
    """How many bits of a slice's words count, from the lowest; the others may hold anything (old overlays).

    Words out of the decoders of JPEG, JPEG-LS and JPEG 2000 have none to spare: they come with their sign. Raises
    MissingTag and UnsupportedPixels.
    """
    allocated = one.needed_whole("BitsAllocated", 1, 64)
    if allocated not in (8, 16):
        raise _unsupported(one, "BitsAllocated", allocated, "16 (CT Image Storage), or 8")
    stored = one.needed_whole("BitsStored", 1, allocated)
    # CT must have the one below BitsStored (PS3.3, C.8.2.1.1.4)
    if one.get("HighBit") is not None and one.needed_whole("HighBit", 0, 64) != stored - 1:
        raise _unsupported(one, "HighBit", one.get("HighBit"), f"{stored - 1}, one less than BitsStored")
    return stored if _syntax(one) in (*UNCOMPRESSED, *JPEG_LOSSLESS, uid.RLELossless) else 16


def check_claim(file: DicomFile) -> None:
    """Raise TruncatedFile or AbsurdSize where a file cannot hold the pixels that its header claims."""
    one = Slice.of_file(file)
    frames, rows, columns = _shape(one)
    claimed = frames * rows * columns * one.needed_whole("BitsAllocated", 8, 16) // 8
    held = file.member.size - (file.pixels_at or 0)
    if file.pixels_at is not None and _syntax(one) in UNCOMPRESSED:
        if held < claimed:
            raise _cut_off(one, Fact(f"{held} bytes"), f"{claimed} bytes of pixel data")
    elif claimed > LARGEST_RATIO * held:
        raise absurd_size(
            f"more pixels than the file can hold; {tag_name('Rows')}, {tag_name('Columns')}",
            where=file.name,
            found=Fact(f"{frames} x {rows} x {columns} pixels in {held} bytes"),
            expected=f"at most {LARGEST_RATIO} bytes out of one",
        )


def read_words(file: DicomFile, out: Sequence[np.ndarray]) -> None:
    """Read the frames of a file, in their order, into as many arrays uint16 `[rows, columns]` of its words.

    A word holds what was stored, before masking, sign and rescaling (`pixels.Scale`). MONOCHROME1 changes nothing here:
    it says how values are shown, not what they are. Raises TruncatedFile for pixel data that is missing, damaged or too
    short, UnsupportedPixels for colour or an unknown transfer syntax, and AbsurdSize.
    """
    one = Slice.of_file(file)
    syntax = _syntax(one)
    for keyword, allowed in (
        ("SamplesPerPixel", ("1",)),
        ("PhotometricInterpretation", ("MONOCHROME1", "MONOCHROME2")),
    ):
        if one.text(keyword) not in ("", *allowed):
            raise _unsupported(one, keyword, one.get(keyword), " or ".join(allowed))
    bits_in_use(one)
    read = _read_uncompressed if syntax in UNCOMPRESSED else _read_compressed
    try:
        with panics_are_errors():
            read(one, syntax, out)
    except zipfile.BadZipFile as error:
        raise damaged_zip(file.name, error) from error
    except DAMAGE as error:
        raise_if_of_the_system(error)
        raise _cut_off(one, f"{type(error).__name__}: {error}") from error


@contextmanager
def panics_are_errors() -> Iterator[None]:
    """Turn a panic of a decoder written in Rust (RLE) into a RuntimeError: to Python it is no Exception.

    Nothing was harmed where one panics: Rust stops before it reads or writes beyond its memory.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # its module cannot be imported
            raise
        raise RuntimeError(str(error)) from error


def _syntax(one: Slice) -> uid.UID:
    """The transfer syntax: as the file says, or where it has no file meta information, as it was found to be."""
    syntax = one.file.header.file_meta.get("TransferSyntaxUID")
    if not syntax:
        implicit, little = one.file.header.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        return uid.ImplicitVRLittleEndian if implicit else explicit
    if not isinstance(syntax, uid.UID):
        syntax = uid.UID(str(syntax))
    if syntax not in UNCOMPRESSED and syntax not in PYDICOM_PLUGIN:
        raise _unsupported(one, "TransferSyntaxUID", syntax.name, "uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000")
    return syntax


def _shape(one: Slice) -> tuple[int, int, int]:
    """Frames, rows and columns of a file."""
    rows, columns = (one.needed_whole(keyword, 1, LARGEST_SIDE) for keyword in ("Rows", "Columns"))
    return one.frames(LARGEST_FRAMES), rows, columns


def _read_uncompressed(one: Slice, syntax: uid.UID, out: Sequence[np.ndarray]) -> None:
    frames, rows, columns = _shape(one)
    kind = np.dtype(np.uint8 if one.needed_whole("BitsAllocated", 8, 16) == 8 else np.uint16)
    size = rows * columns * kind.itemsize
    with _pixel_data(one, syntax) as (stream, word_type, length):
        if length < frames * size:
            raise _cut_off(one, Fact(f"PixelData (7FE0,0010) of {length} bytes"), f"{frames * size} bytes")
        for plane in out:
            stored = plane if kind == plane.dtype else np.empty((rows, columns), kind)
            read = stream.readinto(stored)
            if read < size:
                raise _cut_off(one, Fact(f"{read} bytes"), f"{size} bytes")
            if not syntax.is_little_endian and (kind.itemsize == 2 or word_type == b"OW"):
                stored.reshape(-1).view(np.uint16).byteswap(inplace=True)
            if stored is not plane:
                plane[:] = stored


@contextmanager
def _pixel_data(one: Slice, syntax: uid.UID) -> Iterator[tuple[Any, bytes, int]]:
    """PixelData: a file at its first byte, its VR (empty where implicit) and its length, 2^32 - 1 where undefined."""
    if one.file.pixels_at is None:
        data = one.file.dataset().get("PixelData") or b""  # deflated: its size was checked when it was indexed
        yield io.BytesIO(data), b"", len(data)
        return
    order: Literal["little", "big"] = "little" if syntax.is_little_endian else "big"
    with one.file.member.open() as stream:
        stream.read(one.file.pixels_at)  # no seek: a zip would stop checking its sum
        start = stream.read(8)
        if int.from_bytes(start[:2], order) != 0x7FE0 or int.from_bytes(start[2:4], order) != 0x0010:
            raise _unsupported(one, "PixelData", Fact("pixels of another kind"), "whole numbers")
        # no length is odd, so no length looks like these letters
        explicit = start[4:6] in (b"OW", b"OB", b"UN")
        length = int.from_bytes(stream.read(4) if explicit else start[4:8], order)
        yield stream, start[4:6] if explicit else b"", length
        # a zip checks its sum at the end of a member only
        while stream.read(_REST_BYTES):
            pass


def _read_compressed(one: Slice, syntax: uid.UID, out: Sequence[np.ndarray]) -> None:
    _, rows, columns = _shape(one)
    layout = {
        "rows": rows,
        "columns": columns,
        "bits_allocated": one.needed_whole("BitsAllocated", 8, 16),
        "bits_stored": one.needed_whole("BitsStored", 1, 16),
        "pixel_representation": one.needed_whole("PixelRepresentation", 0, 1),
    }
    read = 0
    for plane, frame in zip(out, _compressed_frames(one, syntax)):  # in this order: no frame beyond is looked at
        wrong = fault(frame, syntax, rows, columns, layout["bits_allocated"] // 8)
        if wrong:
            raise absurd_size(
                f"a compressed frame that does not fit its header; {tag_name('Rows')}, {tag_name('Columns')}",
                where=one.name,
                found=Fact(wrong),
                expected=f"{rows} x {columns} grey pixels",
            )
        values = decode(frame, syntax, layout)
        if values.shape != (rows, columns) or values.dtype.itemsize > 2:
            raise _cut_off(one, Fact(f"{values.shape} pixels of {values.dtype}"))
        # widened with their sign
        plane.view(np.int16 if values.dtype.kind == "i" else np.uint16)[:] = values
        read += 1
    if read < len(out):
        raise _cut_off(one, Fact(f"{read} frames"), f"{len(out)} frames")


def _compressed_frames(one: Slice, syntax: uid.UID) -> Iterator[bytes]:
    with _pixel_data(one, syntax) as (stream, _, length):
        data = stream.read()[:length]  # an undefined length is beyond every end
    tables = tuple(one.get(keyword) for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"))
    yield from generate_frames(
        data, number_of_frames=_shape(one)[0], extended_offsets=None if None in tables else tables
    )


def _unsupported(one: Slice, keyword: str, found: object, expected: str) -> UnsupportedPixels:
    return UnsupportedPixels(
        f"pixel data that cannot be read as a CT slice; {tag_name(keyword)}",
        where=one.name,
        found=found,
        expected=expected,
        fix="Export the series as CT Image Storage, uncompressed.",
    )


def _cut_off(one: Slice, found: str, expected: str = "") -> TruncatedFile:
    return TruncatedFile(
        "the pixel data is cut off or damaged",
        where=one.name,
        found=found,
        expected=expected or "{} x {} pixels".format(*_shape(one)[1:]),
        fix="Copy or export the file again.",
    )


def fault(frame: bytes, syntax: uid.UID, rows: int, columns: int, bytes_per_pixel: int) -> str:
    """What is wrong with a compressed grey frame of `rows` x `columns` before it is decoded; empty where nothing is.

    JPEG 2000: ITU-T T.800, A.5.1 (SIZ); JPEG and JPEG-LS: T.81, B.2.2 (SOF) and T.87, C.2.2. RLE (PS3.5, G.5) names no
    size: its segments must lie in the frame and be able to fill it.
    """
    if syntax == uid.RLELossless:
        return _rle_fault(frame, rows * columns, bytes_per_pixel)
    try:
        said = _jpeg_2000(frame) if syntax in JPEG_2000 else _jpeg(frame)
    except (struct.error, IndexError):
        said = None
    if said is None:
        return "a compressed frame without a sound header of its own"
    if said != (rows, columns, 1):
        return "a compressed frame of {} x {} pixels with {} components".format(*said)
    # CharLS reads on beyond the end of a stream that has none, and may never stop
    if syntax in JPEG_LS and _END_OF_IMAGE not in frame[-_LONGEST_PADDING:]:
        return "a JPEG-LS frame without an end (EOI)"
    return ""


def _jpeg_2000(frame: bytes) -> tuple[int, int, int] | None:
    start = frame.find(_START_OF_JPEG_2000)  # 0 in DICOM; later where a JP2 file was put in whole
    if start < 0:
        return None
    width, height, left, top, tile_width, tile_height = struct.unpack_from(">6I", frame, start + 8)
    components = struct.unpack_from(">H", frame, start + 40)[0]
    if not tile_width or not tile_height or -(-width // tile_width) * -(-height // tile_height) > LARGEST_TILES:
        return None
    return height - top, width - left, components


def _jpeg_segments(frame: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, beginning and end of what each segment of a JPEG frame says, up to its first scan (T.81, B.1.1.4)."""
    place = 2
    while frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if marker in _WITHOUT_LENGTH:
            place += 2
            continue
        end = place + 2 + struct.unpack_from(">H", frame, place + 2)[0]
        yield marker, place + 4, end
        if marker == _START_OF_SCAN:
            return
        place = end


def _jpeg(frame: bytes) -> tuple[int, int, int] | None:
    if frame[:2] != b"\xff\xd8":
        return None
    said, tables = None, False
    for marker, start, _ in _jpeg_segments(frame):
        if marker in _START_OF_FRAME:
            bits, height, width, components = struct.unpack_from(">BHHB", frame, start)
            if said or not 2 <= bits <= _MOST_BITS:
                return None
            said = height, width, components
            tables = marker == _START_OF_JPEG_LS_FRAME
        elif marker == _HUFFMAN_TABLES:
            tables = True
        elif marker == _START_OF_SCAN:
            return said if tables else None
    return None


def _rle_fault(frame: bytes, pixels: int, bytes_per_pixel: int) -> str:
    if len(frame) < 64:
        return "an RLE frame shorter than its header"
    segments, *offsets = struct.unpack("<16I", frame[:64])
    if segments != bytes_per_pixel:
        return f"an RLE frame of {segments} segments"
    ends = [*offsets[1:segments], len(frame)]
    for start, end in zip(offsets, ends):
        if not 64 <= start < end <= len(frame) or (end - start) * _RLE_GROWTH < pixels:
            return f"an RLE segment of bytes {start} to {end} in a frame of {len(frame)}"
    return ""


def decode(frame: bytes, syntax: uid.UID, layout: dict[str, Any]) -> np.ndarray:
    """The words of a grey frame without a `fault`, integers `[rows, columns]` of up to 16 bits.

    `layout` are rows, columns, bits_allocated, bits_stored and pixel_representation of the file. Raises what the
    decoders raise on damage (`files.DAMAGE`).
    """
    if syntax in JPEG_LOSSLESS:
        return _jpeg_lossless(frame)
    found = get_decoder(syntax).iter_array(
        encapsulate([frame]),
        raw=True,
        decoding_plugin=PYDICOM_PLUGIN[syntax],
        number_of_frames=1,
        photometric_interpretation="MONOCHROME2",
        samples_per_pixel=1,
        pixel_keyword="PixelData",
        **layout,
    )
    return next(found)[0]


def _jpeg_lossless(frame: bytes) -> np.ndarray:
    """The pixels of T.81, annex H, as stored, uint8 or uint16. Raises EOFError where they end too early.

    Decoders put zeros for what is missing and say nothing (GDCM and libjpeg alike). Of a whole frame, bytes between the
    coded pixels and the end of the image change nothing.
    """
    import imagecodecs

    end = frame.rfind(_END_OF_IMAGE)
    words, longer = (imagecodecs.jpeg8_decode(frame[:end] + more + frame[end:]) for more in (b"", b"\x55" * 64))
    if end < 0 or not np.array_equal(words, longer):
        raise EOFError("the coded pixels end too early")
    return words
