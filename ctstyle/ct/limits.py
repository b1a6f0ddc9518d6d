"""What no CT can be: sizes, places and values that are refused before memory is taken for them.

Whatever a library makes of a file's content leaves the reader as one named error (`named_errors`).
"""

import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctstyle.errors import CTStyleError, Fact

if TYPE_CHECKING:
    from ctstyle.ct.volume import Grid

PACKAGE = Path(__file__).resolve().parent.parent
OF_A_PROGRAM = (TypeError, AttributeError, NameError, ImportError, LookupError, AssertionError)
"""What a mistake in a line of this package raises. Libraries raise the same on damaged content."""

LARGEST_SIDE = 8192
"""Rows or columns of a slice; clinical CT has 512 to 2,048."""
LARGEST_FRAMES = 65_536
"""Frames of one multi-frame file."""
LARGEST_VOLUME_VOXELS = 2 << 30
"""Voxels of a volume: 4 GB of int16, 8,192 slices of 512 x 512."""
LARGEST_MEMBER_BYTES = 4 << 30
"""One file inside a zip."""
LARGEST_HEADER_BYTES = 512 << 20
"""Everything before the pixel data of a DICOM file, and the whole of a deflated one."""
LARGEST_RATIO = 1100
"""Bytes that one compressed byte may stand for; deflate cannot reach more than 1,032 (zlib's technical details)."""
USUAL_RATIO = 100
"""The same for members of a zip larger than `LARGE_MEMBER_BYTES`: a true CT holds noise and hardly reaches 10."""
LARGE_MEMBER_BYTES = 64 << 20
SMALLEST_SPACING_MM = 0.02
"""Between two voxels; cone-beam CT reaches 0.075 mm, and below lies micro-CT of specimens."""
LARGEST_SPACING_MM = 10.0
"""The same within a slice; a field of 700 mm in a matrix of 128 has 5.5 mm."""
LARGEST_STEP_MM = 50.0
"""Between two slices, or along the coarsest axis; old series of single scans have 10 to 20 mm."""
LARGEST_LENGTH_MM = 3000.0
"""Of the longest side of a volume; a table moves 2,000 to 2,500 mm."""
LARGEST_WIDTH_MM = 1200.0
"""Of the other two sides; a bore is 900 mm wide and an extended field 820."""
LARGEST_POSITION_MM = 100_000.0
"""A coordinate of the patient or of a contour; tables count from a zero in the same room."""
COSINE_TOLERANCE = 0.02
"""Products of axes may be this far from those of unit vectors at right angles: vendors round cosines."""
SMALLEST_SLOPE, LARGEST_SLOPE = 1e-7, 64.0
"""HU per stored unit: 1 in most files, 10 in extended scales, 16 in 8 bits, and 1e-6 where 32 bits hold the range."""
LARGEST_INTERCEPT_HU = 65_536.0
"""Either way; 0 to -10,240 are in use, and no word of 16 bits needs more."""
LARGEST_HU = 131_072.0
"""The largest word of 16 bits with the largest intercept. Metal in an extended scale has 30,000, padding up to this."""
LARGEST_OUTLINE_VOXELS = 1 << 26
"""Of the coarse planes that show the body, and of the weights of an axis: twice a body of 2,200 x 800 x 800 mm."""
LARGEST_CUT_VOXELS = 1 << 29
"""Of all slices cut from a scan: 1.5 GB with their labels, 2,000 slices of 512 x 512."""
LARGEST_PLANE_PX = 1 << 21
"""Of a slice as a generator sees it; a whole body at 1 mm has half of it."""


class AbsurdSize(CTStyleError):
    """A file claims a size that no CT has, or that it cannot hold."""


def absurd_size(what: str, *, where: object, found: object, expected: object) -> AbsurdSize:
    """The error for a claim that is not followed."""
    return AbsurdSize(
        what,
        where=where,
        found=found,
        expected=expected,
        fix="The file is damaged or made to exhaust memory; export the series again.",
    )


class OutOfBounds(CTStyleError):
    """A spacing, extent, position, direction, scale or value that no CT has, or that is no finite number."""


@dataclass(frozen=True)
class Fields:
    """What a file calls the numbers that place its voxels, for messages."""

    spacing: str
    position: str
    direction: str


def check_place(grid: "Grid", *, where: object, fields: Fields) -> None:
    """Raise OutOfBounds where no CT lies on this grid."""
    spacing, cosines = np.asarray(grid.spacing_mm, float), np.asarray(grid.direction, float)
    lengths = spacing * grid.shape[::-1]
    check_positions(grid.origin_mm, where=where, field=fields.position)
    *within, step = np.sort(spacing)
    # NaN is sorted to the end, and makes every comparison false
    if not (within[0] >= SMALLEST_SPACING_MM and within[1] <= LARGEST_SPACING_MM and step <= LARGEST_STEP_MM):
        raise out_of_bounds(
            f"a distance of voxels that no CT has; {fields.spacing}",
            where=where,
            found=_listed(spacing, " mm"),
            expected=f"{SMALLEST_SPACING_MM:g} to {LARGEST_SPACING_MM:g} mm, up to {LARGEST_STEP_MM:g} across slices",
        )
    *widths, length = np.sort(lengths)
    if not (widths[1] <= LARGEST_WIDTH_MM and length <= LARGEST_LENGTH_MM):
        raise out_of_bounds(
            f"a volume larger than any patient; {fields.spacing}",
            where=where,
            found=_listed(lengths, " mm"),
            expected=f"at most {LARGEST_LENGTH_MM:g} mm along one axis and {LARGEST_WIDTH_MM:g} mm along the others",
        )
    off = abs(cosines.T @ cosines - np.eye(3)).max() if np.isfinite(cosines).all() else np.inf
    if not off <= COSINE_TOLERANCE:
        raise out_of_bounds(
            f"axes that are no unit vectors at right angles; {fields.direction}",
            where=where,
            found=_listed(cosines.T.ravel()),
            expected="an orthonormal direction",
            fix="Resample the scan onto a straight grid, for example with dcm2niix, or export it again.",
        )


def check_positions(positions_mm: Iterable[float], *, where: object, field: str) -> None:
    """Raise OutOfBounds for a coordinate that is not finite or further away than any patient."""
    found = np.asarray(positions_mm, float)
    beyond = found[~(abs(found) <= LARGEST_POSITION_MM)]
    if beyond.size:
        raise out_of_bounds(
            f"a coordinate that no patient has; {field}",
            where=where,
            found=_listed(beyond[:3]),
            expected=f"at most {LARGEST_POSITION_MM:g} mm either way",
        )


def check_scale(slope: float, intercept: float, *, where: object, fields: tuple[str, str]) -> None:
    """Raise OutOfBounds for a slope or intercept (of these `fields`) by which no file keeps Hounsfield units."""
    if not SMALLEST_SLOPE <= abs(slope) <= LARGEST_SLOPE:
        raise out_of_bounds(
            f"a slope that no CT has; {fields[0]}",
            where=where,
            found=slope,
            expected=f"{SMALLEST_SLOPE:g} to {LARGEST_SLOPE:g}, mostly 1",
        )
    if not abs(intercept) <= LARGEST_INTERCEPT_HU:
        raise out_of_bounds(
            f"an intercept that no CT has; {fields[1]}",
            where=where,
            found=intercept,
            expected=f"-{LARGEST_INTERCEPT_HU:g} to {LARGEST_INTERCEPT_HU:g}, mostly -1024 or 0",
        )


def check_largest(hounsfield: float, *, where: object) -> None:
    """Raise OutOfBounds for a value above any that CT files hold, before it is clipped to 16 bits."""
    if not hounsfield <= LARGEST_HU:
        raise out_of_bounds(
            "values beyond every Hounsfield scale",
            where=where,
            found=hounsfield,
            expected=f"at most {LARGEST_HU:g} HU",
        )


def check_resampled(shape: Sequence[int], most: int) -> None:
    """Raise OutOfBounds where slices of `shape`, not yet resampled, have more than `most` pixels."""
    if math.prod(map(int, shape)) > most:
        raise OutOfBounds(
            "resampled slices larger than memory is taken for",
            where=Fact("slices: spacing_mm, size_px"),
            found=Fact(" x ".join(str(int(size)) for size in shape)),
            expected=f"at most {most} pixels",
            fix="Use a larger spacing_mm or a smaller size_px, or check the spacing of the scan.",
        )


def out_of_bounds(
    what: str,
    *,
    where: object,
    found: object,
    expected: str,
    fix: str = "The header is damaged; export the scan again from its archive.",
) -> OutOfBounds:
    """The error for a number that no CT has."""
    return OutOfBounds(what, where=where, found=found, expected=expected, fix=fix)


def _listed(numbers: Iterable[float], unit: str = "") -> Fact:
    return Fact(", ".join(f"{number:g}" for number in numbers) + unit)


def check_voxels(shape: tuple[int, ...], *, where: object) -> None:
    """Raise AbsurdSize where a volume of this shape has more than `LARGEST_VOLUME_VOXELS`."""
    if math.prod(map(int, shape)) > LARGEST_VOLUME_VOXELS:
        raise absurd_size(
            "a volume larger than any CT",
            where=where,
            found=Fact(f"{' x '.join(str(int(size)) for size in shape)} voxels"),
            expected=f"at most {LARGEST_VOLUME_VOXELS} (4 GB of int16)",
        )


class Unreadable(CTStyleError):
    """A file on which a library fails, or that the system does not hand out."""


@contextmanager
def named_errors(where: object) -> Iterator[None]:
    """Raise Unreadable for every exception inside but a CTStyleError and a mistake in a line of this package."""
    try:
        yield
    except CTStyleError:
        raise
    except Exception as error:
        if isinstance(error, OF_A_PROGRAM) and _raised_here(error):
            raise
        said = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        raise Unreadable(
            "the file cannot be read",
            where=where,
            found=" ".join(said.split())[:200],
            expected="a sound CT, or a mask of one",
            fix="Copy or export it again, or take it out of the sheet of scans.",
        ) from error


def reads_files(read: Callable) -> Callable:
    """Decorate a reader whose first argument is the file or folder: its errors have names (`named_errors`)."""

    @wraps(read)
    def reading(source, *others, **named):
        with named_errors(source):
            return read(source, *others, **named)

    return reading


def _raised_here(error: BaseException) -> bool:
    """Tell whether the line that raised lies in this package and not in a library."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return Path(frame.f_code.co_filename).resolve().is_relative_to(PACKAGE)
