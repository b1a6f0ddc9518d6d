"""What the command prints: the sheet with what was left out, and the summary."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ctstyle.cohorts.sheet import Scan, sheet_frame
from ctstyle.sheet.headers import CT, OTHER, Entry
from ctstyle.sheet.scans import CTScan, LeftOut

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
