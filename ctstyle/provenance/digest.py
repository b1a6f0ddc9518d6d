"""SHA-256 of files, each hashed once for all jobs of a run.

The slice archives of a run are inputs of nearly every job; a small database keeps their digests between the jobs.
"""

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from ctstyle.errors import CTStyleError
from ctstyle.provenance.fingerprint import listing_digest

SETTLED_NS = 2_000_000_000
"""A file that changed less than this before it was hashed is not remembered: the clock of some file systems (2 s on
FAT) is so coarse that a second change would leave the same time behind."""
WAIT_S = 60.0
"""How long a process waits for another one that writes to the database."""


class FileMissing(CTStyleError):
    """A file whose digest is asked for does not exist."""


class FileChanged(CTStyleError):
    """A file changed while it was hashed."""


class InputChanged(CTStyleError):
    """A file changed while the job that read it ran."""


class CacheUnusable(CTStyleError):
    """The database of digests cannot be read or written."""


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, 64 hex digits. Raises FileMissing."""
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise _missing(path) from error


class DigestCache:
    """Digests of files by absolute path, size, time and inode, in one SQLite file (`None`: for this process only).

    A changed size, modification time, change time or inode misses. The change time is part of the key because a user
    cannot set it: an edit with the old modification time put back is seen too. The file holds digests of paths, never
    the paths. Several processes may use one file at once; SQLite's rollback journal is kept because its other mode,
    WAL, does not work on network file systems.
    """

    def __init__(self, path: Path | str | None = None):
        self._path = None if path is None else Path(path)
        self._kept: dict[bytes, tuple[str, str]] = {}
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._database() as database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS digests (place BLOB PRIMARY KEY, state TEXT, sha256 TEXT) WITHOUT ROWID"
                )

    def digests(self, paths: Iterable[Path | str]) -> dict[Path, str]:
        """SHA-256 of each file or folder, by the path as given; see the function `digests`."""
        wanted = {Path(path): _files_of(Path(path)) for path in paths}
        states = {file: _state(file) for files in wanted.values() for file in files}
        kept = self._read({file: _place(file) for file in states})
        found: dict[Path, str] = {}
        new: dict[bytes, tuple[str, str]] = {}
        for file, state in states.items():
            place = _place(file)
            if place in kept and kept[place][0] == state:
                found[file] = kept[place][1]
                continue
            begun = time.time_ns()
            found[file] = sha256_file(file)
            if _state(file) != state:
                raise FileChanged(
                    "the file changed while it was hashed", where=file, fix="Run again when nothing writes to it."
                )
            if begun - file.stat().st_mtime_ns > SETTLED_NS:
                new[place] = (state, found[file])
        self._write(new)
        return {path: _joined(path, files, found) for path, files in wanted.items()}

    def _read(self, places: dict[Path, bytes]) -> dict[bytes, tuple[str, str]]:
        if self._path is None:
            return self._kept
        with self._database() as database:
            query = "SELECT state, sha256 FROM digests WHERE place = ?"
            rows = {place: database.execute(query, (place,)).fetchone() for place in places.values()}
        return {place: row for place, row in rows.items() if row is not None}

    def _write(self, new: dict[bytes, tuple[str, str]]) -> None:
        if self._path is None:
            self._kept.update(new)
        elif new:
            with self._database() as database:
                rows = [(place, state, sha256) for place, (state, sha256) in new.items()]
                database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", rows)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is written or nothing."""
        try:
            with closing(sqlite3.connect(self._path, timeout=WAIT_S)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise CacheUnusable(
                "the database of digests cannot be used",
                where=self._path,
                found=error,
                expected="an SQLite file that can be written",
                fix="Delete it; it is made again.",
            ) from error


def digests(paths: Iterable[Path | str], cache: DigestCache) -> dict[Path, str]:
    """SHA-256 of each path, 64 hex digits, hashed only where `cache` does not know the file as it now is.

    A folder's digest is that of its listing: one line `<sha256>  <name>` per file at any depth, sorted by name, as
    `sha256sum` prints it. Raises FileMissing, FileChanged and CacheUnusable.
    """
    return cache.digests(paths)


def states(paths: Iterable[Path | str]) -> dict[Path, dict[Path, str]]:
    """Size, times and inode of each file, and of every file in a folder; nothing is read. Raises FileMissing."""
    return {Path(path): {file: _state(file) for file in _files_of(Path(path))} for path in paths}


def touched(
    before: Mapping[Path, Mapping[Path, str]], found: Mapping[Path, str], names: Mapping[Path, str], cache: DigestCache
) -> list[str]:
    """The public names of files that somebody touched since `before` (`states`) and that hold the same as then.

    `found` are their digests then. Raises InputChanged for a file that was written or replaced since, also if it holds
    the same again: what was read between is not known.
    """
    now = states(path for path in before if path.exists())
    changed = [path for path, files in before.items() if _written(now.get(path)) != _written(files)]
    same = [path for path in before if path not in changed and now[path] != before[path]]
    digest = digests(same, cache)
    changed += [path for path in same if digest[path] != found[path]]
    if changed:
        raise InputChanged(
            "changed while the job ran",
            where=", ".join(sorted({names[path] for path in changed})),
            fix="Run the workflow again when nothing writes to its inputs.",
        )
    return sorted({names[path] for path in same})


def _written(files: Mapping[Path, str] | None) -> dict[Path, tuple[str, ...]] | None:
    """The states without the change time, which a new link, owner or mode sets too."""
    return files and {file: (*(parts := state.split())[:2], parts[3]) for file, state in files.items()}


def _files_of(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def _joined(path: Path, files: list[Path], found: dict[Path, str]) -> str:
    if files == [path]:
        return found[path]
    return listing_digest((file.relative_to(path).as_posix(), found[file]) for file in files)


def _place(file: Path) -> bytes:
    return hashlib.sha256(os.fsencode(file.absolute())).digest()


def _state(file: Path) -> str:
    try:
        told = file.stat()
    except FileNotFoundError as error:
        raise _missing(file) from error
    return f"{told.st_size} {told.st_mtime_ns} {told.st_ctime_ns} {told.st_ino}"


def _missing(path: Path | str) -> FileMissing:
    return FileMissing("no such file", where=path, fix="Run the workflow again; the rule that makes it will.")
