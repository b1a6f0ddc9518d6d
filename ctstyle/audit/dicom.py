"""The pixels of a DICOM file without a DICOM library: enough to tell an edited image from an edited tag.

Reads explicit and implicit VR little endian (DICOM PS3.5, chapter 7 and annex A). Compressed pixels are digested as
they stand, as the bytes between the length and the sequence delimiter.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
TRANSFER_SYNTAX, PIXEL_DATA = (0x0002, 0x0010), (0x7FE0, 0x0010)
ROWS, COLUMNS, PHOTOMETRIC = (0x0028, 0x0010), (0x0028, 0x0011), (0x0028, 0x0004)
BITS_ALLOCATED, PIXEL_REPRESENTATION = (0x0028, 0x0100), (0x0028, 0x0103)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_LONG_VR = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_UNDEFINED = 0xFFFFFFFF


class UnreadableDicom(ValueError):
    """Not a DICOM file that this reader understands."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """One data element: its tag and where its value lies; `after` is where the next one begins."""

    tag: tuple[int, int]
    begin: int
    end: int
    after: int


def pixel_sha256(data: bytes) -> str | None:
    """SHA-256 over the pixel data and what gives it its meaning; None for a file without pixels.

    The digested bytes are PixelData's value followed by `rows,columns,bits_allocated,pixel_representation,
    photometric_interpretation,transfer_syntax_uid` in ASCII, a missing tag as nothing. Raises UnreadableDicom.
    """
    try:
        return _pixel_sha256(data)
    except (struct.error, IndexError, RecursionError) as error:
        raise UnreadableDicom(f"the file ends within an element ({error})") from None


def _pixel_sha256(data: bytes) -> str | None:
    if data[128:132] != b"DICM":
        raise UnreadableDicom("no DICM at byte 128")
    syntax, start = "", 132
    for element in _elements(data, 132, explicit=True, group=0x0002):
        start = element.after
        if element.tag == TRANSFER_SYNTAX:
            syntax = _text(data, element)
    if syntax in ("", BIG_ENDIAN, DEFLATED):
        raise UnreadableDicom(f"transfer syntax {syntax or 'missing'}")
    found = {element.tag: element for element in _elements(data, start, explicit=syntax != IMPLICIT)}
    if PIXEL_DATA not in found:
        return None
    numbers = [
        str(struct.unpack_from("<H", data, found[tag].begin)[0]) if tag in found else ""
        for tag in (ROWS, COLUMNS, BITS_ALLOCATED, PIXEL_REPRESENTATION)
    ]
    photometric = _text(data, found[PHOTOMETRIC]) if PHOTOMETRIC in found else ""
    digest = hashlib.sha256(memoryview(data)[found[PIXEL_DATA].begin : found[PIXEL_DATA].end])
    digest.update(",".join([*numbers, photometric, syntax]).encode("ascii", "replace"))
    return digest.hexdigest()


def _text(data: bytes, element: Element) -> str:
    return data[element.begin : element.end].decode("ascii", "replace").strip(" \0")


def _elements(data: bytes, position: int, *, explicit: bool, group: int | None = None) -> Iterator[Element]:
    """The elements of a data set in their order, sequences as one element each; of one `group` if it is given."""
    while position < len(data):
        if group is not None and struct.unpack_from("<H", data, position)[0] != group:
            return
        element = _element(data, position, explicit)
        yield element
        position = element.after


def _element(data: bytes, position: int, explicit: bool) -> Element:
    tag = struct.unpack_from("<HH", data, position)
    vr = data[position + 4 : position + 6]
    if not explicit or tag[0] == 0xFFFE:
        (length,), begin = struct.unpack_from("<I", data, position + 4), position + 8
    elif vr in _LONG_VR:
        (length,), begin = struct.unpack_from("<I", data, position + 8), position + 12
    elif vr.isalpha():
        (length,), begin = struct.unpack_from("<H", data, position + 6), position + 8
    else:
        raise UnreadableDicom(f"no value representation at byte {position}")
    if length == _UNDEFINED and tag != _ITEM:
        end = _end_of_sequence(data, begin, explicit and vr != b"UN")
        return Element(tag=tag, begin=begin, end=end, after=end + 8)
    end = _end_of_item(data, begin, explicit) if length == _UNDEFINED else begin + length
    if end > len(data):
        raise UnreadableDicom(f"the value of {tag[0]:04x},{tag[1]:04x} runs past the end of the file")
    return Element(tag=tag, begin=begin, end=end, after=end + 8 if length == _UNDEFINED else end)


def _end_of_sequence(data: bytes, position: int, explicit: bool) -> int:
    """Where the delimiter of a sequence of undefined length stands; its items start at `position`."""
    return _find(data, position, _SEQUENCE_END, explicit)


def _end_of_item(data: bytes, position: int, explicit: bool) -> int:
    """Where the delimiter of an item of undefined length stands; its elements start at `position`."""
    return _find(data, position, _ITEM_END, explicit)


def _find(data: bytes, position: int, delimiter: tuple[int, int], explicit: bool) -> int:
    while struct.unpack_from("<HH", data, position) != delimiter:
        position = _element(data, position, explicit).after
    return position
