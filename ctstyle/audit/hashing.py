"""SHA-256 of many files, each read once, by a few threads (hashlib lets other threads run meanwhile)."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ctstyle.audit.reading import open_regular, size_of

CHUNK = 1 << 18
LARGEST = 1 << 40
"""Larger files are not read: a sparse file of exabytes takes no room on a disk, and centuries to read."""


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """What one file holds: SHA-256 and bytes, or None and the `problem` that kept it from being read."""

    sha256: str | None
    size: int = 0
    problem: str = ""


def hash_file(path: Path) -> Hashed:
    """The digest of one file; a file that is not there, is no regular file or cannot be read has none.

    A folder's is that of its listing, one line `<sha256>  <name>` per file at any depth, sorted by name.
    """
    try:
        return _hash_folder(path) if path.is_dir() else _hash_regular(path)
    except FileNotFoundError:
        return Hashed(sha256=None, problem="missing")
    except (OSError, ValueError) as error:
        return Hashed(sha256=None, problem=getattr(error, "strerror", None) or str(error))


def hash_files(paths: Iterable[Path]) -> dict[Path, Hashed]:
    """The digests of files, by path."""
    ordered = sorted(set(paths))
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return dict(zip(ordered, pool.map(hash_file, ordered)))


def _hash_regular(path: Path) -> Hashed:
    """Reads no more than the announced size: files of /proc announce nothing and have no end."""
    with open_regular(path) as stream:
        size = left = size_of(stream)
        if size > LARGEST:
            return Hashed(sha256=None, problem="too large to be read")
        digest, chunk = hashlib.sha256(), memoryview(bytearray(CHUNK))
        while left and (read := stream.readinto(chunk[: min(left, CHUNK)])):
            digest.update(chunk[:read])
            left -= read
        if left or size_of(stream) != size:
            return Hashed(sha256=None, problem="changed while it was read")
    return Hashed(sha256=digest.hexdigest(), size=size)


def _hash_folder(path: Path) -> Hashed:
    """A link to a folder in it is a problem: what lies behind is in no digest."""
    below = [file for file in path.rglob("*") if file.is_symlink() or not file.is_dir()]
    files = {
        file.relative_to(path).as_posix(): Hashed(sha256=None, problem="a link to a folder")
        if file.is_dir()
        else hash_file(file)
        for file in below
    }
    problems = [f"{name}: {one.problem}" for name, one in sorted(files.items()) if one.sha256 is None]
    if problems:
        return Hashed(sha256=None, problem=problems[0])
    listing = "".join(f"{one.sha256}  {name}\n" for name, one in sorted(files.items()))
    size = sum(one.size for one in files.values())
    return Hashed(sha256=hashlib.sha256(os.fsencode(listing)).hexdigest(), size=size)
