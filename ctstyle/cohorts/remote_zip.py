"""Members of a zip on a web server, fetched by ranges of bytes without the rest of the archive.

What is checked is the CRC-32 and the size of every member and, after the first fetch, that server and archive still say
what they said then: size, ETag and the archive's directory (its list of members) are kept in ctstyle's cache. The
digest of a whole archive that its publisher tells cannot be checked from a part of it.
"""

import hashlib
import io
import itertools
import json
import logging
import mmap
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ctstyle.cohorts import download
from ctstyle.cohorts.download import Piece, SourceChanged, SourceUnavailable
from ctstyle.errors import CTStyleError

log = logging.getLogger(__name__)

TAIL = 1 << 20
"""Bytes of the archive's end that are read first; most directories lie in it."""
GAP = 1 << 20
"""Members that lie no further apart are fetched in one request: servers count requests (Zenodo: about 60 a minute)."""


class BadArchive(CTStyleError):
    """What should be a zip is none, or packs its members in a way that cannot be read here."""


@dataclass(frozen=True)
class RemoteZip:
    """A zip at `url`: its size, its ETag (or "") and its directory, the bytes from `start` to the end.

    With `local` the archive lies on this machine's disk, and nothing is fetched.
    """

    url: str
    total: int
    etag: str
    start: int
    directory: bytes
    kept: Path | None = None
    local: bool = False

    @cached_property
    def members(self) -> dict[str, zipfile.ZipInfo]:
        """Every file of the archive by its name inside."""
        return {info.filename: info for info in self._archive.infolist() if not info.is_dir()}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the directory."""
        return hashlib.sha256(self.directory).hexdigest()

    def fingerprint(self, names: Iterable[str]) -> str:
        """SHA-256 over CRC-32, size and name of some members, sorted: what a table can pin before they are fetched."""
        chosen = [self.members[name] for name in sorted(names)]
        return hashlib.sha256("".join(f"{m.CRC:08x} {m.file_size} {m.filename}\n" for m in chosen).encode()).hexdigest()

    def size(self, names: Iterable[str]) -> int:
        """Bytes of some members as they lie in the archive."""
        return sum(self.members[name].compress_size for name in names)

    def fetch(self, wanted: Mapping[str, Path], scratch: Path) -> None:
        """Write members (by their names inside) to files; CRC-32 and size of each are checked.

        What is fetched lies in `scratch` until all is there, so that a stopped fetch goes on. Raises BadArchive and
        what `download.fetch` raises.
        """
        scratch.mkdir(parents=True, exist_ok=True)
        infos = [self.members[name] for name in wanted]
        for info in infos:
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BadArchive("a member is encrypted or packed in another way", where=f"{self.url}!{info.filename}")
        runs = [] if self.local else self._runs(infos)
        size = sum(info.file_size for info in infos) + sum(end - start for start, end, _ in runs)
        download.require_space(scratch, size)
        if self.local:
            if fault := self._unpack(self._archive, infos, wanted):
                raise BadArchive("the archive is damaged", where=self.url, found=fault, fix="Download it again.")
            return
        log.info("%d members of %s in %d requests, %.1f MB", len(infos), self.url, len(runs), size / 1e6)
        download.fetch_all(
            (
                Piece(self.url, end - start, start=start, total=self.total, etag=self.etag, renewal=self._renewal()),
                scratch / f"{start}-{end}.run",
                self._check(start, end, inside, wanted),
            )
            for start, end, inside in runs
        )
        for start, end, _ in runs:
            (scratch / f"{start}-{end}.run").unlink()

    def fetch_pinned(self, wanted: Mapping[str, Path], scratch: Path, *, sha256: str, known: Path) -> None:
        """`fetch` of members whose `fingerprint` is pinned, held against the digests of their first fetch in `known`.

        Raises SourceChanged too.
        """
        found = self.fingerprint(wanted) if wanted.keys() <= self.members.keys() else "a member is missing"
        if found != sha256:
            raise SourceChanged(
                "the archive does not hold what is pinned",
                where=f"{self.url}!{min(wanted)}",
                found=found,
                expected=sha256,
                fix="List the archive again and compare with the pinned table.",
            )
        self.fetch(wanted, scratch)
        download.hold_digests(wanted, known, where=self.url)

    def _check(
        self, start: int, end: int, infos: list[zipfile.ZipInfo], wanted: Mapping[str, Path]
    ) -> Callable[[Path], str]:
        """What unpacks a fetched run and says what is wrong with it."""

        def fault(path: Path) -> str:
            """What is wrong with the file of a run; empty where nothing is."""
            if path.stat().st_size != end - start:
                return f"{path.stat().st_size} bytes"
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as run:
                pieces = _Pieces(self.total, {start: run, self.start: self.directory})
                with zipfile.ZipFile(pieces) as archive:
                    return self._unpack(archive, infos, wanted)

        return fault

    def _unpack(self, archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], wanted: Mapping[str, Path]) -> str:
        for info in infos:
            target = wanted[info.filename]
            new = target.with_name(f"{target.name}.unpacking")
            try:
                with archive.open(info.filename) as member, new.open("wb") as file:
                    while block := member.read(download.BLOCK):
                        file.write(block)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                return f"{info.filename}: {error}"
            new.replace(target)
        return ""

    def _runs(self, infos: list[zipfile.ZipInfo]) -> list[tuple[int, int, list[zipfile.ZipInfo]]]:
        """First byte, end and members of what is fetched in one request: members with at most GAP bytes between them.

        A member ends where the next one, or the directory, begins: how long its header is stands in itself.
        """
        offsets = sorted({info.header_offset for info in self.members.values()} | {self.start})
        following = dict(itertools.pairwise(offsets))
        runs: list[tuple[int, int, list[zipfile.ZipInfo]]] = []
        for info in sorted(infos, key=_offset):
            first, end = info.header_offset, following[info.header_offset]
            if runs and first - runs[-1][1] <= GAP:
                runs[-1] = (runs[-1][0], end, [*runs[-1][2], info])
            else:
                runs.append((first, end, [info]))
        return runs

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        with _readable(self.url):
            if self.local:
                return zipfile.ZipFile(self.url)
            return zipfile.ZipFile(_Pieces(self.total, {self.start: self.directory}))

    def _renewal(self) -> str:
        return f"If the archive was corrected on purpose, delete {self.kept}, list it again and pin the new list."


def open_zip(address: str, cache: Path) -> RemoteZip:
    """The archive at a web address, or the file of that name on this machine's disk.

    Its directory is read once and kept in `cache`; `RemoteZip.fetch` holds the server against it ever after. Raises
    BadArchive, SourceUnavailable, and RangesIgnored for a server that sends whole files only.
    """
    if "://" not in address:
        if not Path(address).is_file():
            raise SourceUnavailable(
                "no such archive",
                where=address,
                fix="Correct the config key `address`: a web address or a place on disk.",
            )
        return RemoteZip(address, Path(address).stat().st_size, "", 0, b"", local=True)
    kept = cache / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.directory"
    if kept.is_file():
        head, _, directory = kept.read_bytes().partition(b"\n")
        return RemoteZip(directory=directory, kept=kept, **json.loads(head))
    _, total, etag = download.read_range(Piece(address, 1, total=0))

    def more(start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`."""
        return download.read_range(Piece(address, end - start, start=start, total=total, etag=etag))[0]

    first = max(0, total - TAIL)
    pieces = _Pieces(total, {first: more(first, total)}, more)
    with _readable(address), zipfile.ZipFile(pieces) as archive:
        start = archive.start_dir
    pieces.seek(start)
    directory = io.BufferedReader(pieces).read(total - start)
    log.info("%s: %d bytes, ETag %s, directory of %d bytes", address, total, etag or "none", len(directory))
    about = {"url": address, "total": total, "etag": etag, "start": start}
    download.write_whole(kept, json.dumps(about).encode() + b"\n" + directory)
    return RemoteZip(directory=directory, kept=kept, **about)


class _Pieces(io.RawIOBase):
    """An archive of `total` bytes of which some parts are here, by their first byte; `more` fetches others."""

    def __init__(
        self, total: int, parts: dict[int, bytes | mmap.mmap], more: Callable[[int, int], bytes] | None = None
    ):
        self._parts = parts
        self._total, self._more, self._at = total, more, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; OSError before the first byte."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._total}[whence]
        if self._at < 0:
            raise OSError("a place before the file")
        return self._at

    def readinto(self, buffer) -> int:
        """Fill `buffer` from what is at hand, at most to its end; how many bytes that were."""
        wanted = min(len(buffer), self._total - self._at)
        if wanted <= 0:
            return 0
        for start, part in self._parts.items():
            if start <= self._at < start + len(part):
                data = part[self._at - start : self._at - start + wanted]
                break
        else:
            if self._more is None:
                raise EOFError("the member reaches beyond its place in the archive")
            data = self._more(self._at, self._at + wanted)
            self._parts[self._at] = data
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@contextmanager
def _readable(where: str):
    try:
        yield
    except zipfile.BadZipFile as error:
        raise BadArchive(
            "this is no zip archive", where=where, found=error, fix="Correct the config key `address`."
        ) from error


def _offset(info: zipfile.ZipInfo) -> int:
    return info.header_offset
