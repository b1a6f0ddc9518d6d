"""Volume files (NIfTI, NRRD, MetaImage): their headers are checked before SimpleITK reads them.

SimpleITK puts 0 or 1 for a number that it cannot use, without a word, and MetaIO writes beyond its memory for some, and
where a packed volume holds more than its header says.
"""

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ctstyle.ct.files import SourceMissing, TruncatedFile
from ctstyle.ct.limits import (
    LARGEST_RATIO,
    LARGEST_STEP_MM,
    Fields,
    absurd_size,
    check_place,
    check_positions,
    check_scale,
    check_voxels,
    out_of_bounds,
    reads_files,
)
from ctstyle.ct.volume import Grid
from ctstyle.errors import CTStyleError, Fact

if TYPE_CHECKING:
    import SimpleITK

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Names of files that hold a whole volume and are read by SimpleITK."""
_DETACHED_SUFFIXES = (".nhdr", ".mhd")
"""Headers whose voxels lie in another file."""
LONGEST_HEADER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
NIFTI = Fields("pixdim", "qoffset or srow", "quatern or srow")
NRRD = Fields("spacings or space directions", "space origin", "space directions")
METAIMAGE = Fields("ElementSpacing", "Offset", "TransformMatrix")
READERS = {NIFTI: "NiftiImageIO", NRRD: "NrrdImageIO", METAIMAGE: "MetaImageIO"}
"""SimpleITK's reader of each format; left to itself it takes whichever likes the content."""
_MOST_AXES, _LONGEST_NAME = 10, 255
"""MetaIO has room for so many."""
_SPACINGS = ("pixdim", "spacings", "elementspacing", "elementsize")
_LINE = re.compile(rb"^[ \t]*([A-Za-z][A-Za-z ]*?)[ \t]*(?::(?!=)|=)[ \t]*([^\r\n]*?)[ \t]*\r?$", re.MULTILINE)
_PLACING = {
    *("spacings", "spacedirections", "spaceorigin", "elementspacing", "elementsize"),
    *("offset", "position", "origin", "transformmatrix", "rotation", "orientation"),
}
"""Fields of NRRD and MetaImage that hold numbers, in lower case and without blanks."""


class NotThreeDimensional(CTStyleError):
    """A volume file with another number of dimensions or with several values per voxel."""


def fields_of(source: Path) -> Fields:
    """What a format calls the numbers that place its voxels."""
    suffix = source.suffix.lower()
    return {".nrrd": NRRD, ".nhdr": NRRD, ".mha": METAIMAGE, ".mhd": METAIMAGE}.get(suffix, NIFTI)


def check_header(source: Path) -> None:
    """Raise OutOfBounds for a number of the header that is not finite, far beyond a patient, or no number.

    Spacings must be above 0. The slope of NIfTI may be 0 or NaN, which both mean that there is none.
    """
    if fields_of(source) is NIFTI:
        _check_nifti(source, _start(source))
        return
    if fields_of(source) is METAIMAGE:
        _check_metaimage(source, _start(source))
    fields = text_fields(source)
    for field, text in fields:
        if field in _PLACING:
            # an axis without a direction is one of several values for each voxel, which has its own error
            said = re.sub(r"[(),]" if ("dimension", "3") in fields else r"[(),]|none", " ", text).split()
            try:
                numbers = [float(one) for one in said]
            except ValueError:
                raise out_of_bounds(
                    f"a value that is no number; {field}", where=source, found=text[:80], expected="numbers"
                ) from None
            _check(source, field, numbers)


def text_fields(source: Path) -> list[tuple[str, str]]:
    """The fields of an NRRD or MetaImage header, their names in lower case and without blanks."""
    header = _start(source)
    return [
        (key.replace(b" ", b"").lower().decode(), text.decode(errors="replace"))
        for key, text in _LINE.findall(header[: _header_bytes(source, header)])
    ]


def _header_bytes(source: Path, header: bytes) -> int:
    end = rb"\n\r?\n" if fields_of(source) is NRRD else rb"^\s*ElementDataFile\s*[=:][^\n]*\n"
    found = re.search(end, header, re.MULTILINE)
    return found.end() if found else len(header)


def data_file(source: Path) -> Path | None:
    """The one file that holds the voxels of an NRRD or MetaImage header, None where it is the same or several."""
    fields = {} if fields_of(source) is NIFTI else dict(text_fields(source))
    name = fields.get("datafile", fields.get("elementdatafile", ""))
    if not name or "\0" in name or "%" in name or name.split()[0].upper() in ("LOCAL", "LIST"):
        return None
    return source.parent / name


def _start(source: Path) -> bytes:
    with source.open("rb") as stream:
        data = stream.read(LONGEST_HEADER_BYTES if fields_of(source) is not NIFTI else 512)
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.open(source) as stream:
            return stream.read(512)
    except (OSError, EOFError, zlib.error):
        return b""


def _check_nifti(source: Path, header: bytes) -> None:
    """Check what NIfTI-1 says: pixdim, the forms that are in use, slope and intercept (nifti1.h)."""
    if len(header) < 348:
        return
    order = "<" if 1 <= struct.unpack_from("<h", header, 40)[0] <= 7 else ">"
    _check(source, "pixdim", struct.unpack_from(f"{order}3f", header, 80))
    if header[344:347] not in (b"n+1", b"ni1"):
        return
    qform, sform = struct.unpack_from(f"{order}2h", header, 252)
    if qform > 0:
        _check(source, "quatern and qoffset", struct.unpack_from(f"{order}6f", header, 256))
    if sform > 0:
        _check(source, "srow", struct.unpack_from(f"{order}12f", header, 280))
    slope, intercept = struct.unpack_from(f"{order}2f", header, 112)
    if slope and not math.isnan(slope):
        check_scale(slope, intercept, where=source, fields=("scl_slope", "scl_inter"))


def _check_metaimage(source: Path, header: bytes) -> None:
    """Check the two fields with which a file can make MetaIO write beyond its memory."""
    axes = re.findall(rb"NDims\s*[=:]?\s*([^\r\n]*)", header)
    sound = all(re.fullmatch(rb"[0-9]{1,2}\s*", one) and 1 <= int(one) <= _MOST_AXES for one in axes)
    if not sound or any(len(name) > _LONGEST_NAME for name in re.findall(rb"Name\s*[=:]?\s*([^\r\n]*)", header)):
        raise out_of_bounds(
            "a header that no MetaImage file has; NDims, Name",
            where=source,
            found=b" ".join(axes).decode(errors="replace")[:80],
            expected=f"NDims from 1 to {_MOST_AXES}, Name of at most {_LONGEST_NAME} characters",
        )


def _check(source: Path, field: str, numbers: list[float] | tuple[float, ...]) -> None:
    if field in _SPACINGS and not all(0 < number <= LARGEST_STEP_MM for number in numbers):
        raise out_of_bounds(
            f"a distance of voxels that no CT has; {field}",
            where=source,
            found=list(numbers),
            expected=f"above 0 and at most {LARGEST_STEP_MM:g} mm",
        )
    check_positions(numbers, where=source, field=field)


@reads_files
def read_image(source: Path) -> "SimpleITK.Image":
    """A three-dimensional scalar image file as a SimpleITK image.

    Raises the errors of `image_reader`.
    """
    reader = image_reader(source)
    with _itk_errors(source):
        return reader.Execute()


@reads_files
def image_reader(source: Path) -> "SimpleITK.ImageFileReader":
    """A reader that knows the header of an image file and has read no voxel.

    The header is compared with the size of the file, and with what a CT can be, before memory is taken. Raises
    SourceMissing, TruncatedFile, AbsurdSize, OutOfBounds and NotThreeDimensional.
    """
    import SimpleITK

    if not source.is_file():
        raise SourceMissing("no such file", where=source, fix="Correct the path in the sheet of scans.")
    detached = data_file(source)
    if detached is not None and not detached.is_file():
        raise TruncatedFile(
            "the file that holds its voxels is missing", where=source, found=detached.name, fix="Copy both files again."
        )
    check_header(source)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(READERS[fields_of(source)])
    reader.SetFileName(str(source))
    with _itk_errors(source):
        reader.ReadImageInformation()
        _check_claim(source, reader)
    check_place(Grid.of_sitk(reader), where=source, fields=fields_of(source))
    return reader


@contextmanager
def _itk_errors(source: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        reason = (str(error).strip().splitlines() or ["no memory"])[-1].strip()
        raise TruncatedFile(
            "the file cannot be read", where=source, found=reason, expected="NIfTI, NRRD or MHA", fix="Copy it again."
        ) from error


def _check_claim(source: Path, reader: "SimpleITK.ImageFileReader") -> None:
    """What the header of a volume file claims must be a volume, of a size that a CT has and that the file can hold."""
    import SimpleITK

    if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        raise NotThreeDimensional(
            "not a volume of single values",
            where=source,
            found=Fact(f"{reader.GetDimension()} dimensions, {reader.GetNumberOfComponents()} values per voxel"),
            expected="3 dimensions, 1 value",
            fix="Store one three-dimensional volume per file.",
        )
    size = reader.GetSize()
    check_voxels(size, where=source)
    if not math.prod(size):
        raise TruncatedFile(
            "a volume without voxels",
            where=source,
            found=Fact(" x ".join(map(str, size))),
            expected="at least one along each axis",
            fix="Copy the file again.",
        )
    kind = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    claimed = math.prod(size) * next((bits // 8 for bits in (16, 32, 64) if f"{bits}-bit" in kind), 1)
    detached = data_file(source)
    held = (detached or source).stat().st_size
    if (detached or source.suffix.lower() not in _DETACHED_SUFFIXES) and claimed > LARGEST_RATIO * held:
        raise absurd_size(
            "a volume that its file cannot hold",
            where=source,
            found=Fact(f"{' x '.join(map(str, size))} voxels, {claimed} bytes"),
            expected=f"at most {LARGEST_RATIO} times the {held} bytes of the file",
        )
    if fields_of(source) is METAIMAGE:
        unpacked = _unpacked_bytes(source, claimed)
        if unpacked not in (None, claimed):
            raise TruncatedFile(
                "a packed volume of another size than its header says",
                where=source,
                found=Fact(f"{unpacked} bytes" if unpacked < claimed else f"more than {claimed} bytes"),
                expected=f"{claimed} bytes, {' x '.join(map(str, size))} voxels",
                fix="Copy the file again.",
            )


def _unpacked_bytes(source: Path, most: int) -> int | None:
    """How many bytes a packed MetaImage file unpacks to, counted to one more than `most`; None where it is not packed.

    A stream that is damaged counts as far as it goes.
    """
    if not any(name == "compresseddata" and text[:1] in ("T", "t", "1") for name, text in text_fields(source)):
        return None
    detached = data_file(source)
    start = _header_bytes(source, _start(source)) if detached is None else 0
    return _inflated(detached or source, start, most)


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
