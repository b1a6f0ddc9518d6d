"""No patient on two sides, and nothing of a test patient in what a model learns from."""

import csv
import fnmatch
import io
import itertools
import math
from collections import defaultdict
from collections.abc import Generator, Iterator

from ctstyle.audit.evidence import Evidence
from ctstyle.audit.finding import UNVERIFIED, Finding, some
from ctstyle.provenance.digest import MB, read_whole
from ctstyle.provenance.names import inside, named

SPLIT = "styles/split.tsv"
GENERATED = {"augmented/*/seed*.tsv": "train", "transfer/*/seed*/test.tsv": "test", "comparison/*/test.tsv": "test"}
GENERATED |= {"ablations/*/painted.tsv": "train", "ablations/*/structure.tsv": "test"}
"""Tables of generated slices, and the side that their content belongs to."""
TRANSDUCTIVE = "augmented/transductive/seed*.tsv"
"""The one exception: generated slices whose style may be lent by unlabelled slices of a test scan ..."""
PREDICTIONS = "segmentation/transductive/seed*/predictions.tsv"
LEAST_MM = 30.0
"""... as long as nothing nearer to them than this is scored."""
LARGEST_TABLE, MOST_ROWS = 128 * MB, 1_000_000
OWN_STYLE = {"identity", "own"}
REMEDY = "Restore the split and run the workflow again: no score of this run counts."


def check_separation(evidence: Evidence) -> Iterator[Finding]:
    """The split table, and where the content and the style of every generated slice come from.

    The transductive arm may take styles from test scans, as long as it keeps its distance from what is scored.
    """
    split = named(SPLIT)
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
    for pattern, side in GENERATED.items():
        for name in _matching(evidence, pattern):
            yield from _check_generated(evidence, name, side_of, side)


def _matching(evidence: Evidence, pattern: str) -> list[str]:
    """The audited files of a pattern relative to the results, sorted."""
    return sorted(fnmatch.filter([name for name in evidence.subjects if inside(name)], named(pattern)))


def _check_generated(evidence: Evidence, name: str, side_of: dict[str, str], side: str) -> Iterator[Finding]:
    """The rows of one table of generated slices: content of `side`, style of training scans."""
    rows = yield from _read(evidence, name, {"content_scan", "style_scan"})
    contents = [row["content_scan"] for row in rows]
    styles = [row["style_scan"] for row in rows if row.get("kind") not in OWN_STYLE]
    if name in _matching(evidence, TRANSDUCTIVE):
        lending = {scan for scan in styles if side_of.get(scan) == "test"}
        styles = [scan for scan in styles if scan not in lending]
        for scan in sorted(lending):
            lent = {row.get("style_index") for row in rows if row["style_scan"] == scan}
            yield from _check_lent(evidence, name, scan, lent)
    for role, scans, expected in (("content", contents, side), ("style", styles, "train")):
        wrong = sorted({scan for scan in scans if side_of.get(scan) != expected})
        if wrong:
            told = some([f"{scan} ({side_of.get(scan, 'in no split')})" for scan in wrong])
            what = f"{role} of {len(wrong)} scan(s) that are not on the {expected} side"
            yield Finding(check="separation", file=name, what=what, found=told, expected=expected, fix=REMEDY)


def _check_lent(evidence: Evidence, name: str, scan: str, lent: set[str | None]) -> Iterator[Finding]:
    """How far the slices that are scored lie from those that lent their style."""
    slices = yield from _read(evidence, named(f"slices/{scan}.tsv"), {"index", "position_mm"})
    predictions = _matching(evidence, PREDICTIONS)
    if not predictions:
        what = f"styles of the test scan {scan}; what is scored of it is not among the audited files"
        yield Finding(check="separation", file=name, what=what, severity=UNVERIFIED)
        return
    tested = []
    for predicted in predictions:
        rows = yield from _read(evidence, predicted, {"scan", "position_mm", "region"})
        tested += [row for row in rows if row["scan"] == scan and row["region"] == "scored"]
    try:
        lenders = {row["index"]: float(row["position_mm"]) for row in slices if row["index"] in lent}
        scored = [float(row["position_mm"]) for row in tested]
        if not all(map(math.isfinite, (*lenders.values(), *scored))):
            raise ValueError("they are not all finite")
    except ValueError as error:
        what = f"no positions of {scan}: {error}"
        yield Finding(check="separation", file=name, what=what, fix="Run the workflow again.")
        return
    unknown = sorted(str(index) for index in lent - set(lenders))
    if unknown:
        what = f"styles of slices that {scan} does not have"
        yield Finding(check="separation", file=name, what=what, found=some(unknown), fix=REMEDY)
        return
    apart = min((abs(one - other) for one in lenders.values() for other in scored), default=float("inf"))
    if apart < LEAST_MM:
        what = f"the transductive arm is scored near one of the {len(lenders)} slices of {scan} whose grey scale it saw"
        sides = {"found": f"{apart:g} mm", "expected": f"at least {LEAST_MM:g} mm"}
        yield Finding(check="separation", file=name, what=what, fix=REMEDY, **sides)


def _read(evidence: Evidence, name: str, columns: set[str]) -> Generator[Finding, None, list[dict[str, str]]]:
    """Finds what keeps a table from being read; returns its rows, none of a table whose file is gone."""
    if evidence.now(name).sha256 is None:
        return []
    try:
        text = read_whole(evidence.at(name), most=LARGEST_TABLE).decode("utf-8")
        lines = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
        header = next(lines, [])
        rows = [dict(zip(header, line)) for line in itertools.islice(filter(None, lines), MOST_ROWS + 1)]
        if len(rows) > MOST_ROWS or len(set(header)) < len(header):
            raise ValueError(f"more than {MOST_ROWS} rows, or a column that stands twice")
    except (OSError, ValueError, csv.Error) as error:
        yield Finding(check="separation", file=name, what=f"not a table: {error}", fix="Run the workflow again.")
        return []
    missing = sorted(column for column in columns if any(row.get(column) is None for row in rows))
    if missing:
        what = "rows without a value in " + ", ".join(missing)
        yield Finding(check="separation", file=name, what=what, fix="Run the workflow again.")
        return []
    return rows
