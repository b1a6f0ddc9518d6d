"""What the 16-bit words of a slice mean: the table from words to Hounsfield units, and whether they are any.

DICOM PS3.3, C.7.6.3, C.8.2.1 and C.11.1. CT is stored in words of 16 bits, so one table of 65,536 entries holds all of
it: unused bits, sign, slope, intercept, padding and rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ctstyle.ct.acquisition import image_type
from ctstyle.ct.files import tag_name
from ctstyle.ct.limits import LARGEST_HU, check_largest, check_scale
from ctstyle.ct.series import Slice, missing_tag
from ctstyle.ct.volume import AIR_HU
from ctstyle.errors import CTStyleError, Fact

HOUNSFIELD_TYPES = ("", "HU", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS", "HOUNSFIELD_UNIT")
"""Spellings of RescaleType that mean Hounsfield units; absent means them too (PS3.3, C.11.1.1.2)."""
DISPLAY_MAXIMUM = 255
"""The white of a display export; its black is 0."""


class MissingRescale(CTStyleError):
    """RescaleSlope or RescaleIntercept is missing, so that no Hounsfield value can be known."""


class NotHounsfield(CTStyleError):
    """The values are no Hounsfield units, and no display export either."""


class DisplayExport(CTStyleError):
    """A display export: the display window is burnt into the pixel values and the Hounsfield units are lost."""


class BurnedIn(CTStyleError):
    """Text is burnt into the pixels; it may name the patient."""


@dataclass(frozen=True)
class Scale:
    """What the 16-bit words of a slice mean: `bits` of them count, `signed` or not; then slope, intercept, padding.

    `padding` are PixelPaddingValue and PixelPaddingRangeLimit, in either order, or None.
    """

    bits: int
    signed: bool
    slope: float
    intercept: float
    padding: tuple[int, int] | None

    @classmethod
    def of(cls, one: Slice, bits: int) -> "Scale":
        """The scale of a slice with this many bits in use. Raises MissingRescale, MissingTag and OutOfBounds."""
        for keyword in ("RescaleSlope", "RescaleIntercept"):
            if one.get(keyword) is None:
                raise MissingRescale(
                    f"{tag_name(keyword)} is missing: stored values cannot be turned into Hounsfield units",
                    where=one.name,
                    found=Fact("no value"),
                    expected="a number in every slice",
                    fix="Export the series again from its archive; a guessed intercept would shift every tissue.",
                )
        slope, intercept = (float(one.needed(keyword)[0]) for keyword in ("RescaleSlope", "RescaleIntercept"))
        if slope == 0:
            raise missing_tag(one, "RescaleSlope", "a slope other than 0")
        check_scale(slope, intercept, where=one.name, fields=(tag_name("RescaleSlope"), tag_name("RescaleIntercept")))
        return cls(bits, one.needed_whole("PixelRepresentation", 0, 1) == 1, slope, intercept, _padding(one))


def _padding(one: Slice) -> tuple[int, int] | None:
    first = _word(one, "PixelPaddingValue")
    last = _word(one, "PixelPaddingRangeLimit")
    return None if first is None else (first, first if last is None else last)


def _word(one: Slice, keyword: str) -> int | None:
    """A tag as the 16-bit word it is stored as.

    Its VR depends on PixelRepresentation, and many signed files write it unsigned (GE: 63536 for -2000).
    """
    value = one.get(keyword)
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little")
    return None if value is None else one.needed_whole(keyword, -(1 << 15), (1 << 16) - 1) & 0xFFFF


def stored_values(bits: int, signed: bool) -> np.ndarray:
    """The value of each of the 65,536 words, int32: the lowest `bits` of it, as two's complement where `signed`."""
    words = np.arange(1 << 16, dtype=np.uint16) << np.uint16(16 - bits)
    return ((words.view(np.int16) if signed else words) >> (16 - bits)).astype(np.int32)


@lru_cache(maxsize=4)
def hounsfield_table(scale: Scale) -> np.ndarray:
    """Hounsfield units int16 of each of the 65,536 words; padding, and whatever lies below -1024 HU, is air, -1024."""
    return np.clip(np.rint(_rescaled(scale)), AIR_HU, np.iinfo(np.int16).max).astype(np.int16)


@lru_cache(maxsize=4)
def _rescaled(scale: Scale) -> np.ndarray:
    """Hounsfield units float64 of each of the 65,536 words, those of padding -1024.

    A padding value may need bits beyond those in use (-2000 in a file of 12 bits), so it is sought in the whole word
    too.
    """
    values = stored_values(scale.bits, scale.signed)
    hounsfield = values * scale.slope + scale.intercept
    if scale.padding is not None:
        whole = stored_values(16, scale.signed)
        low, high = sorted(whole[list(scale.padding)])
        hounsfield[((values >= low) & (values <= high)) | ((whole >= low) & (whole <= high))] = AIR_HU
    return hounsfield


def display_table(scale: Scale, inverted: bool, window_hu: tuple[float, float]) -> np.ndarray:
    """Display values 0..255 laid linearly onto `window_hu` = (low, high), int16 for each of the 65,536 words.

    MONOCHROME1 (white is 0) is turned round, `inverted`, because these values are what the screen showed.
    """
    shown = np.clip(stored_values(scale.bits, scale.signed), 0, DISPLAY_MAXIMUM)
    return onto_window(DISPLAY_MAXIMUM - shown if inverted else shown, window_hu)


def onto_window(shown: np.ndarray, window_hu: tuple[float, float]) -> np.ndarray:
    """Display values 0..255 laid linearly onto `window_hu` = (low, high), int16."""
    low, high = window_hu
    return np.rint(low + shown / DISPLAY_MAXIMUM * (high - low)).astype(np.int16)


def to_hounsfield(words: np.ndarray, scale: Scale, *, where: object = None) -> None:
    """Turn words uint16 into Hounsfield units int16 in their place. Raises OutOfBounds (`limits.check_largest`)."""
    limits = _limits(scale)
    if limits is not None:
        values = words.view(np.int16) if scale.signed else words
        np.clip(values, *map(values.dtype.type, limits), out=values)
        words += np.uint16(int(scale.intercept) & 0xFFFF)  # sums beyond the words wrap round to the same bits
        return
    if _rescaled(scale).max() > LARGEST_HU:
        check_largest(float(_rescaled(scale)[words].max()), where=where)
    translate(words, hounsfield_table(scale))


@lru_cache(maxsize=4)
def _limits(scale: Scale) -> tuple[int, int] | None:
    """The limits of the words where the table only limits them and adds the intercept, as most do; else None."""
    values, offset = stored_values(16, scale.signed), int(scale.intercept)
    low, high = (int(np.clip(hu - offset, values.min(), values.max())) for hu in (AIR_HU, np.iinfo(np.int16).max))
    return (low, high) if np.array_equal(np.clip(values, low, high) + offset, hounsfield_table(scale)) else None


def translate(words: np.ndarray, table: np.ndarray) -> None:
    """Put for each of the words uint16 its entry int16 of a table in its place."""
    # nothing to clip, but numpy buffers `out` in the other modes
    table.take(words.astype(np.intp), out=words.view(np.int16), mode="clip")


def check_hounsfield(slices: Sequence[Slice]) -> None:
    """Raise NotHounsfield for a slice whose RescaleType is another unit."""
    for one in slices:
        kind = one.text("RescaleType")
        if kind.upper().replace("HOUNDSFIELD", "HOUNSFIELD") not in HOUNSFIELD_TYPES:
            raise NotHounsfield(
                f"the values are no Hounsfield units; {tag_name('RescaleType')}",
                where=one.name,
                found=kind,
                expected="HU or no RescaleType",
                fix="Export the original CT series instead of this derived one.",
            )


def may_be_display_export(slices: Sequence[Slice], scales: Sequence[Scale]) -> bool:
    """Whether the tags of every slice leave it open that a display window is burnt into the values.

    Slope 1 and intercept 0, and RescaleType US (unspecified) or ImageType DERIVED\\SECONDARY.
    """
    return all(
        (scale.slope, scale.intercept) == (1, 0)
        and (one.text("RescaleType") == "US" or image_type(one)[:2] == ["DERIVED", "SECONDARY"])
        for one, scale in zip(slices, scales, strict=True)
    )


def is_display_export(words: np.ndarray, scales: Sequence[Scale]) -> bool:
    """Whether all stored values of such a series lie within 0..255; a true CT with intercept 0 has air near -1000."""
    for plane, scale in zip(words, scales, strict=True):
        values = stored_values(scale.bits, scale.signed)[plane]
        if values.min() < 0 or values.max() > DISPLAY_MAXIMUM:
            return False
    return True


def display_export_error(one: Slice) -> DisplayExport:
    """The error for a series of display exports that the configuration does not accept."""
    found = (
        f"{one.text('RescaleType') or 'none'}, ImageType {'/'.join(image_type(one))}, slope 1, intercept 0, "
        f"WindowCenter {one.get('WindowCenter')}, WindowWidth {one.get('WindowWidth')}"
    )
    return display_export(f"; {tag_name('RescaleType')}", where=one.name, found=found, expected="HU")


def display_export(field: str, *, where: object, found: object, expected: str) -> DisplayExport:
    """The error for grey values that the configuration does not accept; `field` is the tag that says so, if any."""
    return DisplayExport(
        f"a display export, its grey values are no Hounsfield units{field}",
        where=where,
        found=found,
        expected=expected,
        fix="Export or convert the original series, or accept grey values as they are shown with the config key "
        "`slices: grey_values: as_display`.",
    )


def burned_in(slices: Sequence[Slice]) -> str:
    """Whether text is burnt into any slice, by BurnedInAnnotation: "yes", "no", or "not said" where some do not say."""
    said = {one.text("BurnedInAnnotation").upper() for one in slices}
    if "YES" in said:
        return "yes"
    return "no" if said == {"NO"} else "not said"


def burned_in_error(slices: Sequence[Slice]) -> BurnedIn:
    """The error for a series with text in its pixels that the configuration does not accept."""
    marked = [one for one in slices if one.text("BurnedInAnnotation").upper() == "YES"]
    return BurnedIn(
        f"text is burnt into the pixels and may name the patient; {tag_name('BurnedInAnnotation')}",
        where=marked[0].name,
        found=Fact(f"YES in {len(marked)} of {len(slices)} slices"),
        expected="NO, or nothing said",
        fix="Take the series out, or look at it and accept it with the config key `slices: burned_in: accept`.",
    )
