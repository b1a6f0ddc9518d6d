"""The command: `python -m ctstyle.sheet DIR...`; exit 0 a sheet was written, 1 nothing usable, 2 usage."""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ctstyle.cohorts.sheet import Scan
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.errors import CTStyleError
from ctstyle.provenance.record import write_whole
from ctstyle.run.places import PlaceRefused, check_apart
from ctstyle.sheet import report
from ctstyle.sheet.headers import RTSTRUCT, SEG, walk
from ctstyle.sheet.masks import Mask, pair
from ctstyle.sheet.names import by_folder, doubts, name_scans
from ctstyle.sheet.scans import CTScan, LeftOut, find_series, find_volumes

WRITTEN, NOTHING, USAGE = 0, 1, 2


@dataclass(frozen=True)
class Sheet:
    """The rows, what gave none, and what to tell the user."""

    rows: list[Scan]
    left_out: list[LeftOut]
    summary: list[str]
    warnings: list[str]


def make_sheet(folders: Sequence[Path], *, check: bool = False) -> Sheet:
    """Walk `folders` and find scans, masks and patients; with `check` every scan is read as the workflow will."""
    archive = walk(folders, lambda number: print(f"{number} files read", file=sys.stderr, flush=True))
    series, broken = find_series(archive.entries)
    volumes, labels, neither = find_volumes(archive.volumes, folders)
    left_out = [*report.left_out_by_place(archive.entries), *broken, *neither]
    left_out += [LeftOut(place, "a link, or a folder that may not be read: not entered") for place in archive.unentered]
    scans = sorted([*series, *volumes], key=lambda scan: (str(scan.path), scan.series_uid))
    unnamed = [scan for scan in scans if not report.fits_a_sheet(str(scan.path))]
    left_out += [LeftOut(str(scan.path), "a path that a table cannot hold: rename it") for scan in unnamed]
    scans = by_folder([scan for scan in scans if scan not in unnamed])
    pairing = pair(scans, [entry for entry in archive.entries if entry.kind in (SEG, RTSTRUCT)], labels)
    left_out += pairing.left_out
    warnings = pairing.warnings
    chosen = pairing.chosen
    if check:
        scans, chosen, refused = _checked(scans, chosen)
        left_out += refused
    rows = [_row(scan, names, chosen.get(number)) for number, (scan, names) in enumerate(zip(scans, name_scans(scans)))]
    patients = len({row.patient for row in rows})
    return Sheet(
        rows,
        left_out,
        report.summary(archive.entries, len(archive.volumes), scans, patients, len(chosen)),
        [*warnings, *report.warnings_of(scans), *doubts(scans)],
    )


def _row(scan: CTScan, names: tuple[str, str], mask: Mask | None) -> Scan:
    row = Scan(
        scan=names[0],
        patient=names[1],
        series=report.shown(scan.path),
        series_uid=scan.series_uid,
        style_hint=report.style_hint(scan),
    )
    if mask is None:
        return row
    return replace(row, mask=report.shown(mask.path), mask_uid=mask.uid, label_map=mask.label_map)


def _checked(scans: list[CTScan], chosen: dict[int, Mask]) -> tuple[list[CTScan], dict[int, Mask], list[LeftOut]]:
    """The scans that can be read and the masks that fit them; of an error what may be written down."""
    kept: list[CTScan] = []
    masks: dict[int, Mask] = {}
    refused: list[LeftOut] = []
    for number, scan in enumerate(scans):
        mask = chosen.get(number)
        try:
            volume = read_volume(scan.path, series_uid=scan.series_uid, grey_values="as_display")
        except CTStyleError as error:
            refused.append(LeftOut(str(scan.path), f"cannot be read: {error.public}"))
            continue
        if mask is not None:
            try:
                read_mask(mask.path, volume, mask.label_map, mask_uid=mask.uid)
                masks[len(kept)] = mask
            except CTStyleError as error:
                refused.append(LeftOut(mask.path, f"a mask that cannot be read: {error.public}"))
        kept.append(scan)
    return kept, masks, refused


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ctstyle.sheet", description="Write the sheet of scans of an archive (docs/own-data.md)."
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a folder with CT, in any layout")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the sheet goes (default: printed)")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE where it is a sheet")
    parser.add_argument(
        "--check", action="store_true", help="also read all pixels and masks as the workflow will; slow"
    )
    options = parser.parse_args(arguments)
    for folder in options.folders:
        if not folder.is_dir():
            parser.error(f"no such folder: {folder}")
    if options.output is not None:
        try:
            _check_output(options.output, options.folders, overwrite=options.overwrite)
        except CTStyleError as error:
            parser.error(str(error))
    # links stay: the paths of the sheet are those the user named
    folders = [Path(os.path.abspath(folder)) for folder in options.folders]  # noqa: PTH100
    with _unquoted():
        found = make_sheet(folders, check=options.check)
    for line in found.summary:
        _tell(line)
    for line in found.warnings:
        _tell(f"warning: {line}")
    if not found.rows:
        for line in report.left_out_lines(found.left_out):
            _tell(f"left out: {line}")
        _tell("ctstyle.sheet: no CT that can be used")
        return NOTHING
    _tell(f"{len(found.left_out)} places left out, each with its reason at the end of the sheet")
    text = report.sheet_text(found.rows, found.left_out)
    if options.output is None:
        sys.stdout.write(text)
    else:
        write_whole(options.output, text)
    return WRITTEN


def _check_output(output: Path, folders: Sequence[Path], *, overwrite: bool) -> None:
    """Raise PlaceRefused where the sheet would replace another file, or would lie in the archive that is read."""
    if not output.parent.is_dir():
        raise PlaceRefused("no such folder", where=output.parent, fix="Make it, or name another.")
    check_apart(output, "--output", [(f"the archive {folder}", folder) for folder in folders])
    if not os.path.lexists(output):
        return
    head = output.read_bytes()[: len(report.HEADER)] if output.is_file() and not output.is_symlink() else b""
    if head.decode("utf-8", "replace") != report.HEADER:
        raise PlaceRefused("this file is no sheet of scans", where=output, fix="Name another file.")
    if not overwrite:
        fix = "Name another file, or give --overwrite: what you corrected by hand in it is lost then."
        raise PlaceRefused("this sheet is there already", where=output, fix=fix)


@contextmanager
def _unquoted() -> Iterator[None]:
    """Without the warnings and log lines of libraries: they quote values of tags, and a value can be a name."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _tell(line: str) -> None:
    print(report.one_line(line) if line[:1] != " " else line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
