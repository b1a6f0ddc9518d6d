"""Everything the checks look at, gathered once: records, sources, the files in question and their digests."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ctstyle.audit.finding import Finding
from ctstyle.audit.hashing import Hashed, hash_file, hash_files
from ctstyle.audit.place import RECORDS, ROOT, SUMS, Place, named
from ctstyle.audit.records import Record, Source, read_records, read_sources

UNAUDITED = {"logs", "benchmarks"}
UNRECORDED_FOLDERS = UNAUDITED | {"provenance"}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """`records` are those in question (all, or what is upstream of `targets`), `producers` knows every subject.

    `all_records` are those of the whole run. `whole` says that the audit is one of all results; `hashed` holds the
    digest of every file in question by path.
    """

    place: Place
    whole: bool
    targets: tuple[str, ...]
    records: tuple[Record, ...]
    all_records: tuple[Record, ...]
    producers: Mapping[str, Record]
    sources: Mapping[str, Source]
    hashed: Mapping[Path, Hashed]
    faults: tuple[Finding, ...]

    def now(self, name: str) -> Hashed:
        """What the file of a name holds now."""
        path = self.place.locate(name)
        if path is None:
            return Hashed(sha256=None, problem="out of reach")
        return self.hashed.get(path) or hash_file(path)

    @cached_property
    def subjects(self) -> dict[str, str]:
        """Every file that the jobs in question made, and its recorded SHA-256."""
        return {name: digest for record in self.records for name, digest in record.subjects.items()}


def gather(results: Path, paths: Sequence[Path], *, checkout: Path, checkout_asked: bool) -> Evidence:
    """Read the records of `results`, choose those that `paths` need, and hash all their files once."""
    records, bad_records = read_records(results)
    sources, bad_sources = read_sources(results)
    place = Place(results=results, checkout=checkout, checkout_asked=checkout_asked)
    producers = {name: record for record in records for name in record.subjects}
    whole = results in paths
    made_by = {record.path: tuple(record.subjects) for record in records}
    files = {file for path in paths for file in files_of(path, results)}
    targets = tuple(sorted({name for file in files for name in made_by.get(file, [place.name_of(file)])}))
    chosen = tuple(records) if whole else upstream(targets, producers)
    known = {source.name: source for source in sources}
    asked = known if whole else {one.name: one for one in _sources_of(chosen, known)}
    names = {name for record in chosen for name in record.subjects}
    names |= {one.name for record in chosen for one in (*record.inputs, *record.code)}
    names |= {place.name_of(record.path) for record in chosen} | {named(SUMS), named(ROOT)}
    names |= {*targets, *asked}
    located = [place.locate(name) for name in names]
    return Evidence(
        place=place,
        whole=whole,
        targets=targets,
        records=chosen,
        all_records=tuple(records),
        producers=producers,
        sources=known if whole else asked,
        hashed=hash_files(path for path in located if path is not None),
        faults=(*bad_records, *bad_sources),
    )


def upstream(targets: Iterable[str], producers: Mapping[str, Record]) -> tuple[Record, ...]:
    """The jobs that made the targets, and those that made what these read, each once."""
    found: dict[Path, Record] = {}
    waiting = list(targets)
    while waiting:
        record = producers.get(waiting.pop())
        if record is not None and record.path not in found:
            found[record.path] = record
            waiting.extend(one.name for one in record.inputs)
    return tuple(found[path] for path in sorted(found))


def files_of(path: Path, results: Path) -> list[Path]:
    """The files that a job must have made: all under a folder, without logs, records, hidden and nested results."""
    if not path.is_dir():
        return [] if path.parent != results and path.relative_to(results).parts[0] in UNAUDITED else [path]
    found = []
    for folder, folders, files in os.walk(path):
        here = Path(folder)
        skipped = UNRECORDED_FOLDERS if here == results else set()
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name not in skipped and not (here / name / RECORDS).is_dir()
        ]
        kept = (here / name for name in files if not name.startswith("."))
        found += [file for file in kept if file != results / "report.html"]
    return found


def _sources_of(records: Iterable[Record], known: Mapping[str, Source]) -> list[Source]:
    """The manifest's entries that jobs read, and the configs, which speak for all of them."""
    read = {one.name for record in records for one in record.inputs}
    return [source for source in known.values() if source.name in read or source.kind == "config"]
