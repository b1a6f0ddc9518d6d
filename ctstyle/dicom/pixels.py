"""Stored pixel values of one CT file, and their way to Hounsfield units (DICOM PS3.3, C.7.6.3, C.8.2.1, C.11.1)."""

from collections.abc import Sequence

import numpy as np
from pydicom import uid
from pydicom.pixels import pixel_array

from ctstyle.dicom.geometry import missing_tag, numbers, tag_name
from ctstyle.dicom.index import DicomFile, TruncatedFile
from ctstyle.dicom.volume import AIR_HU
from ctstyle.errors import CTStyleError

DECODING_PLUGIN = {
    uid.RLELossless: "pylibjpeg",
    uid.JPEG2000Lossless: "gdcm",
    uid.JPEG2000: "gdcm",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGBaseline8Bit: "pylibjpeg",
    uid.JPEGExtended12Bit: "pylibjpeg",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
}
"""The decoder of each compressed transfer syntax, fixed so that the same file gives the same voxels everywhere."""
HOUNSFIELD_TYPES = ("", "HU", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS", "HOUNSFIELD_UNIT")
"""Spellings of RescaleType that mean Hounsfield units; absent means them too (PS3.3, C.11.1.1.2)."""
DISPLAY_MAXIMUM = 255
"""The white of a display export; its black is 0."""


class UnsupportedPixels(CTStyleError):
    """Pixel data in a form that is no CT slice, or in an unknown transfer syntax."""


class MissingRescale(CTStyleError):
    """RescaleSlope or RescaleIntercept is missing, so that no Hounsfield value can be known."""


class NotHounsfield(CTStyleError):
    """The values are no Hounsfield units, and no display export either."""


class DisplayExport(CTStyleError):
    """A display export: the display window is burnt into the pixel values and the Hounsfield units are lost."""


def stored_values(file: DicomFile) -> np.ndarray:
    """The decoded pixel values `[rows, columns]` of a file, signed or unsigned as stored, before any rescaling.

    MONOCHROME1 changes nothing here: it says how values are shown, not what they are. Raises TruncatedFile for pixel
    data that is missing or too short and UnsupportedPixels for colour or an unknown transfer syntax.
    """
    dataset = file.dataset()
    syntax = dataset.file_meta.get("TransferSyntaxUID") or uid.ImplicitVRLittleEndian
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise _unsupported(file, "SamplesPerPixel", dataset.get("SamplesPerPixel"), "1 (grey)")
    if syntax.is_compressed and syntax not in DECODING_PLUGIN and syntax != uid.DeflatedExplicitVRLittleEndian:
        raise _unsupported(file, "TransferSyntaxUID", syntax.name, "uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000")
    if "PixelData" not in dataset:
        raise _cut_off(file, "no PixelData (7FE0,0010)")
    dataset.file_meta.TransferSyntaxUID = syntax
    try:
        return pixel_array(dataset, raw=True, decoding_plugin=DECODING_PLUGIN.get(syntax, ""))
    except (ValueError, RuntimeError, EOFError, AttributeError) as error:
        raise _cut_off(file, f"{type(error).__name__}: {error}") from error


def hounsfield(stored: Sequence[np.ndarray], files: Sequence[DicomFile]) -> np.ndarray:
    """Hounsfield units, int16 `[z, rows, columns]`, of the slices of one series.

    Every slice is rescaled by its own slope and intercept; padding (PixelPaddingValue up to
    PixelPaddingRangeLimit, and whatever lies below -1024 HU) becomes air, -1024. Raises MissingRescale and
    NotHounsfield.
    """
    volume = np.empty((len(files), *stored[0].shape), np.int16)
    for k, (values, file) in enumerate(zip(stored, files, strict=True)):
        kind = str(file.header.get("RescaleType") or "").strip()
        if kind.upper().replace("HOUNDSFIELD", "HOUNSFIELD") not in HOUNSFIELD_TYPES:
            raise NotHounsfield(
                f"the values are no Hounsfield units; {tag_name('RescaleType')}",
                where=file.name,
                found=kind,
                expected="HU or no RescaleType",
                fix="Export the original CT series instead of this derived one.",
            )
        slope, intercept = rescale(file)
        hu = np.clip(np.rint(values * slope + intercept), AIR_HU, np.iinfo(np.int16).max)
        hu[padding(values, file)] = AIR_HU
        volume[k] = hu
    return volume


def rescale(file: DicomFile) -> tuple[float, float]:
    """RescaleSlope and RescaleIntercept of a slice. Raises MissingRescale."""
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        if file.header.get(keyword) in (None, ""):
            raise MissingRescale(
                f"{tag_name(keyword)} is missing: stored values cannot be turned into Hounsfield units",
                where=file.name,
                found="no value",
                expected="a number in every slice",
                fix="Export the series again from its archive; a guessed intercept would shift every tissue.",
            )
    slope, intercept = (float(numbers(file, keyword, 1)[0]) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0:
        raise missing_tag(file, "RescaleSlope", "a slope other than 0")
    return slope, intercept


def padding(values: np.ndarray, file: DicomFile) -> np.ndarray:
    """Where a slice holds padding, bool `[rows, columns]` (PS3.3, C.7.5.1.1.2).

    The padding value is written unsigned in many signed files (GE: 63536 for -2000); it is read with the sign of the
    pixels.
    """
    first = file.header.get("PixelPaddingValue")
    if first is None or first == "":
        return np.zeros(values.shape, bool)
    limit = file.header.get("PixelPaddingRangeLimit")
    low, high = sorted(_as_stored(value, values.dtype) for value in (first, first if limit in (None, "") else limit))
    return (values >= low) & (values <= high)


def is_display_export(stored: Sequence[np.ndarray], files: Sequence[DicomFile]) -> bool:
    """Whether a display window is burnt into the values of a series.

    All of: slope 1 and intercept 0 in every slice; values within 0..255; and RescaleType US (unspecified) or ImageType
    DERIVED\\\\SECONDARY. A true CT with intercept 0 has air near -1000 and is none.
    """
    for file in files:
        derived = [str(value) for value in (file.header.get("ImageType") or ())][:2] == ["DERIVED", "SECONDARY"]
        if str(file.header.get("RescaleType") or "") != "US" and not derived:
            return False
        if rescale(file) != (1.0, 0.0):
            return False
    return all(values.min() >= 0 and values.max() <= DISPLAY_MAXIMUM for values in stored)


def display_export_error(file: DicomFile) -> DisplayExport:
    """The error for a display export that the configuration does not accept."""
    header = file.header
    return DisplayExport(
        f"a display export, its grey values are no Hounsfield units; {tag_name('RescaleType')}",
        where=file.name,
        found=f"{header.get('RescaleType') or 'none'}, ImageType {'/'.join(header.get('ImageType') or ())}, slope 1, "
        f"intercept 0, WindowCenter {header.get('WindowCenter')}, WindowWidth {header.get('WindowWidth')}",
        expected="HU",
        fix="Export the original series, or accept grey values as they are shown with the config key "
        "`slices: grey_values: as_display`.",
    )


def display_as_hounsfield(
    stored: Sequence[np.ndarray], files: Sequence[DicomFile], window_hu: tuple[float, float]
) -> np.ndarray:
    """Display values 0..255 laid linearly onto `window_hu` = (low, high), int16 `[z, rows, columns]`.

    MONOCHROME1 (white is 0) is turned round here, because these values are what the screen showed.
    """
    low, high = window_hu
    volume = np.empty((len(files), *stored[0].shape), np.int16)
    for k, (values, file) in enumerate(zip(stored, files, strict=True)):
        shown = values.astype(np.float64)
        if file.header.get("PhotometricInterpretation") == "MONOCHROME1":
            shown = DISPLAY_MAXIMUM - shown
        volume[k] = np.rint(low + shown / DISPLAY_MAXIMUM * (high - low))
    return volume


def _as_stored(value: int | str | bytes, dtype: np.dtype) -> int:
    number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)
    return int(np.array(number).astype(dtype))


def _unsupported(file: DicomFile, keyword: str, found: object, expected: str) -> UnsupportedPixels:
    return UnsupportedPixels(
        f"pixel data that cannot be read as a CT slice; {tag_name(keyword)}",
        where=file.name,
        found=found,
        expected=expected,
        fix="Export the series as CT Image Storage, uncompressed.",
    )


def _cut_off(file: DicomFile, found: str) -> TruncatedFile:
    return TruncatedFile(
        "the pixel data is cut off or damaged",
        where=file.name,
        found=found,
        expected=f"{file.header.get('Rows')} x {file.header.get('Columns')} pixels",
        fix="Copy or export the file again.",
    )
