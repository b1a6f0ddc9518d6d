"""The elements of a plain DICOM header and their values, several times as fast as pydicom finds them.

Nearly all headers are plain: little endian, and every element has a length. What is found are pydicom's own raw
elements, and pydicom turns them into values when they are asked for; whatever is not plain is left to it as a whole.
The slices of a series say the same in most of their tags, so that equal bytes are turned into a value once.
"""

import struct
from functools import cache, lru_cache
from typing import Any

import pydicom
from pydicom import uid
from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement, convert_raw_data_element, empty_value_for_VR
from pydicom.dataset import FileMetaDataset
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

END_OF_HEADER = 0x7FE00008
"""FloatPixelData, the first of the tags that hold pixels."""
_START = 132
"""Preamble and `DICM`."""
_END_OF_META = 0x00030000
_ITEMS = 0xFFFE
"""The group of items and of the ends of sequences."""
_TYPES = {
    **{str(kind).encode(): (str(kind), 8) for kind in EXPLICIT_VR_LENGTH_16},
    **{str(kind).encode(): (str(kind), 12) for kind in EXPLICIT_VR_LENGTH_32},
}
"""Each value representation as bytes: its name, and the bytes before a value of it (PS3.5, 7.1.2)."""
_SHORT = frozenset(("AE", "AS", "CS", "DA", "DS", "IS", "LO", "SH", "TM", "UI", "US"))
"""Value representations whose values are short and mean the same in every data set; no names (PN)."""
_CHARACTER_SET = BaseTag(0x00080005)
_SYNTAX = BaseTag(0x00020010)
_UNDEFINED = 0xFFFFFFFF
_IMPLICIT_SYNTAXES = {
    str(syntax).encode(): syntax.is_implicit_VR
    for syntax in uid.AllTransferSyntaxes
    if syntax.is_little_endian and not syntax.is_deflated
}
"""Whether the elements of each plain transfer syntax are implicit."""
_EXPLICIT = struct.Struct("<HH2sH")
_IMPLICIT = struct.Struct("<HHL")
_LENGTH = struct.Struct("<L")


def plain_header(data: bytes) -> tuple[pydicom.Dataset, int] | None:
    """The header in `data` as pydicom reads it and the place of the pixel data; None where it is not plain.

    Not plain are: no preamble, another transfer syntax than the known little endian ones, elements or items of
    undefined length, unknown value representations, no pixel data, and damage of any kind.
    """
    if data[128:132] != b"DICM":
        return None
    meta: dict[BaseTag, RawDataElement] = {}
    place = _read(data, _START, meta, implicit=False, end=_END_OF_META)
    if place is None or _SYNTAX not in meta:
        return None
    implicit = _IMPLICIT_SYNTAXES.get((meta[_SYNTAX].value or b"").rstrip(b"\0 "))
    # where implicit looks like explicit, pydicom guesses
    if implicit is None or (implicit and data[place + 4 : place + 6].isalpha()):
        return None
    found: dict[BaseTag, RawDataElement] = {}
    place = _read(data, place, found, implicit=implicit, end=END_OF_HEADER)
    if place is None:
        return None
    header = pydicom.Dataset(found)
    encoding = default_encoding
    if _CHARACTER_SET in found:
        encoding = convert_encodings(convert_raw_data_element(found[_CHARACTER_SET]).value)
    header.set_original_encoding(implicit, True, encoding)
    header.file_meta = FileMetaDataset(meta)
    header.file_meta.set_original_encoding(False, True, default_encoding)
    return header, place


def _read(data: bytes, place: int, found: dict[BaseTag, RawDataElement], *, implicit: bool, end: int) -> int | None:
    """Put the elements from `place` on into `found`, and return the place of the first whose tag is not below `end`.

    None where there is none, or where an element is not plain.
    """
    lowest = 0x00020000 if end == _END_OF_META else 0x00080000
    while place <= len(data) - 12:
        if implicit:
            group, number, length = _IMPLICIT.unpack_from(data, place)
        else:
            group, number, letters, length = _EXPLICIT.unpack_from(data, place)
        tag = group << 16 | number
        if tag >= end:
            return place if group < _ITEMS else None
        kind, size = None, 8
        if not implicit:
            if letters not in _TYPES:
                return None
            kind, size = _TYPES[letters]
            if size == 12:
                length = _LENGTH.unpack_from(data, place + 8)[0]
        start = place + size
        place = start + length
        if length == _UNDEFINED or place > len(data) or tag < lowest:
            return None
        value = data[start:place] if length else empty_value_for_VR(kind, raw=True)
        key = _tag(tag)
        found[key] = RawDataElement(key, kind, length, value, start, implicit, True)
    return None


def value(dataset: pydicom.Dataset, keyword: str) -> Any:
    """The value of a tag as pydicom says it, None where it is missing. Raises what pydicom raises on damage."""
    tag = tag_of(keyword)
    element = dataset.get_item(tag, keep_deferred=True)
    if isinstance(element, RawDataElement) and (element.VR or _kind(tag)) in _SHORT:
        encoding = dataset.original_character_set or default_encoding
        # all but where it lies in its file, which does not change what it says
        return _value(
            *(tag, element.VR, element.length, element.value, element.is_implicit_VR, element.is_little_endian),
            encoding if isinstance(encoding, str) else tuple(encoding),
        )
    return None if element is None else dataset[tag].value


@lru_cache(maxsize=1024)
def _value(
    tag: BaseTag, kind: str | None, length: int, data: bytes, implicit: bool, little: bool, encoding: str | tuple
) -> Any:
    element = RawDataElement(tag, kind, length, data, 0, implicit, little)
    return convert_raw_data_element(element, encoding=encoding if isinstance(encoding, str) else list(encoding)).value


@cache
def tag_of(keyword: str) -> BaseTag:
    """The tag of a keyword."""
    return _tag(int(Tag(keyword)))


@lru_cache(maxsize=4096)
def _tag(number: int) -> BaseTag:
    """One and the same object for a tag: what is not identical, pydicom compares at length."""
    return BaseTag(number)


@lru_cache(maxsize=1024)
def _kind(tag: BaseTag) -> str:
    """The value representation that the dictionary has for a tag; empty for a private or unknown one."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""
