"""The files that lie in a folder of results: hidden ones, those behind links, and runs of their own among them."""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ctstyle.audit.finding import UNVERIFIED, WARNING, Finding, some
from ctstyle.audit.place import RECORDS, Place

UNAUDITED = {"logs", "benchmarks"}
REPORT = "report.html"
LEFT_OVER = re.compile(r"\.[a-z]+-[a-z0-9_]{8}|\..+\.state(\.tmp)?")
"""Names of the folders that jobs write in until they end, and of the states of trainings."""


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
    unknown, seen, waiting = [], set(), [link]
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
