"""Reading and hashing files, also such as a stranger may have left: regular files only, of limited size.

Jobs and audit share this module, which needs the standard library alone.
"""

import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ctstyle.errors import CTStyleError

MB = 1 << 20
PIXEL_TAGS = ("Rows", "Columns", "BitsAllocated", "PixelRepresentation", "PhotometricInterpretation")
"""What the bytes of the pixels mean nothing without (DICOM PS3.3, C.7.6.3); the transfer syntax belongs to it too."""
IMPLICIT = "1.2.840.10008.1.2"
"""The transfer syntax of a file that tells none."""
CHUNK = 1 << 18
THREADS = min(4, os.cpu_count() or 1)
"""hashlib lets other threads run meanwhile."""
LARGEST = 1 << 40
"""Larger files are not read: a sparse file of exabytes takes no room on a disk, and centuries to read."""
MOST_VALUES = 4_000_000
"""Values in one JSON file: 16 MB of `[],[],` would take 400 MB."""


class FileMissing(CTStyleError):
    """A file whose digest is asked for does not exist, or cannot be read."""


class InputChanged(CTStyleError):
    """A file changed while the job that read it ran."""


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """SHA-256 and bytes of one file, or None and the `problem` that kept it from being read."""

    sha256: str | None
    size: int = 0
    problem: str = ""


def hash_file(path: Path) -> Hashed:
    """The digest of one file; a file that is not there, is no regular file or cannot be read has none.

    A folder's is that of its listing (`listing_digest`). A link to a folder in it is a problem: no digest covers what
    lies behind.
    """
    return _safely(_hash_folder if path.is_dir() else _hash_regular, path)


def hash_files(paths: Iterable[Path]) -> dict[Path, Hashed]:
    """The digests of files, by path."""
    return _by_path(hash_file, paths)


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, 64 hex digits. Raises FileMissing."""
    found = _safely(_hash_regular, Path(path))
    if found.sha256 is None:
        fix = "Run the workflow again; the rule that makes it will."
        raise FileMissing("no such file" if found.problem == "missing" else found.problem, where=path, fix=fix)
    return found.sha256


def digests(paths: Iterable[Path | str]) -> dict[Path, str]:
    """SHA-256 of each file, or of each folder's listing, by the path as given. Raises FileMissing."""
    folders = {Path(path): _files_of(Path(path)) for path in paths}
    found = _by_path(sha256_file, (file for files in folders.values() for file in files))
    return {
        path: found[path]
        if files == [path]
        else listing_digest((file.relative_to(path).as_posix(), found[file]) for file in files)
        for path, files in folders.items()
    }


def listing_digest(files: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of the listing of (name, SHA-256) of files as `sha256sum` prints it, sorted by name."""
    return hashlib.sha256(os.fsencode("".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files)))).hexdigest()


def pixel_sha256(dataset: Any) -> str:
    """SHA-256 over the pixels of a pydicom dataset as they stand in its file, and the tags that give them meaning.

    The tags follow the pixels in ASCII, with commas, a missing one as nothing; "" for a file without pixels.
    """
    if "PixelData" not in dataset:
        return ""
    meaning = ["" if dataset.get(tag) is None else str(dataset.get(tag)) for tag in PIXEL_TAGS]
    meaning.append(str(dataset.file_meta.get("TransferSyntaxUID") or IMPLICIT))
    return hashlib.sha256(dataset["PixelData"].value + ",".join(meaning).encode("ascii")).hexdigest()


def states(paths: Iterable[Path | str]) -> dict[Path, dict[Path, tuple[int, ...]]]:
    """Size, times and inode of each file, and of every file in a folder; nothing is read. Raises FileMissing."""
    return {Path(path): {file: _state(file) for file in _files_of(Path(path))} for path in paths}


def touched(
    before: Mapping[Path, Mapping[Path, tuple[int, ...]]], found: Mapping[Path, str], names: Mapping[Path, str]
) -> list[str]:
    """The public names of files that somebody touched since `before` (`states`) and that hold the same as then.

    `found` are their digests then. Raises InputChanged for a file that was written or replaced since, also if it holds
    the same again: what was read between is not known.
    """
    now = states(path for path in before if path.exists())
    changed = [path for path, files in before.items() if _written(now.get(path)) != _written(files)]
    same = [path for path in before if path not in changed and now[path] != before[path]]
    digest = digests(same)
    changed += [path for path in same if digest[path] != found[path]]
    if changed:
        raise InputChanged(
            "changed while the job ran",
            where=", ".join(sorted({names[path] for path in changed})),
            fix="Run the workflow again when nothing writes to its inputs.",
        )
    return sorted({names[path] for path in same})


def open_regular(path: Path) -> Any:
    """Open a file for reading, without ever waiting. Raises OSError for pipes, devices, sockets and folders."""
    _check_regular(path.stat())  # a device may act on being opened, so it is looked at first
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    stream = os.fdopen(os.open(path, flags), "rb")
    try:
        _check_regular(os.fstat(stream.fileno()))
    except OSError:
        stream.close()
        raise
    return stream


def read_whole(path: Path, *, most: int) -> bytes:
    """The bytes of a regular file of up to `most` bytes. Raises OSError."""
    with open_regular(path) as stream:
        size = _size_of(stream)
        if size > most:
            raise OSError(errno.EFBIG, f"larger than {most // MB} MB")
        return stream.read(size) or b""


def read_json(path: Path, *, most: int) -> Any:
    """The value of a JSON file (UTF-8) of up to `most` bytes. Raises OSError and ValueError.

    Refused are a key that stands twice in one object, NaN and infinity, too many values and too deep a nesting.
    """
    text = read_whole(path, most=most).decode("utf-8")
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values")
    try:
        return json.loads(text, object_pairs_hook=_keys_once, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _by_path(hashed: Callable[[Path], Any], paths: Iterable[Path]) -> dict[Path, Any]:
    ordered = sorted(set(paths))
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(ordered, pool.map(hashed, ordered)))


def _safely(hashed: Callable[[Path], Hashed], path: Path) -> Hashed:
    try:
        return hashed(path)
    except FileNotFoundError:
        return Hashed(sha256=None, problem="missing")
    except IsADirectoryError:
        return Hashed(sha256=None, problem="a link to a folder" if path.is_symlink() else "a folder")
    except (OSError, ValueError) as error:
        return Hashed(sha256=None, problem=getattr(error, "strerror", None) or str(error))


def _hash_regular(path: Path) -> Hashed:
    """Reads no more than the announced size: files of /proc announce nothing and have no end."""
    with open_regular(path) as stream:
        size = left = _size_of(stream)
        if size > LARGEST:
            return Hashed(sha256=None, problem="too large to be read")
        digest, chunk = hashlib.sha256(), memoryview(bytearray(CHUNK))
        while left and (read := stream.readinto(chunk[: min(left, CHUNK)])):
            digest.update(chunk[:read])
            left -= read
        if left or _size_of(stream) != size:
            return Hashed(sha256=None, problem="changed while it was read")
    return Hashed(sha256=digest.hexdigest(), size=size)


def _hash_folder(path: Path) -> Hashed:
    below = [file for file in path.rglob("*") if file.is_symlink() or not file.is_dir()]
    files = {file.relative_to(path).as_posix(): _safely(_hash_regular, file) for file in below}
    problems = [f"{name}: {one.problem}" for name, one in sorted(files.items()) if one.sha256 is None]
    if problems:
        return Hashed(sha256=None, problem=problems[0])
    listing = listing_digest((name, one.sha256 or "") for name, one in files.items())
    return Hashed(sha256=listing, size=sum(one.size for one in files.values()))


def _size_of(stream: BinaryIO) -> int:
    """The size in bytes that the file system announces."""
    return os.fstat(stream.fileno()).st_size


def _check_regular(told: os.stat_result) -> None:
    if stat.S_ISDIR(told.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(told.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")


def _files_of(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def _state(file: Path) -> tuple[int, ...]:
    try:
        told = file.stat()
    except FileNotFoundError as error:
        raise FileMissing("no such file", where=file, fix="Run the workflow again; its rule makes it.") from error
    return told.st_size, told.st_mtime_ns, told.st_ino, told.st_ctime_ns


def _written(files: Mapping[Path, tuple[int, ...]] | None) -> dict[Path, tuple[int, ...]] | None:
    """The states without the change time, which a new link, owner or mode sets too."""
    return {file: state[:3] for file, state in files.items()} if files is not None else None


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number
