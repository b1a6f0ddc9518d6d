"""The files of a folder, a zip, or one file alone, and the header of each that is DICOM.

Archives are read in place: nothing is unpacked, and a member whose name points out of the archive is refused. A length
written into a damaged DICOM file never asks for more than the file has.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.uid import MediaStorageDirectoryStorage

from ctstyle.ct.limits import (
    LARGE_MEMBER_BYTES,
    LARGEST_HEADER_BYTES,
    LARGEST_MEMBER_BYTES,
    LARGEST_RATIO,
    USUAL_RATIO,
    AbsurdSize,
    absurd_size,
)
from ctstyle.errors import CTStyleError, Fact

PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\xe0\x7f\x09\x00", b"\xe0\x7f\x08\x00", b"\x7f\xe0\x00\x10")
"""PixelData (7FE0,0010) little endian, its double and float kin, and PixelData big endian."""
_FIRST_PIXEL_TAG = 0x7FE00008
_FIRST_READ_BYTES = 32 << 10
"""The headers of nearly all CT slices end before."""
# TransferSyntaxUID (0002,0010) with the value "Deflated Explicit VR Little Endian"
_DEFLATED = re.compile(rb"\x02\x00\x10\x00.{4,8}\s*1\.2\.840\.10008\.1\.2\.1\.99", re.DOTALL)
DAMAGE = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    ArithmeticError,
    OSError,
    struct.error,
    zlib.error,
)
"""What pydicom and its decoders raise on damaged bytes. An OSError with a number is the system's and no damage."""


def tag_name(keyword: str) -> str:
    """A tag as people look it up: `RescaleSlope (0028,1053)`."""
    tag = pydicom.datadict.tag_for_keyword(keyword)
    return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


class SourceMissing(CTStyleError):
    """The folder or file of a scan does not exist or holds nothing."""


class UnsafeArchive(CTStyleError):
    """A zip is damaged, encrypted, or names members outside itself."""


class TruncatedFile(CTStyleError):
    """A DICOM file ends before its contents do."""


@dataclass(frozen=True)
class Member:
    """One file of a folder or zip: a name to print, its bytes, and a way to open it as a binary file."""

    name: str
    size: int
    open: Callable[[], Any]


@contextmanager
def members(source: Path) -> Iterator[list[Member]]:
    """The files of `source`, sorted by name; a zip stays open inside the `with` block.

    Raises SourceMissing, UnsafeArchive, and AbsurdSize for a member that claims more than it can hold.
    """
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.is_file())
        yield [Member(str(path), path.stat().st_size, partial(path.open, "rb")) for path in paths]
    elif not source.is_file():
        # pipes and devices would never end
        raise SourceMissing("no such file or folder", where=source, fix="Correct the path in the sheet of scans.")
    elif zipfile.is_zipfile(source):
        with _opened(source) as archive:
            infos = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
            for info in infos:
                _check(source, info)
            yield [Member(f"{source}!{info.filename}", info.file_size, partial(archive.open, info)) for info in infos]
    else:
        yield [Member(str(source), source.stat().st_size, partial(source.open, "rb"))]


def _opened(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except (zipfile.BadZipFile, RuntimeError, ValueError) as error:
        raise damaged_zip(source, error) from error


def damaged_zip(where: object, error: Exception) -> UnsafeArchive:
    """The error for a zip, or a member of one, that cannot be read."""
    return UnsafeArchive("damaged zip", where=where, found=str(error), fix="Copy the zip again.")


def _check(source: Path, info: zipfile.ZipInfo) -> None:
    where = f"{source}!{info.filename}"
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        fault = "a member's name points out of the archive"
    elif info.flag_bits & 1:
        fault = "a member is encrypted"
    elif info.header_offset < 0:
        fault = "a member lies before the beginning of the archive"
    else:
        # zipfile never reads beyond the claimed size, so what is checked here holds for the real one
        if info.file_size > LARGEST_MEMBER_BYTES:
            raise absurd_size(
                "a member of the zip is larger than any CT",
                where=where,
                found=Fact(f"{info.file_size} bytes"),
                expected=f"at most {LARGEST_MEMBER_BYTES}",
            )
        ratio = LARGEST_RATIO if info.file_size <= LARGE_MEMBER_BYTES else USUAL_RATIO
        if info.file_size > ratio * max(info.compress_size, 1):
            raise absurd_size(
                "a member of the zip is compressed more than a CT can be",
                where=where,
                found=Fact(f"{info.file_size} bytes out of {info.compress_size}"),
                expected=f"at most {ratio} times as many",
            )
        return
    raise UnsafeArchive(fault, where=where, fix="Pack the series again with plain file names.")


def read_header(member: Member) -> tuple[pydicom.Dataset, int | None] | None:
    """All tags before the pixel data and the byte at which the pixel data begins; None for a file that is not DICOM.

    The place is None where there is no pixel data, or where the file is deflated. Raises TruncatedFile, AbsurdSize and
    UnsafeArchive.
    """
    with _opened_member(member) as stream:
        data, found = b"", None
        while found is None:
            more = stream.read(min(max(len(data), _FIRST_READ_BYTES), LARGEST_HEADER_BYTES + 1 - len(data)))
            data += more
            # files written before the DICM preamble was required begin with their first tag, of group 0002 or 0008
            if data[128:132] != b"DICM" and data[:2] not in (b"\x02\x00", b"\x08\x00"):
                if member.name.lower().endswith(".dcm"):
                    raise _damaged(member, Fact(f"{len(data)} bytes or more without a DICOM header"))
                return None
            if len(data) > LARGEST_HEADER_BYTES:
                raise _absurd_header(
                    member, Fact(f"more than {LARGEST_HEADER_BYTES} bytes before PixelData (7FE0,0010)")
                )
            found = _parse(member, data, whole=len(data) >= member.size or not more)
    return found


def _parse(member: Member, data: bytes, *, whole: bool) -> tuple[pydicom.Dataset, int | None] | None:
    """Header and place of the pixel data, or None where `data` is a beginning that does not hold all of the header."""
    if _DEFLATED.search(data):
        if not whole:
            return None
        _check_inflated(member, data)
    stream = io.BytesIO(data)
    try:
        # an int: pydicom's own comparison of tags takes a fifth of the time
        header = read_partial(stream, stop_when=lambda tag, vr, length: int(tag) >= _FIRST_PIXEL_TAG, force=True)
        header.buffer = None  # pydicom keeps the bytes it has parsed
    except DAMAGE:
        if whole:
            raise
        return None
    end = stream.tell()
    place = end if data[end : end + 4] in PIXEL_TAGS else None
    if place is None and not whole:
        return None
    modality = header.get_item("Modality")
    known = modality is not None and modality.value
    if not known and header.file_meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage:
        raise _damaged(member, Fact("no Modality (0008,0060)"))
    return header, place


def _check_inflated(member: Member, data: bytes) -> None:
    """A deflated file must inflate to a sane size (PS3.5, A.5: all after the file meta information is deflated)."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    size, rest = 0, data[144 + int.from_bytes(data[140:144], "little") :]
    while rest and not inflate.eof:
        size += len(inflate.decompress(rest, 1 << 20))
        rest = inflate.unconsumed_tail
        if size > LARGEST_HEADER_BYTES:
            raise _absurd_header(member, Fact(f"a deflated file of more than {size} bytes out of {len(data)}"))


def _absurd_header(member: Member, found: Fact) -> AbsurdSize:
    return absurd_size(
        "a DICOM header larger than any", where=member.name, found=found, expected=f"at most {LARGEST_HEADER_BYTES}"
    )


def read_all(member: Member) -> pydicom.Dataset:
    """The whole file with its pixel data. Raises TruncatedFile and UnsafeArchive."""
    with _opened_member(member) as stream:
        return pydicom.dcmread(io.BytesIO(stream.read()), force=True)


@contextmanager
def _opened_member(member: Member) -> Iterator[BinaryIO]:
    """The file, opened; damage of its header or of its zip is a named error."""
    try:
        with member.open() as stream:
            yield stream
    except zipfile.BadZipFile as error:
        raise damaged_zip(member.name, error) from error
    except DAMAGE as error:
        raise_if_of_the_system(error)
        raise _damaged(member, f"{type(error).__name__}: {error}") from error


def raise_if_of_the_system(error: Exception) -> None:
    """Raise an OSError with a number again: the file could not be handed out, and is not damaged."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _damaged(member: Member, found: str) -> TruncatedFile:
    return TruncatedFile(
        "the DICOM header is cut off or damaged",
        where=member.name,
        found=found,
        expected="a header with Modality (0008,0060)",
        fix="Copy or export the file again, or take it out of the folder if it is no part of the series.",
    )
