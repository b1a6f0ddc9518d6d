"""The header of a DICOM file: all tags before the pixel data, and where that begins.

Only as much of a file is read as its header takes, into memory of its own, so that a length written into a damaged file
can never ask for more than the file has.
"""

import io
import re
import struct
import zipfile
import zlib

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from ctstyle.ct.elements import END_OF_HEADER, plain_header, value
from ctstyle.ct.limits import LARGEST_HEADER_BYTES, absurd_size
from ctstyle.ct.members import Member, damaged_zip
from ctstyle.errors import CTStyleError, Fact

FIRST_READ_BYTES = 32 << 10
"""The headers of nearly all CT slices end before."""
PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\xe0\x7f\x09\x00", b"\xe0\x7f\x08\x00", b"\x7f\xe0\x00\x10")
"""PixelData (7FE0,0010) little endian, its double and float kin, and PixelData big endian."""
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
    OverflowError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on damaged bytes, according to where it meets them."""
DAMAGE_IN_MEMORY = (*DAMAGE, OSError)
"""The same where no file is read any more: a sequence that ends too early is an OSError to pydicom."""
_LOOKED_AT = ("ImageType", "Modality", "SeriesInstanceUID")
# TransferSyntaxUID (0002,0010) with the value "Deflated Explicit VR Little Endian"
_DEFLATED = re.compile(rb"\x02\x00\x10\x00.{4,8}\s*1\.2\.840\.10008\.1\.2\.1\.99", re.DOTALL)


class TruncatedFile(CTStyleError):
    """A DICOM file ends before its contents do."""


def read_header(member: Member) -> tuple[pydicom.Dataset, int | None] | None:
    """All tags before the pixel data and the byte at which the pixel data begins; None for a file that is not DICOM.

    The place is None where there is no pixel data, or where the file is deflated. Raises TruncatedFile, AbsurdSize and
    UnsafeArchive.
    """
    try:
        with member.open() as stream:
            data = stream.read(FIRST_READ_BYTES)
            # files written before the DICM preamble was required begin with their first tag, of group 0002 or 0008
            if data[128:132] != b"DICM" and data[:2] not in (b"\x02\x00", b"\x08\x00"):
                if member.name.lower().endswith(".dcm"):
                    raise _damaged(member, Fact(f"{len(data)} bytes or more without a DICOM header"))
                return None
            found = _parse(member, data) if len(data) >= member.size or _names_pixels(data) else None
            while found is None or (found[1] is None and len(data) < member.size):
                data = _read_on(member, stream, data)
                found = _parse(member, data)
    except zipfile.BadZipFile as error:
        raise damaged_zip(member.name, error) from error
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _damaged(member, f"{type(error).__name__}: {error}") from error
    return found


def _at_pixels(tag: int, vr: str | None, length: int) -> bool:
    # pydicom's own comparison of tags costs a fifth of the time to read a header
    return int(tag) >= END_OF_HEADER


def _names_pixels(data: bytes) -> bool:
    return any(tag in data for tag in PIXEL_TAGS)


def _read_on(member: Member, stream, data: bytes) -> bytes:
    """More of a file whose header did not end in `data`: up to the next place that looks like pixel data."""
    while len(data) < member.size:
        if len(data) >= LARGEST_HEADER_BYTES:
            raise absurd_size(
                "a DICOM header larger than any",
                where=member.name,
                found=Fact(f"more than {len(data)} bytes before PixelData (7FE0,0010)"),
                expected=f"at most {LARGEST_HEADER_BYTES}",
            )
        more = stream.read(min(max(len(data), 1 << 20), LARGEST_HEADER_BYTES - len(data)))
        if not more:
            raise EOFError("the file is shorter than its size says")
        data += more
        if _names_pixels(more):
            break
    return data


def _parse(member: Member, data: bytes) -> tuple[pydicom.Dataset, int | None] | None:
    """Header and place of the pixel data, or None where `data` is a beginning that does not hold all of the header."""
    whole = len(data) >= member.size
    deflated = DeflatedExplicitVRLittleEndian.encode() in data and _DEFLATED.search(data)
    if deflated:
        if not whole:
            return None
        _check_inflated(member, data)
    try:
        header, place = plain_header(data) or _any_header(data)
        # parsed lazily: damage shows here
        for keyword in _LOOKED_AT:
            value(header, keyword)
    except (*DAMAGE, OSError):
        if whole:
            raise
        return None
    if deflated or data[place : place + 4] not in PIXEL_TAGS:
        place = None
    if (
        not value(header, "Modality")
        and header.file_meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage
    ):
        if not whole:
            return None
        raise _damaged(member, Fact("no Modality (0008,0060)"))
    return header, place


def _any_header(data: bytes) -> tuple[pydicom.Dataset, int]:
    stream = io.BytesIO(data)
    header = read_partial(stream, stop_when=_at_pixels, force=True)
    header.buffer = None  # pydicom keeps the bytes it has parsed
    return header, stream.tell()


def _check_inflated(member: Member, data: bytes) -> None:
    """A deflated file must inflate to a sane size (PS3.5, A.5: all after the file meta information is deflated)."""
    start = 144 + int.from_bytes(data[140:144], "little")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    size, rest = 0, data[start:]
    while rest and not inflate.eof:
        size += len(inflate.decompress(rest, 1 << 20))
        rest = inflate.unconsumed_tail
        if size > LARGEST_HEADER_BYTES:
            raise absurd_size(
                "a deflated DICOM file that inflates without end; TransferSyntaxUID (0002,0010)",
                where=member.name,
                found=Fact(f"more than {size} bytes out of {len(data)}"),
                expected=f"at most {LARGEST_HEADER_BYTES}",
            )


def read_all(member: Member) -> pydicom.Dataset:
    """The whole file with its pixel data. Raises TruncatedFile and UnsafeArchive."""
    try:
        with member.open() as stream:
            return pydicom.dcmread(io.BytesIO(stream.read()), force=True)
    except zipfile.BadZipFile as error:
        raise damaged_zip(member.name, error) from error
    except DAMAGE as error:
        raise _damaged(member, f"{type(error).__name__}: {error}") from error


def _damaged(member: Member, found: str) -> TruncatedFile:
    return TruncatedFile(
        "the DICOM header is cut off or damaged",
        where=member.name,
        found=found,
        expected="a header with Modality (0008,0060)",
        fix="Copy or export the file again, or take it out of the folder if it is no part of the series.",
    )
