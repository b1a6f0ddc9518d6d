"""Read one CT series (DICOM in a folder or zip) or one volume file (NIfTI, NRRD, MHA) as Hounsfield units."""

import dataclasses
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ctstyle.ct import pixels
from ctstyle.ct.acquisition import acquisition, known_uid
from ctstyle.ct.index import DicomFile, index
from ctstyle.ct.limits import reads_files
from ctstyle.ct.series import Stack, slices_of, stack
from ctstyle.ct.volume import AIR_HU, Volume
from ctstyle.ct.volume_file import VOLUME_SUFFIXES, read_image
from ctstyle.ct.words import bits_in_use, check_claim, read_words
from ctstyle.errors import CTStyleError, Fact

GREY_VALUES = ("reject", "as_display")
BURNED_IN = ("reject", "accept")


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

    Raises a CTStyleError of its own for each fault: SourceMissing, TruncatedFile, UnsafeArchive (`files`); NoCT,
    MixedSeries (`index`); MissingTag, MultiFrame, MixedOrientation, DuplicatedSlices, MissingSlices, UnequalSpacing,
    GantryTilt (`series`); MissingRescale, NotHounsfield, DisplayExport, BurnedIn (`pixels`); UnsupportedPixels
    (`words`); NotThreeDimensional (`volume_file`); AbsurdSize, OutOfBounds, and Unreadable for all else (`limits`).
    """
    for key, value, allowed in (("grey_values", grey_values, GREY_VALUES), ("burned_in", burned_in, BURNED_IN)):
        if value not in allowed:
            raise CTStyleError("unknown value", where=f"slices: {key}", found=value, expected=" or ".join(allowed))
    source = Path(source)
    if source.name.lower().endswith(VOLUME_SUFFIXES):
        return _read_file(source, grey_values=grey_values, window_hu=window_hu)
    with index(source) as found:
        series = stack(slices_of(found.series(series_uid)))
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


def _hounsfield(series: Stack, grey_values: str, window_hu: tuple[float, float]) -> tuple[np.ndarray, bool]:
    """The Hounsfield units of a series, int16 `[z, rows, columns]`, and whether it is a display export."""
    slices = series.slices
    scales = [pixels.Scale.of(one, bits_in_use(one)) for one in slices]
    open_question = pixels.may_be_display_export(slices, scales)
    if not open_question:
        pixels.check_hounsfield(slices)
    planes = _planes(series)
    words = np.empty(series.shape, np.uint16)

    def read(file: DicomFile) -> None:
        """Put the frames of a file in their places, as Hounsfield units where that is settled."""
        read_words(file, [words[k] for k in planes[file]])
        if not open_question:
            for k in planes[file]:
                pixels.to_hounsfield(words[k], scales[k], where=slices[k].name)

    with ThreadPoolExecutor(reading_threads()) as pool:
        list(pool.map(read, planes))  # an error is that of the first file that has one
    shown = open_question and pixels.is_display_export(words, scales)
    if shown and grey_values == "reject":
        raise pixels.display_export_error(slices[0])
    if open_question and not shown:
        pixels.check_hounsfield(slices)
    for one, scale, plane in zip(slices, scales, words, strict=True) if open_question else ():
        if shown:
            inverted = one.text("PhotometricInterpretation") == "MONOCHROME1"
            pixels.translate(plane, pixels.display_table(scale, inverted, window_hu))
        else:
            pixels.to_hounsfield(plane, scale, where=one.name)
    return words.view(np.int16), shown


def _planes(series: Stack) -> dict[DicomFile, list[int]]:
    """The places along z of the frames of each file, after every file was found to hold what it claims."""
    planes: dict[DicomFile, list[int]] = defaultdict(list)
    for k in sorted(range(len(series.slices)), key=lambda k: series.slices[k].frame or 0):
        planes[series.slices[k].file].append(k)
    for file in planes:
        check_claim(file)
    return dict(planes)


def reading_threads() -> int:
    """The threads a series is read with: the processors of this process, at most 4, or as OMP_NUM_THREADS says.

    Snakemake sets that for every script to the threads of its rule. What is read never depends on it.
    """
    # macOS has no affinity
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(processors, 4, max(int(said), 1) if said.isdecimal() else 4)


def _read_file(source: Path, *, grey_values: str, window_hu: tuple[float, float]) -> Volume:
    image = read_image(source)
    volume = Volume.from_sitk(image, where=source, acquisition={"modality": "CT"})
    if volume.hu.min() < 0:
        return dataclasses.replace(volume, hu=np.maximum(volume.hu, AIR_HU).astype(np.int16))
    found, expected = Fact(f"{volume.hu.min()} to {volume.hu.max()}"), "values below 0 (air, fat)"
    if volume.hu.max() > pixels.DISPLAY_MAXIMUM or volume.hu.max() <= 1:
        fix = "Convert the original series again without rescaling its values."
        what = "the values are no Hounsfield units"
        raise pixels.NotHounsfield(what, where=source, found=found, expected=expected, fix=fix)
    if grey_values == "reject":
        raise pixels.display_export("", where=source, found=found, expected=expected)
    shown = pixels.onto_window(volume.hu, window_hu)
    return dataclasses.replace(volume, hu=shown, grey_values="display")
