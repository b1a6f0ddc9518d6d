"""The sheet of scans: one row per scan, the same for every cohort."""

import dataclasses
import io
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ctstyle.ct.labels import EXPECTED_MAPS, LabelMap, UnknownLabels
from ctstyle.errors import CTStyleError

SPLIT_HINTS = ("", "train", "val", "test")
NEEDED = ("scan", "patient", "series")
"""Columns that need a value in every row; the others may be empty or missing."""
NAMES = ("scan", "patient", "cohort")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names become file names, wildcards and the public names in records."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scan:
    """One scan; every field a string, empty where unknown.

    `scan` (unique) and `patient` are pseudonyms; `cohort` the source; `series` the folder, zip or volume file of the
    CT, and `series_uid` which of several series there (empty: the only one); `mask` the place of the vertebra labels
    (empty: none), `mask_uid` the SOP instance among several there, and `label_map` their meaning (as
    `dicom.labels.LabelMap.parse` reads it); `style_hint` what is known of the grey scale; `split_hint` "", "train",
    "val" or "test"; `licence`; `source_digest` the digest of what was downloaded or "".
    """

    scan: str
    patient: str
    cohort: str = ""
    series: str
    series_uid: str = ""
    mask: str = ""
    mask_uid: str = ""
    label_map: str = ""
    style_hint: str = ""
    split_hint: str = ""
    licence: str = ""
    source_digest: str = ""


class BadSheet(CTStyleError):
    """A sheet of scans that cannot be used."""


COLUMNS = tuple(field.name for field in dataclasses.fields(Scan))


def sheet_frame(scans: Iterable[Scan]) -> pd.DataFrame:
    """The scans as a table of strings with the columns of `Scan`, in the order given."""
    return pd.DataFrame([dataclasses.asdict(scan) for scan in scans], columns=list(COLUMNS), dtype=str)


def scans(settings: str | None, folder: Path | str, root: Path) -> list[Scan]:
    """The user's own scans; `settings` is the path of their sheet. Raises BadSheet."""
    if not settings:
        raise BadSheet(
            "the cohort `sheet` needs a table of scans",
            where="sheet",
            found=settings,
            expected="the path of a TSV",
            fix="Set `sheet: config/my_scans.tsv`; the columns stand in docs/own-data.md.",
        )
    # an empty name would be no part of a file name, and no cohort to group by
    return [scan if scan.cohort else dataclasses.replace(scan, cohort="sheet") for scan in read_sheet(settings)]


def read_sheet(path: Path | str) -> list[Scan]:
    """The scans of a TSV. Lines that begin with `#` are comments.

    Raises BadSheet for a missing file, unknown or missing columns, empty names, names that are no file names, a scan
    given twice, a mask without its label map, and values outside their lists; it names row and column.
    """
    path = Path(path)
    if not path.is_file():
        raise BadSheet("no such sheet of scans", where=path, fix="Correct the config key `sheet`.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            # read_csv's own `comment` would cut a path at its first #
            rows = "".join(line for line in stream if not line.startswith("#"))
        frame = pd.read_csv(io.StringIO(rows), sep="\t", dtype=str, keep_default_na=False, skip_blank_lines=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BadSheet("not a tab-separated table", where=path, found=str(error).strip()) from error
    unknown = [column for column in frame.columns if column not in COLUMNS]
    missing = [column for column in NEEDED if column not in frame.columns]
    if unknown or missing:
        raise BadSheet(
            "wrong columns",
            where=path,
            found=", ".join(frame.columns),
            expected=f"{', '.join(NEEDED)} and any of {', '.join(c for c in COLUMNS if c not in NEEDED)}",
            fix="Separate the columns by tabs and name them as listed.",
        )
    scans = [Scan(**{key: value.strip() for key, value in row.items()}) for row in frame.to_dict("records")]
    if not scans:
        raise BadSheet("no scan in it", where=path, expected="one row per scan")
    _check_names(scans, path)
    seen: set[str] = set()
    for number, scan in enumerate(scans, start=1):
        _check(scan, where=f"{path}, scan {number}", seen=seen)
    return scans


def _check_names(scans: Iterable[Scan], path: Path) -> None:
    """Raise BadSheet with every name that is none; only a cohort may be empty."""
    faults = [
        f"scan {number}: {column} {value!r}"
        for number, scan in enumerate(scans, start=1)
        for column in NAMES
        if not NAME.fullmatch(value := getattr(scan, column)) and (value or column != "cohort")
    ]
    if faults:
        raise BadSheet(
            "not a name" if len(faults) == 1 else f"{len(faults)} values that are no names",
            where=path,
            found=", ".join(faults),
            expected="at most 64 letters, digits, '.', '_' and '-', a letter or digit first",
            fix="Use pseudonyms; they become part of file names.",
        )


def _check(scan: Scan, *, where: str, seen: set[str]) -> None:
    if not scan.series:
        raise BadSheet("series is empty", where=where, expected="the folder, zip or file of the CT")
    if scan.scan in seen:
        raise BadSheet("a scan is given twice", where=where, found=scan.scan, expected="one row per scan")
    seen.add(scan.scan)
    if scan.split_hint not in SPLIT_HINTS:
        expected = ", ".join(value or "(empty)" for value in SPLIT_HINTS)
        raise BadSheet("unknown split_hint", where=where, found=scan.split_hint, expected=expected)
    if scan.mask and not scan.label_map:
        raise BadSheet("a mask without its label_map", where=where, found=scan.mask, expected=EXPECTED_MAPS)
    if scan.label_map:
        try:
            LabelMap.parse(scan.label_map)
        except UnknownLabels as error:
            raise BadSheet(error.what, where=where, found=error.found, expected=error.expected) from error
