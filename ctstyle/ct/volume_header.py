"""The header of a volume file (NIfTI, NRRD, MetaImage) as it is written: the numbers that place its voxels.

SimpleITK puts 0 or 1 for a number that it cannot use, without a word, and MetaIO writes beyond its memory for some. So
they are checked before either reads them.
"""

import gzip
import math
import re
import struct
import zlib
from pathlib import Path

from ctstyle.ct.limits import LARGEST_STEP_MM, Fields, check_positions, check_scale, out_of_bounds

LONGEST_HEADER_BYTES = 1 << 20
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
    end = rb"\n\r?\n" if fields_of(source) is NRRD else rb"^\s*ElementDataFile\s*[=:][^\n]*\n"
    local = re.search(end, header, re.MULTILINE)
    return [
        (key.replace(b" ", b"").lower().decode(), text.decode(errors="replace"))
        for key, text in _LINE.findall(header[: local.end() if local else None])
    ]


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
