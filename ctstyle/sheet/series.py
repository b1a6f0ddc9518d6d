"""DICOM files to CT series, each with the place that names it and the fault that keeps it out."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from ctstyle.ct import pixels
from ctstyle.ct.acquisition import acquisition
from ctstyle.ct.boundary import named_errors
from ctstyle.ct.frames import Slice, slices_of
from ctstyle.ct.geometry import DuplicatedSlices, Grid, grid
from ctstyle.ct.words import bits_in_use
from ctstyle.errors import CTStyleError
from ctstyle.sheet.field import Field
from ctstyle.sheet.headers import CT, DAMAGED, Entry
from ctstyle.sheet.scans import CTScan, LeftOut, Unusable, common_place, reason_of


class Holdings:
    """The CT and the damaged files of an archive by the place where the reader finds them."""

    def __init__(self, entries: Iterable[Entry]):
        self._of: dict[Path, list[Entry]] = defaultdict(list)
        for entry in entries:
            # a file counts for itself and all folders above it, but the reader opens no zip that lies in a folder
            places = [entry.container] if entry.packed else [Path(entry.path), *Path(entry.path).parents]
            for place in places:
                self._of[place].append(entry)

    def below(self, place: Path) -> list[Entry]:
        """What the reader finds in a folder, zip or file."""
        return self._of[place]


def find_series(entries: Iterable[Entry]) -> tuple[list[CTScan], list[LeftOut]]:
    """The CT series among the files, sorted by place, and those that cannot be used.

    A series is what has one SeriesInstanceUID. Where several folders hold files of it they are one series if all
    together make a regular grid, else each folder is one (some exports give all series one UID); a second copy is left
    out. Without a UID the files of one folder or zip are a series.
    """
    images = [entry for entry in entries if entry.kind in (CT, DAMAGED)]
    seen = Holdings(images)
    by_uid: dict[str, dict[Path, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in images:
        if entry.kind == CT:
            by_uid[_text(entry, "SeriesInstanceUID")][entry.container].append(entry)
    scans: list[CTScan] = []
    left_out: list[LeftOut] = []
    for uid, places in sorted(by_uid.items()):
        kept: list[CTScan] = []
        for files in _candidates(uid, places):
            place = _place(files)
            instances = frozenset(_text(file, "SOPInstanceUID") for file in files) - {""}
            copied = next((scan for scan in kept if uid and instances & scan.instances), None)
            try:
                if copied is not None:
                    raise Unusable("a copy of another series", found=copied.path)
                with named_errors(place):
                    kept.append(_scan(uid, place, files, seen, instances))
            except CTStyleError as error:
                left_out.append(LeftOut(str(place), reason_of(error)))
        scans += kept
    return sorted(scans, key=_order), left_out


def _order(scan: CTScan) -> tuple[str, str]:
    return str(scan.path), scan.series_uid


def _candidates(uid: str, places: dict[Path, list[Entry]]) -> list[list[Entry]]:
    """The files of one UID as series, the largest first: zips one by one, folders together where that gives a grid."""
    apart = sorted(places.values(), key=lambda files: (-len(files), str(files[0].container)))
    folders = [files for files in apart if not files[0].packed]
    together = list(itertools.chain.from_iterable(folders))
    if not uid or len(folders) < 2:
        return apart
    try:
        _grid(together)
    except DuplicatedSlices:
        return apart
    except CTStyleError:
        single = all(_is_sound(files) for files in folders)
        return apart if single else [together, *(files for files in apart if files[0].packed)]
    return [together, *(files for files in apart if files[0].packed)]


def _is_sound(files: Sequence[Entry]) -> bool:
    try:
        _grid(files)
    except CTStyleError:
        return False
    return True


def _place(files: Sequence[Entry]) -> Path:
    if len(files) == 1 and not files[0].packed:
        return Path(files[0].path)
    return common_place(sorted({file.container for file in files}))


def _scan(uid: str, place: Path, files: list[Entry], seen: Holdings, instances: frozenset[str]) -> CTScan:
    """The scan these files make. Raises Unusable and the errors of `geometry` and `pixels` as the reader will."""
    around = seen.below(place)
    others = {_text(entry, "SeriesInstanceUID") for entry in around if entry.kind == CT} - {uid}
    _check_place(uid, files, around, others)
    if any(_text(file, "BurnedInAnnotation").upper() == "YES" for file in files):
        raise Unusable(
            "text is burnt into the pixels, perhaps a name; BurnedInAnnotation (0028,0301)",
            found="YES",
            fix="Look at it, and write its row by hand if nobody is named.",
        )
    found = _grid(files)
    display = _check_values(found.slices)
    patient_id = _text(files[0], "PatientID")
    keys = {
        "id": patient_id and f"{patient_id} {_text(files[0], 'IssuerOfPatientID')}",
        "study": _text(files[0], "StudyInstanceUID"),
        "path": str(place),
    }
    told_by = next(kind for kind, key in keys.items() if key)
    return CTScan(
        path=place,
        home=files[0].container if place.name == Path(files[0].path).name else place,
        series_uid=uid if others else "",
        uid=uid,
        field=Field.of_grid(found),
        files=len(files),
        patient=f"{told_by} {keys[told_by]}",
        told_by=told_by,
        patient_id=patient_id,
        study=keys["study"],
        frame=_text(files[0], "FrameOfReferenceUID"),
        instances=instances,
        acquisition=acquisition(found.slices),
        display=display,
    )


def _check_place(uid: str, files: Sequence[Entry], around: Sequence[Entry], others: set[str]) -> None:
    damaged = [entry for entry in around if entry.kind == DAMAGED]
    same = [entry for entry in around if entry.kind == CT and _text(entry, "SeriesInstanceUID") == uid]
    if damaged:
        raise Unusable(
            f"{len(damaged)} damaged file{'s' * (len(damaged) > 1)} in its place: the reader stops there",
            found=f"{Path(damaged[0].path).name}: {damaged[0].reason}",
            fix="Copy or export it again, or take it out.",
        )
    if len(same) != len(files):
        raise Unusable(
            "its folder holds other files under the same SeriesInstanceUID (0020,000E)",
            found=f"{len(same)} files",
            expected=f"{len(files)}",
            fix="Move copies and other series out of it.",
        )
    if others and not uid:
        raise Unusable(
            "no SeriesInstanceUID (0020,000E), and other CT series in its place",
            fix="Put it into a folder of its own.",
        )


def _grid(files: Sequence[Entry]) -> Grid:
    return grid(slices_of([file.dicom_file() for file in files]))


def _check_values(slices: Sequence[Slice]) -> bool:
    """Whether the series looks like a display export. Raises what the reader raises for headers without HU."""
    for one in slices:
        if one.text("SamplesPerPixel") not in ("", "1"):
            raise Unusable("colour, no CT slice; SamplesPerPixel (0028,0002)", expected="1 (grey)")
    scales = [pixels.Scale.of(one, bits_in_use(one)) for one in slices]
    display = pixels.may_be_display_export(slices, scales)
    if not display:
        pixels.check_hounsfield(slices)
    return display


def _text(entry: Entry, keyword: str) -> str:
    """A tag of a CT as one string, empty where it is missing."""
    value = entry.header.get(keyword) if entry.header is not None else None
    return str(value or "")
