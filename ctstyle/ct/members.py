"""The files of a folder, a zip, or one file alone: a name, a size and a way to open each.

Archives are read in place: nothing is unpacked, and a member whose name points out of the archive is refused.
"""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ctstyle.ct.limits import (
    LARGE_MEMBER_BYTES,
    LARGEST_MEMBER_BYTES,
    LARGEST_RATIO,
    USUAL_RATIO,
    absurd_size,
)
from ctstyle.errors import CTStyleError, Fact


class SourceMissing(CTStyleError):
    """The folder or file of a scan does not exist or holds nothing."""


class UnsafeArchive(CTStyleError):
    """A zip is damaged, encrypted, or names members outside itself."""


@dataclass(frozen=True)
class Member:
    """One file of a folder or zip: a name to print, its bytes, and a way to open it as a binary file."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


@contextmanager
def members(source: Path) -> Iterator[list[Member]]:
    """The files of `source`, sorted by name; a zip stays open inside the `with` block.

    Raises SourceMissing, UnsafeArchive, and AbsurdSize for a member that claims more than it can hold.
    """
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.is_file())
        yield [Member(str(path), path.stat().st_size, lambda path=path: path.open("rb")) for path in paths]
    elif not source.is_file():
        # pipes and devices would never end
        raise SourceMissing("no such file or folder", where=source, fix="Correct the path in the sheet of scans.")
    elif zipfile.is_zipfile(source):
        with _opened(source) as archive:
            infos = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
            for info in infos:
                _check(source, info)
            yield [
                Member(f"{source}!{info.filename}", info.file_size, lambda info=info: archive.open(info))
                for info in infos
            ]
    else:
        yield [Member(str(source), source.stat().st_size, lambda: source.open("rb"))]


def _opened(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except (zipfile.BadZipFile, RuntimeError, ValueError) as error:
        raise damaged_zip(source, error) from error


def damaged_zip(where: object, error: Exception) -> UnsafeArchive:
    """The error for a zip, or a member of one, that cannot be read."""
    return UnsafeArchive("damaged zip", where=where, found=str(error), fix="Copy the zip again.")


def _check(source: Path, info: zipfile.ZipInfo) -> None:
    where = f"{source}!{info.filename}"
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        fault = "a member's name points out of the archive"
    elif info.flag_bits & 1:
        fault = "a member is encrypted"
    elif info.header_offset < 0:
        fault = "a member lies before the beginning of the archive"
    else:
        # zipfile never reads beyond the claimed size, so what is checked here holds for the real one
        if info.file_size > LARGEST_MEMBER_BYTES:
            raise absurd_size(
                "a member of the zip is larger than any CT",
                where=where,
                found=Fact(f"{info.file_size} bytes"),
                expected=f"at most {LARGEST_MEMBER_BYTES}",
            )
        ratio = LARGEST_RATIO if info.file_size <= LARGE_MEMBER_BYTES else USUAL_RATIO
        if info.file_size > ratio * max(info.compress_size, 1):
            raise absurd_size(
                "a member of the zip is compressed more than a CT can be",
                where=where,
                found=Fact(f"{info.file_size} bytes out of {info.compress_size}"),
                expected=f"at most {ratio} times as many",
            )
        return
    raise UnsafeArchive(fault, where=where, fix="Pack the series again with plain file names.")
