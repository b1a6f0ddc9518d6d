"""Places that a user chooses for new files, refused where a file could be lost that this workflow did not make.

A place is refused where it equals, contains or lies inside an input, and where it holds what no record explains. Files
are compared by device and inode, so links, `..` and the case of letters make no difference.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctstyle.audit.finding import some
from ctstyle.audit.records import BadRecord, Record, parse_record
from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import hash_files
from ctstyle.provenance.names import RECORDS, inside, within
from ctstyle.study.cohorts import COHORTS

EQUALS, CONTAINS, INSIDE = "is", "contains", "lies inside"
MARK = ".ctstyle"
"""The file that marks a run's folder outside of its results, which the folder of records marks."""
UNFINISHED = ".ctstyle-unfinished"
"""The folder that new files lie in until all of them are there."""
OUTPUT = "stylize: output"
OF_STYLIZE = f"{RECORDS}/stylize.json"
MADE_COHORTS = tuple(name for name in COHORTS if name != "sheet")
"""Cohorts whose scans lie below `<cohorts>` because the workflow puts them there."""


class PlaceRefused(CTStyleError):
    """A place for new files where something of the user's could be lost."""


@dataclass(frozen=True)
class Contents:
    """What lies in a folder, by paths relative to it: regular `files`, `runs` (folders with records of their own, not
    entered) and `others` (links, devices and what cannot be read)."""

    files: list[str]
    runs: list[str]
    others: list[str]


def relation(place: Path | str, path: Path | str) -> str:
    """EQUALS, CONTAINS or INSIDE, as `place` relates to `path`; empty where they are apart."""
    own, other = _identity(Path(place)), _identity(Path(path))
    if own == other:
        return EQUALS
    if own in _above(path):
        return CONTAINS
    return INSIDE if other in _above(place) else ""


def check_apart(
    place: Path | str, key: str, inputs: Iterable[tuple[str, Path | str]], *, allowed: Iterable[str] = ()
) -> None:
    """Raise PlaceRefused where `place` (of the config key `key`) has a relation that is not `allowed` to an input.

    `inputs` are (what it is, path); the message names the input, not its path.
    """
    for label, path in inputs:
        found = relation(place, path)
        if found and found not in allowed:
            raise PlaceRefused(
                f"new files would lie among the user's: this place {found} {label}",
                where=key,
                expected="a place apart from all that is read",
                fix="Name another folder.",
            )


def check_places(
    places: Mapping[str, str],
    config: Mapping[str, Any],
    *,
    stylized: Mapping[str, str],
    scans: Iterable[Mapping[str, str]],
    configs: Iterable[str],
    root: Path,
) -> None:
    """Raise PlaceRefused where a run would write to a folder in which something of the user's could be lost.

    `places` are the folders that rules write to by their pathvars, `results` and `cohorts` among them, and OUTPUT, that
    of stylize, whose inputs are `stylized` by their names (none where nothing is stylised). `scans` are rows of the
    sheet, `root` is the checkout.
    """
    read = inputs_of(config, scans, configs=configs, cohorts=places["cohorts"], root=root)
    around = [("the checkout", root), ("your home", Path.home()), ("the folder that Snakemake runs in", Path.cwd())]
    around += [("the folder of wheels", config["wheels"]["folder"] or root)]
    sections = {name: config.get(name) or {} for name in MADE_COHORTS}
    around += [(f"the archive of {name}", one["address"]) for name, one in sections.items() if "address" in one]
    of_series = [(f"the {name} of stylize", path) for name, path in stylized.items()]
    runs = run_folders(places)
    for name, place in runs.items():
        key = f"pathvars: {name}"
        check_apart(place, key, read)
        check_apart(place, key, around, allowed=[INSIDE])
        # the bundle lies in the results as a rule
        check_apart(place, key, of_series, allowed=[CONTAINS])
        check_run(place, key)
    check_apart(default_cache(""), "the environment: XDG_CACHE_HOME", read)
    if stylized:
        output = Path(places[OUTPUT])
        check_apart(output, OUTPUT, [*read, *of_series])
        folders = [(f"the folder of {name}", place) for name, place in runs.items()]
        check_apart(output, OUTPUT, [*around, *folders], allowed=[INSIDE])
        check_made(output)


def run_folders(places: Mapping[str, str]) -> dict[str, Path]:
    """The results and the folders of other pathvars that lie outside of them; see `check_places`."""
    results = places["results"]
    apart = {name for name, place in places.items() if relation(place, results) != INSIDE} - {OUTPUT}
    return {name: Path(places[name]) for name in sorted(apart)}


def check_run(place: Path, key: str) -> None:
    """Raise PlaceRefused where a folder for a run's files holds something, and no run has marked it.

    Runs in folders of their own within it may be there. Writes nothing.
    """
    if not place.exists():
        return
    if not place.is_dir():
        raise PlaceRefused("not a folder", where=key, fix="Name a folder.")
    marked = (place / RECORDS).is_dir() or (place / MARK).is_file()
    names = sorted(one.name for one in place.iterdir() if not (one / RECORDS).is_dir())
    if (place / OF_STYLIZE).exists():
        names, marked = ["a series that stylize made"], False
    if names and not marked:
        raise PlaceRefused(
            "this folder holds files that no run has made",
            where=key,
            found=some(names),
            expected="a new or empty folder, or that of a run",
            fix="Name another folder, or move them away. Nothing was changed.",
        )


def mark_run(places: Mapping[str, str]) -> None:
    """Mark the folders of a run, so that a run that is killed before its first record goes on."""
    for name, place in run_folders(places).items():
        (place / RECORDS if name == "results" else place).mkdir(parents=True, exist_ok=True)
        if name != "results":
            (place / MARK).touch()


def check_made(folder: Path) -> list[Path]:
    """The files of an earlier stylize in `folder`, none where the folder is new or empty.

    Raises PlaceRefused where the folder holds anything else: other files, links, changed files, or not all of them.
    """
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise PlaceRefused("not a folder", where=OUTPUT, fix="Name a folder.")
    found = contents(folder)
    files = [name for name in found.files if not name.startswith(f"{UNFINISHED}/")]
    made: dict[str, str] = {}
    if OF_STYLIZE in files:
        try:
            path = folder / OF_STYLIZE
            made = subjects([parse_record(path, json.loads(path.read_text(encoding="utf-8")))])
        except (BadRecord, ValueError, RecursionError) as error:
            raise PlaceRefused("the record of the earlier series cannot be read", where=OUTPUT, found=error) from error
    now = hash_files(folder / name for name in made)
    changed = [name for name, digest in made.items() if now[folder / name].sha256 != digest]
    strange = sorted({*files} - {*made, OF_STYLIZE} | {*found.runs, *found.others, *changed})
    if strange:
        raise PlaceRefused(
            "this folder holds more than an earlier stylize made there, or not that any more",
            where=OUTPUT,
            found=some(strange, most=10),
            expected="a new or empty folder, or an earlier series as it was made",
            fix="Name another folder, or move these files away. Nothing was changed.",
        )
    return [folder / name for name in files]


@contextmanager
def replacing(folder: Path) -> Iterator[tuple[Path, Callable[[], list[Path]]]]:
    """A new folder, and a function that puts its files in the place of an earlier series in `folder` and returns them.

    The earlier series (`check_made`) is deleted when the body ends, and lies there again where the body ends in an
    error. Nothing else is touched. Raises PlaceRefused, also where the folder changed meanwhile.
    """
    check_made(folder)
    scratch = folder / UNFINISHED
    shutil.rmtree(scratch, ignore_errors=True)
    new, old = scratch / "new", scratch / "old"
    new.mkdir(parents=True)
    moved: list[Path] = []

    def put_in() -> list[Path]:
        """Take the earlier series out, and put the new one in."""
        for path in check_made(folder):
            _move(path, old / path.relative_to(folder))
            remove_empty(path.parent, folder)
        for name in contents(new).files:
            moved.append(_move(new / name, folder / name))
        return moved

    try:
        yield new, put_in
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
            remove_empty(path.parent, folder)
        for name in contents(old).files if old.exists() else []:
            _move(old / name, folder / name)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def contents(folder: Path) -> Contents:
    """List a folder at all depths; links are not followed."""
    found = Contents([], [], [])
    for here, folders, files in os.walk(folder, onerror=lambda error: found.others.append(_named(error, folder))):
        for name in sorted(folders):
            path = Path(here) / name
            if path.is_symlink() or (path / RECORDS).is_dir():
                folders.remove(name)
                kind = found.others if path.is_symlink() else found.runs
                kind.append(path.relative_to(folder).as_posix())
        for name in files:
            path = Path(here) / name
            kind = found.files if path.is_file() and not path.is_symlink() else found.others
            kind.append(path.relative_to(folder).as_posix())
    return found


def subjects(records: Iterable[Record]) -> dict[str, str]:
    """SHA-256 of the files that records name, by their paths relative to the results; names outside are left out."""
    named = {name: digest for record in records for name, digest in record.subjects.items() if inside(name)}
    return {within(name): digest for name, digest in named.items()}


def inputs_of(
    config: Mapping[str, Any], scans: Iterable[Mapping[str, str]], *, configs: Iterable[str], cohorts: str, root: Path
) -> list[tuple[str, Path]]:
    """(what it is, path) of all that a run reads and did not make: config files, tables, scans, weights, code.

    `scans` are rows of the sheet, `cohorts` is the folder that fetched and made scans go to, `root` the checkout.
    """
    made = tuple(f"{cohorts}/{name}/" for name in MADE_COHORTS)
    read: list[tuple[str, Path | str]] = [("a config file", path) for path in configs]
    read += [("the sheet", config["sheet"]), ("the weights file", config["encoders"]["file"]["path"])]
    pinned = {name: (config.get(name) or {}).get("pinned") for name in MADE_COHORTS}
    read += [(f"the pinned table of {name}", root / path) for name, path in pinned.items() if path]
    for scan in scans:
        parts = [(f"the {part} of scan {scan['scan']}", scan[part]) for part in ("series", "mask")]
        read += [(label, path) for label, path in parts if not path.startswith(made)]
    read += [("the workflow's code", root / part) for part in ("ctstyle", "rules", "scripts", "Snakefile")]
    return [(label, Path(path)) for label, path in read if path]


def _move(path: Path, place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    return path.replace(place)


def remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder and those above it, below `top`, as far as they are empty."""
    while folder != top and folder.is_relative_to(top):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _above(path: Path | str) -> set[object]:
    """The identities of the folders above a path: those of a link, and those of what it leads to."""
    path = Path(path)
    real = Path(os.path.realpath(path))
    folders = {*real.parents, *(Path(os.path.realpath(path.absolute().parent)) / path.name).parents}
    return {_identity(folder) for folder in folders}


def _identity(path: Path) -> object:
    """Device and inode; the real path of what is not there."""
    try:
        told = path.stat()
    except (OSError, ValueError):
        return os.path.realpath(path)
    return told.st_dev, told.st_ino


def _named(error: OSError, folder: Path) -> str:
    return Path(error.filename).relative_to(folder).as_posix()


def default_cache(name: str = "wheels") -> Path:
    """The folder that keeps wheels, or what else a cohort fetches by `name`, between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ctstyle" / name
