"""All files of an archive, read by several processes where there are many."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ctstyle.ct.suffixes import VOLUME_SUFFIXES
from ctstyle.sheet.headers import Entry, read_entries

CHUNK = 100
"""Files given to a process at a time."""
FEWEST = 500
"""Fewer files than this are read before a second process would have started."""
MOST_PROCESSES = 8


@dataclass(frozen=True)
class Archive:
    """Everything below the folders that were named: `entries` of all files but `volumes`, and `unentered` folders."""

    entries: list[Entry] = field(default_factory=list)
    volumes: list[Path] = field(default_factory=list)
    unentered: list[str] = field(default_factory=list)


def walk(folders: Sequence[Path], told: Callable[[int], None] | None = None) -> Archive:
    """Read the headers of all files below `folders`, sorted by path, each once; `told` hears how many were read.

    Folders that are links, or that may not be read, are not entered: the reader does not enter them either.
    """
    paths: set[Path] = set()
    unentered: list[str] = []

    def refused(error: OSError) -> None:
        """Note a folder that may not be entered."""
        unentered.append(str(error.filename))

    for folder in folders:
        for where, names, files in os.walk(folder, onerror=refused):
            unentered += [str(Path(where, name)) for name in names if Path(where, name).is_symlink()]
            paths |= {Path(where, name) for name in files}
    ordered = sorted(path for path in paths if path.is_file())
    volumes = [path for path in ordered if path.name.lower().endswith(VOLUME_SUFFIXES)]
    others = [path for path in ordered if not path.name.lower().endswith(VOLUME_SUFFIXES)]
    return Archive(_read(others, told), volumes, sorted(unentered))


def _read(paths: Sequence[Path], told: Callable[[int], None] | None) -> list[Entry]:
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    processes = min(len(os.sched_getaffinity(0)), MOST_PROCESSES)
    if len(paths) < FEWEST or processes == 1:
        return read_entries(paths)
    entries: list[Entry] = []
    with ProcessPoolExecutor(processes) as pool:
        for number, part in enumerate(pool.map(read_entries, chunks), start=1):
            entries += part
            if told is not None and number * CHUNK % 10_000 == 0:
                told(number * CHUNK)
    return entries
