"""The command `python -m ctstyle.clean RESULTS`: remove what a run made, and nothing else.

A file is removed if a record names it with the bytes that it has now. Records, logs, measurements and states of killed
trainings are removed too. All else stays and is named: the user's files, edited files, links, and runs of their own.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctstyle.audit.finding import some
from ctstyle.audit.hashing import hash_files
from ctstyle.audit.place import RECORDS
from ctstyle.audit.records import read_records
from ctstyle.places import contents, remove_empty, subjects

UNRECORDED = re.compile(
    r"logs/.*\.log|benchmarks/.*\.tsv|(.*/)?\.[^/]+\.state(\.tmp)?|(.*/)?\.writing-[^/]+/.*|\.ctstyle"
)
"""What jobs write without a record: logs, measurements, states, half-written files, and the mark of a run."""
MOST_NAMED = 20


@dataclass(frozen=True)
class Plan:
    """Paths relative to the results: the files that go and what stays."""

    gone: list[str]
    left: list[str]


def plan(results: Path) -> Plan:
    """Decide for every file below `results`, which may be none of a run; nothing is changed."""
    found = contents(results)
    records, _ = read_records(results)
    made = {name: digest for name, digest in subjects(records).items() if name in set(found.files)}
    now = hash_files(results / name for name in made)
    ours = {name for name, digest in made.items() if now[results / name].sha256 == digest}
    ours |= {record.path.relative_to(results).as_posix() for record in records}
    ours |= {name for name in found.files if UNRECORDED.fullmatch(name)}
    gone = [name for name in found.files if name in ours]
    return Plan(gone=gone, left=sorted({*found.files, *found.runs, *found.others} - ours))


def clean(results: Path) -> Plan:
    """Remove what the plan says, and the folders that are then empty. Returns the plan.

    Where something stays, so does the folder of records: the results are still known as those of a run.
    """
    planned = plan(results)
    for name in planned.gone:
        (results / name).unlink(missing_ok=True)
        remove_empty((results / name).parent, results)
    if planned.left:
        (results / RECORDS).mkdir(parents=True, exist_ok=True)
    else:
        remove_empty(results / RECORDS, results)
    return planned


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
    if done.left:
        print(f"{len(done.left)} left, since no record names them as they are: {some(done.left, most=MOST_NAMED)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
