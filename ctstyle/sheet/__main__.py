"""The command: `python -m ctstyle.sheet DIR...`; exit 0 a sheet was written, 1 nothing usable, 2 usage."""

import argparse
import logging
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ctstyle.cohorts.sheet import Scan, sheet_frame
from ctstyle.ct.mask import read_mask
from ctstyle.ct.read import read_volume
from ctstyle.errors import CTStyleError
from ctstyle.provenance.record import write_whole
from ctstyle.run.places import PlaceRefused, check_apart
from ctstyle.sheet.headers import CT, OTHER, RTSTRUCT, SEG, Entry, walk
from ctstyle.sheet.masks import Mask, pair
from ctstyle.sheet.names import by_folder, doubts, name_scans
from ctstyle.sheet.scans import CTScan, LeftOut, find_series, find_volumes

FEW_SLICES = 5
LONGEST_HINT = 60
LONGEST_TABLE = 12
HEADER = sheet_frame([]).to_csv(sep="\t", index=False, lineterminator="\n")
"""The first line of a sheet."""


def shown(path: Path | str) -> str:
    """A path as the sheet names it: relative where it lies below the current directory."""
    path = Path(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def fits_a_sheet(path: str) -> bool:
    """Whether a path survives a tab-separated table of UTF-8 lines whose cells are stripped."""
    return path == path.strip() and path.isprintable()


def style_hint(scan: CTScan) -> str:
    """Manufacturer and kernel, as "SIEMENS B40f"; what the header does not say is missing."""
    parts = (scan.acquisition.get("manufacturer"), scan.acquisition.get("kernel"))
    return _clean(" ".join(part for part in parts if part))[:LONGEST_HINT].strip()


def sheet_text(scans: Sequence[Scan], left_out: Sequence[LeftOut]) -> str:
    """The sheet, and after its rows one comment for each place that gave none."""
    rows = sheet_frame(scans).to_csv(sep="\t", index=False, lineterminator="\n")
    return rows + "".join(f"# left out: {line}\n" for line in left_out_lines(left_out))


def left_out_lines(left_out: Sequence[LeftOut]) -> list[str]:
    """`path: reason`, sorted by path, each on one line."""
    lines = []
    for one in sorted(left_out):
        where, bang, member = one.path.partition("!")
        lines.append(one_line(f"{shown(where)}{bang}{member}: {one.reason}"))
    return lines


def summary(entries: Sequence[Entry], volumes: int, scans: Sequence[CTScan], patients: int, masks: int) -> list[str]:
    """Numbers of files by kind, of scans and patients, and what the scans were made with."""
    kinds = Counter(entry.kind for entry in entries)
    kinds["volume file"] += volumes
    files = {CT: "CT", OTHER: "not DICOM"}
    counted = ", ".join(f"{number} {files.get(kind, kind)}" for kind, number in sorted(kinds.items()) if number)
    lines = [
        f"{sum(kinds.values())} files: {counted or 'none'}",
        f"{len(scans)} scans of {patients} patients, {masks} with a mask",
    ]
    tables = {
        "scanner": [_joined(scan, "manufacturer", "model") for scan in scans],
        "kernel": [_joined(scan, "kernel") for scan in scans],
        "kVp": [_number(scan.acquisition.get("kvp")) for scan in scans],
        "slice spacing in mm": [_number(scan.grid.spacing_mm[2]) for scan in scans],
        "pixel spacing in mm": [_number(scan.grid.spacing_mm[0]) for scan in scans],
    }
    for title, values in tables.items():
        ordered = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
        lines += [f"{title}:"] * bool(ordered) + [
            f"  {number:5d}  {value}" for value, number in ordered[:LONGEST_TABLE]
        ]
        if ordered[LONGEST_TABLE:]:
            rest = ordered[LONGEST_TABLE:]
            lines.append(f"  {sum(number for _, number in rest):5d}  in {len(rest)} others")
    return lines


def warnings_of(scans: Sequence[CTScan]) -> list[str]:
    """What the reader reads but the user should look at."""
    found = [
        f"{shown(scan.path)}: looks like a display export; it is read only with `slices: grey_values: as_display`"
        for scan in scans
        if scan.display
    ]
    few = sum(scan.grid.shape[0] < FEW_SLICES for scan in scans)
    if few:
        found.append(
            f"{few} scans have fewer than {FEW_SLICES} slices; take their rows out if they are no scans for you"
        )
    return found


def left_out_by_place(entries: Sequence[Entry]) -> list[LeftOut]:
    """Files that are neither CT nor masks, one line for each folder or zip and kind; damaged files one by one."""
    counted: Counter = Counter()
    found = []
    for entry in entries:
        if entry.reason:
            found.append(LeftOut(entry.path, entry.reason))
        elif entry.kind not in (CT, "SEG", "RTSTRUCT", "DICOMDIR", OTHER):
            counted[str(entry.container), entry.kind] += 1
    for (place, kind), number in counted.items():
        files = f"{number} file{'s' * (number > 1)}"
        fix = "; unpack it, volume files are read on disk only" if kind == "volume in a zip" else ", no CT slices"
        found.append(LeftOut(place, f"{files}: {kind}{fix}"))
    return found


def _joined(scan: CTScan, *names: str) -> str:
    return _clean(", ".join(str(scan.acquisition[name]) for name in names if scan.acquisition.get(name))) or "not said"


def _number(value: float | None) -> str:
    return "not said" if value is None else f"{value:.3g}"


def one_line(text: str) -> str:
    """Printable on one line, with paths below the current directory relative."""
    return _clean(text.replace(f"{Path.cwd()}/", ""))


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", "".join(char if char.isprintable() else " " for char in text)).strip()


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
    left_out = [*left_out_by_place(archive.entries), *broken, *neither]
    left_out += [LeftOut(place, "a link, or a folder that may not be read: not entered") for place in archive.unentered]
    scans = sorted([*series, *volumes], key=lambda scan: (str(scan.path), scan.series_uid))
    unnamed = [scan for scan in scans if not fits_a_sheet(str(scan.path))]
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
        summary(archive.entries, len(archive.volumes), scans, patients, len(chosen)),
        [*warnings, *warnings_of(scans), *doubts(scans)],
    )


def _row(scan: CTScan, names: tuple[str, str], mask: Mask | None) -> Scan:
    row = Scan(
        scan=names[0],
        patient=names[1],
        series=shown(scan.path),
        series_uid=scan.series_uid,
        style_hint=style_hint(scan),
    )
    if mask is None:
        return row
    return replace(row, mask=shown(mask.path), mask_uid=mask.uid, label_map=mask.label_map)


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
        for line in left_out_lines(found.left_out):
            _tell(f"left out: {line}")
        _tell("ctstyle.sheet: no CT that can be used")
        return NOTHING
    _tell(f"{len(found.left_out)} places left out, each with its reason at the end of the sheet")
    text = sheet_text(found.rows, found.left_out)
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
    head = output.read_bytes()[: len(HEADER)] if output.is_file() and not output.is_symlink() else b""
    if head.decode("utf-8", "replace") != HEADER:
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
    print(one_line(line) if line[:1] != " " else line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
