"""The decoder of each compressed transfer syntax, fixed so that the same file gives the same words everywhere.

What a frame says about itself is read first, so that no decoder is asked for more than the DICOM header promises.
"""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2K)
JPEG_LOSSLESS = (uid.JPEGLossless, uid.JPEGLosslessSV1)
JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
PYDICOM_PLUGIN = {
    uid.RLELossless: "pylibjpeg",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGBaseline8Bit: "pylibjpeg",
    uid.JPEGExtended12Bit: "pylibjpeg",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
}
"""The plugin of pydicom that decodes each, where pydicom does."""
LARGEST_TILES = 4096
"""Tiles of one JPEG 2000 frame; every tile has a decoder's state of its own."""
_START_OF_JPEG_2000 = b"\xff\x4f\xff\x51"
_START_OF_JPEG_LS_FRAME = 0xF7
_START_OF_FRAME = {*range(0xC0, 0xD0), _START_OF_JPEG_LS_FRAME} - {0xC4, 0xC8, 0xCC}
_MOST_BITS = 16
"""GDCM does not survive more."""
_HUFFMAN_TABLES = 0xC4
_START_OF_SCAN = 0xDA
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_END_OF_IMAGE = b"\xff\xd9"
_LONGEST_PADDING = 16
_RLE_GROWTH = 64
"""Two bytes of a PackBits run stand for at most 128 (PS3.5, G.3)."""


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
    decoders raise on damage (`files.DAMAGE`), and EOFError for coded pixels of JPEG lossless that end too early.
    """
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
    words = next(found)[0]
    if syntax in JPEG_LOSSLESS and _ends_early(frame, words, layout["bits_stored"]):
        raise EOFError("the coded pixels end too early")
    return words


def _ends_early(frame: bytes, words: np.ndarray, bits: int) -> bool:
    """Whether other bytes behind the coded pixels of JPEG lossless give other words.

    GDCM and libjpeg-turbo alike put zeros for what is missing, and say nothing.
    """
    import imagecodecs

    end = frame.rfind(_END_OF_IMAGE)
    longer = imagecodecs.jpeg8_decode(frame[:end] + b"\x55" * 64 + frame[end:])
    return bool(((longer.astype(np.uint16) ^ words.astype(np.uint16)) << (16 - bits)).any())
