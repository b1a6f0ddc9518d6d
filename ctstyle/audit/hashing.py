"""SHA-256 of many files, each read once, by a few threads (hashlib lets other threads run meanwhile)."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """What one file holds: SHA-256 and bytes, or None and the `problem` that kept it from being read."""

    sha256: str | None
    size: int = 0
    problem: str = ""


def hash_file(path: Path) -> Hashed:
    """The digest of one file; a file that is not there or cannot be read has none.

    A folder's is that of its listing, one line `<sha256>  <name>` per file at any depth, sorted by name.
    """
    try:
        if path.is_dir():
            return _hash_folder(path)
        with path.open("rb") as stream:
            return Hashed(sha256=hashlib.file_digest(stream, "sha256").hexdigest(), size=stream.tell())
    except FileNotFoundError:
        return Hashed(sha256=None, problem="missing")
    except OSError as error:
        return Hashed(sha256=None, problem=error.strerror or str(error))


def hash_files(paths: Iterable[Path]) -> dict[Path, Hashed]:
    """The digests of files, by path."""
    ordered = sorted(set(paths))
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return dict(zip(ordered, pool.map(hash_file, ordered)))


def _hash_folder(path: Path) -> Hashed:
    files = {file.relative_to(path).as_posix(): hash_file(file) for file in path.rglob("*") if file.is_file()}
    problems = [f"{name}: {one.problem}" for name, one in sorted(files.items()) if one.sha256 is None]
    if problems:
        return Hashed(sha256=None, problem=problems[0])
    listing = "".join(f"{one.sha256}  {name}\n" for name, one in sorted(files.items()))
    size = sum(one.size for one in files.values())
    return Hashed(sha256=hashlib.sha256(listing.encode()).hexdigest(), size=size)
