"""No patient on two sides, and nothing of a test patient in what a model learns from."""

import csv
import fnmatch
from collections import defaultdict
from collections.abc import Iterator

from ctstyle.audit.evidence import Evidence
from ctstyle.audit.finding import Finding, some

SPLIT = "styles/split.tsv"
GENERATED = {"augmented/*/seed*.tsv": "train", "transfer/*/seed*/test.tsv": "test", "comparison/*/test.tsv": "test"}
"""Tables of generated slices, and the side that their content belongs to."""
OWN_STYLE = {"identity", "own"}
REMEDY = "Restore the split and run the workflow again: no score of this run counts."


def check_separation(evidence: Evidence) -> Iterator[Finding]:
    """The split table, and where the content and the style of every generated slice come from."""
    split = evidence.place.named(SPLIT)
    if split not in evidence.subjects and split not in evidence.targets:
        return
    rows = yield from _read(evidence, split, {"scan", "patient", "side"})
    if not rows:
        return
    sides: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        sides[row["patient"]].add(row["side"])
    for patient, found in sorted(sides.items()):
        if len(found) > 1:
            what, on = f"patient {patient} is on two sides", " and ".join(sorted(found))
            yield Finding(check="separation", file=split, what=what, found=on, expected="one side", fix=REMEDY)
    side_of = {row["scan"]: row["side"] for row in rows}
    for name in sorted(filter(evidence.place.inside, evidence.subjects)):
        for pattern, side in GENERATED.items():
            if fnmatch.fnmatchcase(name.removeprefix(evidence.place.named("")), pattern):
                yield from _check_generated(evidence, name, side_of, side)


def _check_generated(evidence: Evidence, name: str, side_of: dict[str, str], side: str) -> Iterator[Finding]:
    """The rows of one table of generated slices: content of `side`, style of training scans."""
    rows = yield from _read(evidence, name, {"content_scan", "style_scan"})
    contents = [row["content_scan"] for row in rows]
    styles = [row["style_scan"] for row in rows if row.get("kind") not in OWN_STYLE]
    for role, scans, expected in (("content", contents, side), ("style", styles, "train")):
        wrong = sorted({scan for scan in scans if side_of.get(scan) != expected})
        if wrong:
            told = some([f"{scan} ({side_of.get(scan, 'in no split')})" for scan in wrong])
            what = f"{role} of {len(wrong)} scan(s) that are not on the {expected} side"
            yield Finding(check="separation", file=name, what=what, found=told, expected=expected, fix=REMEDY)


def _read(evidence: Evidence, name: str, columns: set[str]) -> Iterator[Finding]:
    """Finds what keeps a table from being read; returns its rows, none of a table whose file is gone."""
    if evidence.now(name).sha256 is None:
        return []
    try:
        with evidence.place.locate(name).open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
    except (OSError, ValueError, csv.Error) as error:
        yield Finding(check="separation", file=name, what=f"not a table: {error}", fix="Run the workflow again.")
        return []
    missing = sorted(column for column in columns if any(row.get(column) is None for row in rows))
    if missing:
        what = "rows without a value in " + ", ".join(missing)
        yield Finding(check="separation", file=name, what=what, fix="Run the workflow again.")
        return []
    return rows
