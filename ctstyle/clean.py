"""The command `python -m ctstyle.clean RESULTS`: remove what a run made, and nothing else.

A file is removed if a record names it with the bytes that it has now. Records, logs and measurements of the workflow's
rules, states of killed trainings and Snakemake's report are removed too. All else stays and is named: the user's files,
edited files, links, and runs of their own.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ctstyle.audit.finding import printable
from ctstyle.audit.records import read_records
from ctstyle.provenance.digest import hash_files
from ctstyle.provenance.names import RECORDS
from ctstyle.run.places import contents, remove_empty, subjects

RULES = "|".join(sorted(path.stem for path in (Path(__file__).parents[1] / "scripts").glob("*.py")))
UNRECORDED = re.compile(
    rf"logs/({RULES})(/.+)?\.log|benchmarks/({RULES})(/.+)?\.tsv"
    rf"|(.*/)?\.[^/]+-({RULES})-[0-9a-f]{{16}}\.state(\.tmp)?|(.*/)?\.writing-[^/]+/.*|\.ctstyle"
)
"""What jobs write without a record: logs, measurements, states, half-written files, and the mark of a run."""
REPORT, REPORT_TITLE = "report.html", b"<title>Snakemake Report</title>"
"""The report of `make report`, and what stands in the first 4096 bytes of it."""


@dataclass(frozen=True)
class Plan:
    """Paths relative to the results: the files that go and what stays."""

    gone: list[str]
    left: list[str]


def plan(results: Path) -> Plan:
    """Decide for every file below `results`; nothing is changed. In a folder that is no run's, all stays."""
    found = contents(results)
    ours: set[str] = set()
    if (results / RECORDS).is_dir():
        records, _ = read_records(results)
        made = {name: digest for name, digest in subjects(records).items() if name in set(found.files)}
        now = hash_files(results / name for name in made)
        ours = {name for name, digest in made.items() if now[results / name].sha256 == digest}
        ours |= {record.path.relative_to(results).as_posix() for record in records}
        ours |= {name for name in found.files if UNRECORDED.fullmatch(name)}
        ours |= {REPORT} if REPORT in found.files and is_report(results / REPORT) else set()
    gone = [name for name in found.files if name in ours]
    return Plan(gone=gone, left=sorted({*found.files, *found.runs, *found.others} - ours))


def is_report(path: Path) -> bool:
    """Whether a file is a report that Snakemake wrote."""
    with path.open("rb") as stream:
        return REPORT_TITLE in stream.read(4096)


def clean(results: Path) -> Plan:
    """Remove what the plan says, and the folders that are then empty. Returns the plan.

    Where something of a run's folder stays, so does the folder of records: it is still known as that of a run.
    """
    known = (results / RECORDS).is_dir()
    planned = plan(results)
    for name in planned.gone:
        (results / name).unlink(missing_ok=True)
        remove_empty((results / name).parent, results)
    if known and planned.left:
        (results / RECORDS).mkdir(parents=True, exist_ok=True)
    elif known:
        remove_empty(results / RECORDS, results)
    return planned


def named(planned: Plan) -> list[str]:
    """What stays, a folder in place of its files where nothing in it goes."""
    emptied = {PurePosixPath(), *(folder for name in planned.gone for folder in PurePosixPath(name).parents)}
    tops = {
        next(one for one in (*reversed(path.parents), path) if one not in emptied)
        for path in map(PurePosixPath, planned.left)
    }
    return sorted(map(str, tops))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, or 2 where there is no folder."""
    parser = argparse.ArgumentParser(prog="python -m ctstyle.clean", description="Remove what a run made.")
    parser.add_argument("results", type=Path, help="the folder of results")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go and what would stay")
    options = parser.parse_args(arguments)
    if not options.results.is_dir():
        print(f"ctstyle.clean: no folder {options.results}: nothing to remove")
        return 0 if not options.results.exists() else 2
    done = plan(options.results) if options.dry_run else clean(options.results)
    print(f"{len(done.gone)} files of the run {'would be ' * options.dry_run}removed from {options.results}")
    for name in named(done):
        print(f"left, as no record names it as it is: {printable(name)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
