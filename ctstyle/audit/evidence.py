"""Everything the checks look at, gathered once: records, sources, the files in question and their digests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ctstyle.audit.finding import Finding
from ctstyle.audit.hashing import Hashed, hash_file, hash_files
from ctstyle.audit.place import ROOT, SUMS, Place, named
from ctstyle.audit.records import Record, Source, read_records, read_sources
from ctstyle.audit.search import check_links, search


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
    recorded = {place.locate(name) for name in producers} | set(made_by)
    searched = [search(path, place, recorded) for path in paths]
    files = {file for found in searched for file in found.files}
    targets = tuple(sorted({name for file in files for name in made_by.get(file, [place.name_of(file)])}))
    chosen = tuple(records) if whole else upstream(targets, producers)
    known = {source.name: source for source in sources}
    asked = known if whole else {one.name: one for one in _sources_of(chosen, known)}
    names = {name for record in chosen for name in record.subjects}
    names |= {one.name for record in chosen for one in (*record.inputs, *record.code)}
    names |= {place.name_of(record.path) for record in chosen} | {named(SUMS), named(ROOT)}
    names |= {*targets, *asked}
    located = [path for name in names if (path := place.locate(name)) is not None]
    links = check_links((*files, *located, *(link for found in searched for link in found.links)), place, recorded)
    return Evidence(
        place=place,
        whole=whole,
        targets=targets,
        records=chosen,
        all_records=tuple(records),
        producers=producers,
        sources=known if whole else asked,
        hashed=hash_files(located),
        faults=(*bad_records, *bad_sources, *(one for found in searched for one in found.findings), *links),
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


def _sources_of(records: Iterable[Record], known: Mapping[str, Source]) -> list[Source]:
    """The manifest's entries that jobs read, and the configs, which speak for all of them."""
    read = {one.name for record in records for one in record.inputs}
    return [source for source in known.values() if source.name in read or source.kind == "config"]
