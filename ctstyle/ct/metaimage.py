"""Packed MetaImage files (.mha, .mhd): whether they unpack to the size that they claim.

MetaIO, by which SimpleITK reads them, writes beyond its memory where a packed volume holds more than its header says.
"""

import re
import zlib
from pathlib import Path

SUFFIXES = (".mha", ".mhd")
_LONGEST_HEADER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_PACKED = re.compile(rb"^\s*CompressedData\s*=\s*[Tt1]", re.MULTILINE)
_DATA_FILE = re.compile(rb"^\s*ElementDataFile\s*=\s*([^\r\n]*?)\s*?\r?\n", re.MULTILINE)


def unpacked_bytes(source: Path, most: int) -> int | None:
    """How many bytes a packed MetaImage file unpacks to, counted to one more than `most`; None where it is not packed.

    A stream that is damaged counts as far as it goes, one whose file is not there as nothing.
    """
    with source.open("rb") as stream:
        header = stream.read(_LONGEST_HEADER_BYTES)
    data_file = _DATA_FILE.search(header)
    if not _PACKED.search(header[: data_file.end() if data_file else None]):
        return None
    name = data_file[1].decode(errors="replace") if data_file else ""
    if name.lower() == "local":
        return _inflated(source, data_file.end(), most)
    if "\0" in name or not (source.parent / name).is_file():
        return 0
    return _inflated(source.parent / name, 0, most)


def _inflated(path: Path, start: int, most: int) -> int:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib or gzip
    size = 0
    with path.open("rb") as stream:
        stream.seek(start)
        while size <= most and not inflate.eof:
            data = inflate.unconsumed_tail or stream.read(_CHUNK_BYTES)
            if not data:
                break
            try:
                size += len(inflate.decompress(data, _CHUNK_BYTES))
            except zlib.error:
                break
    return min(size, most + 1)
