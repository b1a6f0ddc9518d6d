"""Files as a stranger may have left them: regular files only, of limited size, JSON without traps."""

import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

MB = 1 << 20
MOST_VALUES = 4_000_000
"""Values in one JSON file: 16 MB of `[],[],` would take 400 MB."""


def open_regular(path: Path) -> BinaryIO:
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


def size_of(stream: BinaryIO) -> int:
    """The size in bytes that the file system announces."""
    return os.fstat(stream.fileno()).st_size


def read_whole(path: Path, *, most: int) -> bytes:
    """The bytes of a regular file of up to `most` bytes. Raises OSError."""
    with open_regular(path) as stream:
        size = size_of(stream)
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


def _check_regular(told: os.stat_result) -> None:
    if stat.S_ISDIR(told.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(told.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")


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
