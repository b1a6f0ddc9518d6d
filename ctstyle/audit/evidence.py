"""Everything the checks look at, gathered once: records, sources, the files in question and their digests.

The files of a folder of results are found whether they are hidden, behind links, or of a run of their own among them.
"""

import errno
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ctstyle.audit.finding import UNVERIFIED, WARNING, Finding, some
from ctstyle.audit.records import Place, Record, Source, read_records, read_sources
from ctstyle.provenance.digest import Hashed, hash_file, hash_files
from ctstyle.provenance.lineage import short
from ctstyle.provenance.names import RECORDS, ROOT, SUMS, UNAUDITED, named

REPORT = "report.html"
LEFT_OVER = re.compile(r"\.[a-z]+-[a-z0-9_]{8}|\..+\.state(\.tmp)?")
"""Names of the folders that jobs write in until they end, and of the states of trainings."""
DEEPEST = 60
"""Steps of indentation of a lineage; a chain of records may be as long as somebody likes."""


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

    def at(self, name: str) -> Path:
        """Where the file of a name lies. Raises FileNotFoundError for one that is out of reach."""
        path = self.place.locate(name)
        if path is None:
            raise FileNotFoundError(errno.ENOENT, "out of reach")
        return path

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
    recorded = {path for name in producers if (path := place.locate(name)) is not None} | set(made_by)
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


@dataclass(frozen=True, kw_only=True)
class Found:
    """The `files` that a job should have made, the `links` to folders, and `findings` about what was not searched."""

    files: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def search(path: Path, place: Place, recorded: Collection[Path]) -> Found:
    """Find all files under a folder of the results, or the one file. Logs and benchmarks are left out.

    `recorded` are the files and folders that records name. A folder with records of its own is another run, unless one
    of them lies in it.
    """
    results, found = place.results, Found()
    if path != results and path.parent != results and path.relative_to(results).parts[0] in UNAUDITED:
        return found
    holding = {parent for file in recorded for parent in file.parents}
    waiting = [path]
    while waiting:
        here = waiting.pop()
        name = place.name_of(here)
        try:
            if not here.is_dir():
                if here == results / REPORT:
                    found.findings.append(_unverified(name, "Snakemake's report: no record covers it"))
                else:
                    found.files.append(here)
            elif here.parent == results and here.name in UNAUDITED:
                continue
            elif here != path and (here / RECORDS).is_dir() and here not in holding:
                found.findings.append(_unverified(name, "a run of its own: audit it apart"))
            elif here != path and here.is_symlink():
                found.links.append(here)
            elif here in recorded:
                found.files.append(here)
            else:
                waiting.extend(sorted(here.iterdir(), reverse=True))
        except OSError as error:
            what, fix = f"cannot be searched: {error.strerror}", "Make it readable, or take it out."
            found.findings.append(Finding(check="completeness", file=name, what=what, fix=fix))
    return found


def check_links(paths: Iterable[Path], place: Place, recorded: Collection[Path]) -> Iterator[Finding]:
    """Tell each link on the way to a path: a warning if it stays in the results or records cover all behind it."""
    seen = set()
    for path in paths:
        while path.is_relative_to(place.results) and path != place.results and path not in seen:
            seen.add(path)
            try:
                if path.is_symlink():
                    yield _about_link(path, place, recorded)
            except OSError as error:
                yield Finding(check="links", file=place.name_of(path), what=f"cannot be followed: {error.strerror}")
            path = path.parent


def _about_link(link: Path, place: Place, recorded: Collection[Path]) -> Finding:
    about = {"check": "links", "file": place.name_of(link), "found": str(link.readlink())}
    fix = "Put the file itself in its place."
    if not link.exists():
        return Finding(what="a link that leads nowhere", fix=fix, **about)
    if Path(os.path.realpath(link)).is_relative_to(os.path.realpath(place.results)):
        return Finding(what="a link to another place in the results", severity=WARNING, **about)
    unknown = _unrecorded(link, recorded) if link.is_dir() else []
    if unknown:
        names = some([place.name_of(file) for file in unknown])
        return Finding(what=f"a link out of the results, and no record covers {names}", fix=fix, **about)
    if link.is_dir():
        return Finding(what="a link out of the results; records cover all behind it", severity=WARNING, **about)
    return Finding(what="a link to a file outside of the results", fix=fix, **about)


def _unrecorded(link: Path, recorded: Collection[Path], most: int = 5) -> list[Path]:
    """The first files behind a link to a folder that no record names; a folder that cannot be searched is one."""
    unknown: list[Path] = []
    seen, waiting = set(), [link]
    while waiting and len(unknown) < most:
        here = waiting.pop()
        if here in recorded:
            continue
        try:
            if not here.is_dir():
                unknown.append(here)
            elif (real := os.path.realpath(here)) not in seen:
                seen.add(real)
                waiting.extend(sorted(here.iterdir(), reverse=True))
        except OSError:
            unknown.append(here)
    return unknown


def _unverified(name: str, what: str) -> Finding:
    return Finding(check="completeness", file=name, what=what, severity=UNVERIFIED)


def explain(evidence: Evidence, target: str) -> list[str]:
    """The lines of the tree of one file. Each job is told once, where it is met first; digests have 12 digits."""
    lines, told = [target], set()
    waiting = [(1, target, evidence.subjects.get(target))]
    while waiting:
        depth, name, digest = waiting.pop()
        indent = "  " * min(depth, DEEPEST)
        record = evidence.producers.get(name)
        if record is None:
            kind = "source" if name in evidence.sources else "unexplained"
            lines.append(f"{indent}{kind} {name} {short(digest)}")
            continue
        seen = record.path in told
        lines.append(f"{indent}{record.title} {short(record.fingerprint)}{' (above)' if seen else ''}: {name}")
        if not seen:
            told.add(record.path)
            waiting.extend((depth + 1, read, sha256) for read, sha256 in reversed(_inputs_by_job(evidence, record)))
    return lines


def _inputs_by_job(evidence: Evidence, record: Record) -> list[tuple[str, str]]:
    """What a job read, one file for each job that made some of it."""
    inputs: dict[Any, tuple[str, str]] = {}
    for read in record.inputs:
        producer = evidence.producers.get(read.name)
        inputs.setdefault(read.name if producer is None else producer.path, (read.name, read.sha256))
    return list(inputs.values())
