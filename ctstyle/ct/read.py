"""Read one CT series (DICOM in a folder or zip) or one volume file (NIfTI, NRRD, MHA) as Hounsfield units."""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctstyle.ct import metaimage, pixels, volume_header
from ctstyle.ct.acquisition import acquisition
from ctstyle.ct.boundary import reads_files
from ctstyle.ct.frames import slices_of
from ctstyle.ct.geometry import Grid, grid
from ctstyle.ct.index import DicomFile, SourceMissing, TruncatedFile, index
from ctstyle.ct.known import known_uid
from ctstyle.ct.limits import LARGEST_RATIO, absurd_size, check_place, check_voxels
from ctstyle.ct.suffixes import DETACHED_SUFFIXES, VOLUME_SUFFIXES
from ctstyle.ct.threads import reading_threads
from ctstyle.ct.volume import AIR_HU, Volume
from ctstyle.ct.words import bits_in_use, check_claim, read_words
from ctstyle.errors import CTStyleError, Fact

if TYPE_CHECKING:
    import SimpleITK

GREY_VALUES = ("reject", "as_display")
BURNED_IN = ("reject", "accept")


class NotThreeDimensional(CTStyleError):
    """A volume file with another number of dimensions or with several values per voxel."""


@reads_files
def read_volume(
    source: Path | str,
    *,
    series_uid: str = "",
    grey_values: str = "reject",
    burned_in: str = "reject",
    window_hu: tuple[float, float] = (-250, 750),
) -> Volume:
    """The CT volume of `source`: a folder or `.zip` with a DICOM series, or a NIfTI, NRRD or MHA file.

    `series_uid` names the series where a folder or zip holds several.

    Slices are sorted by their position along the normal; z grows along the normal. `hu` is int16, never below -1024.
    A display export (values 0..255 with the window burnt in) is refused where `grey_values` is "reject"; where it is
    "as_display" its values are laid linearly onto `window_hu` and the volume says `grey_values="display"`.

    The files of a series are read and decoded by as many threads as the job was given (`threads.reading_threads`), one
    file each at a time.

    Raises a CTStyleError of its own for each fault: SourceMissing, NoCT, MixedSeries, TruncatedFile, UnsafeArchive
    (`index`); MissingTag, MultiFrame, MixedOrientation, DuplicatedSlices, MissingSlices, UnequalSpacing, GantryTilt
    (`geometry`); UnsupportedPixels, MissingRescale, NotHounsfield, DisplayExport (`pixels`); NotThreeDimensional;
    AbsurdSize, OutOfBounds (`limits`); and Unreadable for all else that a file can do (`boundary`).
    """
    for key, value, allowed in (("grey_values", grey_values, GREY_VALUES), ("burned_in", burned_in, BURNED_IN)):
        if value not in allowed:
            raise CTStyleError("unknown value", where=f"slices: {key}", found=value, expected=" or ".join(allowed))
    source = Path(source)
    if source.name.lower().endswith(VOLUME_SUFFIXES):
        return _read_file(source, grey_values=grey_values, window_hu=window_hu)
    with index(source) as found:
        series = grid(slices_of(found.series(series_uid)))
        slices = series.slices
        annotated = pixels.burned_in(slices)
        if annotated == "yes" and burned_in == "reject":
            raise pixels.burned_in_error(slices)
        hu, shown = _hounsfield(series, grey_values, window_hu)
    return Volume(
        hu=hu,
        origin_mm=series.origin_mm,
        spacing_mm=series.spacing_mm,
        direction=series.direction,
        sop_instance_uids=tuple(known_uid(one.get("SOPInstanceUID")) for one in slices),
        acquisition=acquisition(slices),
        grey_values="display" if shown else "hounsfield",
        burned_in=annotated,
        frame_of_reference_uid=slices[0].text("FrameOfReferenceUID"),
        patient_id=slices[0].text("PatientID"),
    )


def _hounsfield(series: Grid, grey_values: str, window_hu: tuple[float, float]) -> tuple[np.ndarray, bool]:
    """The Hounsfield units of a series, int16 `[z, rows, columns]`, and whether it is a display export.

    Words become Hounsfield units in their place, file by file as they are read. Where the tags leave open whether a
    series is a display export, all words are read first.
    """
    slices = series.slices
    scales = [pixels.Scale.of(one, bits_in_use(one)) for one in slices]
    open_question = pixels.may_be_display_export(slices, scales)
    if not open_question:
        pixels.check_hounsfield(slices)
    hu = np.empty(_checked_shape(series), np.int16)
    words = hu.view(np.uint16)
    places = _places(series)

    def read(file: DicomFile) -> None:
        """Put the frames of a file in their places, as Hounsfield units where that is settled."""
        read_words(file, [words[k] for k in places[file]])
        if not open_question:
            for k in places[file]:
                pixels.to_hounsfield(words[k], scales[k], where=slices[k].name)

    _for_each(read, places)
    if not open_question:
        return hu, False
    shown = pixels.is_display_export(words, scales)
    if shown and grey_values == "reject":
        raise pixels.display_export_error(slices[0])
    if not shown:
        pixels.check_hounsfield(slices)
    for one, scale, plane in zip(slices, scales, words, strict=True):
        if shown:
            inverted = one.text("PhotometricInterpretation") == "MONOCHROME1"
            pixels.translate(plane, pixels.display_table(scale, inverted, window_hu))
        else:
            pixels.to_hounsfield(plane, scale, where=one.name)
    return hu, shown


def _checked_shape(series: Grid) -> tuple[int, int, int]:
    """The shape of the volume, after every file was found to hold what it claims."""
    for file in {one.file for one in series.slices}:
        check_claim(file)
    return series.shape


def _places(series: Grid) -> dict[DicomFile, list[int]]:
    """The places along z of the frames of each file, in the order of its frames."""
    places: dict[DicomFile, dict[int, int]] = {}
    for k, one in enumerate(series.slices):
        places.setdefault(one.file, {})[one.frame] = k
    return {file: [place for _, place in sorted(frames.items())] for file, frames in places.items()}


def _for_each(read: Callable[[DicomFile], None], files: Collection[DicomFile]) -> None:
    """Read files, several at a time (`threads`). Where some cannot be read, the error is that of the first of them."""
    threads = min(reading_threads(), len(files))
    if threads == 1:
        for file in files:
            read(file)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(read, files):
            pass


def _read_file(source: Path, *, grey_values: str, window_hu: tuple[float, float]) -> Volume:
    image = read_image(source)
    volume = Volume.from_sitk(image, where=source, acquisition={"modality": "CT"})
    if volume.hu.min() < 0:
        return dataclasses.replace(volume, hu=np.maximum(volume.hu, AIR_HU).astype(np.int16))
    if volume.hu.max() > pixels.DISPLAY_MAXIMUM or volume.hu.max() <= 1:
        raise pixels.NotHounsfield(
            "the values are no Hounsfield units",
            where=source,
            found=Fact(f"{volume.hu.min()} to {volume.hu.max()}"),
            expected="values below 0 (air, fat)",
            fix="Convert the original series again without rescaling its values.",
        )
    if grey_values == "reject":
        raise pixels.DisplayExport(
            "a display export, its grey values are no Hounsfield units",
            where=source,
            found=Fact(f"values {volume.hu.min()} to {volume.hu.max()}"),
            expected="values below 0 (air, fat)",
            fix="Convert the original series, or accept grey values as they are shown with the config key "
            "`slices: grey_values: as_display`.",
        )
    low, high = window_hu
    shown = np.rint(low + volume.hu / pixels.DISPLAY_MAXIMUM * (high - low)).astype(np.int16)
    return dataclasses.replace(volume, hu=shown, grey_values="display")


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
    detached = volume_header.data_file(source)
    if detached is not None and not detached.is_file():
        raise TruncatedFile(
            "the file that holds its voxels is missing", where=source, found=detached.name, fix="Copy both files again."
        )
    volume_header.check_header(source)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(volume_header.READERS[volume_header.fields_of(source)])
    reader.SetFileName(str(source))
    with _itk_errors(source):
        reader.ReadImageInformation()
        _check_claim(source, reader)
    place = (reader.GetSpacing(), reader.GetOrigin(), np.reshape(reader.GetDirection(), (3, 3)))
    check_place(reader.GetSize(), *place, where=source, fields=volume_header.fields_of(source))
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
    detached = volume_header.data_file(source)
    held = (detached or source).stat().st_size
    if (detached or source.suffix.lower() not in DETACHED_SUFFIXES) and claimed > LARGEST_RATIO * held:
        raise absurd_size(
            "a volume that its file cannot hold",
            where=source,
            found=Fact(f"{' x '.join(map(str, size))} voxels, {claimed} bytes"),
            expected=f"at most {LARGEST_RATIO} times the {held} bytes of the file",
        )
    if source.suffix.lower() in metaimage.SUFFIXES:
        unpacked = metaimage.unpacked_bytes(source, claimed)
        if unpacked not in (None, claimed):
            raise TruncatedFile(
                "a packed volume of another size than its header says",
                where=source,
                found=Fact(f"{unpacked} bytes" if unpacked < claimed else f"more than {claimed} bytes"),
                expected=f"{claimed} bytes, {' x '.join(map(str, size))} voxels",
                fix="Copy the file again.",
            )
