"""Members of a zip on a web server, fetched by ranges of bytes without the rest of the archive.

Checked are the CRC-32 and the size of every member and, after the first fetch, that server and archive still say what
they said then: size, ETag and the archive's directory (its list of members) are kept in ctstyle's cache. The digest of
a whole archive that its publisher tells cannot be checked from a part of it.
"""

import hashlib
import io
import itertools
import json
import logging
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import remotezip

from ctstyle.cohorts import download
from ctstyle.cohorts.download import Piece, SourceChanged, SourceUnavailable
from ctstyle.errors import CTStyleError
from ctstyle.provenance.record import write_whole

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
        with self._archive() as archive:
            return {info.filename: info for info in archive.infolist() if not info.is_dir()}

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
            if fault := self._unpack(infos, wanted):
                raise BadArchive("the archive is damaged", where=self.url, found=fault, fix="Download it again.")
            return
        log.info("%d members of %s in %d requests, %.1f MB", len(infos), self.url, len(runs), size / 1e6)
        renewal = f"If the archive was corrected on purpose, delete {self.kept}, list it again and pin the new list."
        about: dict[str, Any] = {"total": self.total, "etag": self.etag, "renewal": renewal}
        fetched = download.fetch_all(
            (
                Piece(self.url, end - start, start=start, **about),
                scratch / f"{start}-{end}.run",
                self._fault_of(start, end, inside, wanted),
            )
            for start, end, inside in runs
        )
        for run in fetched:
            run.unlink()

    def fetch_pinned(self, wanted: Mapping[str, Path], scratch: Path, *, sha256: str, known: Path) -> None:
        """`fetch` of members whose `fingerprint` is pinned, compared with the digests of their first fetch in `known`.

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

    def _fault_of(
        self, start: int, end: int, infos: list[zipfile.ZipInfo], wanted: Mapping[str, Path]
    ) -> Callable[[Path], str]:
        """The function that unpacks a fetched run and returns what is wrong with it, or nothing."""

        def fault_of(run: Path) -> str:
            size = run.stat().st_size
            return f"{size} bytes" if size != end - start else self._unpack(infos, wanted, run, start)

        return fault_of

    def _unpack(
        self, infos: list[zipfile.ZipInfo], wanted: Mapping[str, Path], run: Path | None = None, start: int = 0
    ) -> str:
        with self._archive(run, start) as archive:
            for info in infos:
                target = wanted[info.filename]
                new = target.with_name(f"{target.name}.unpacking")
                try:
                    with archive.open(info.filename) as member, new.open("wb") as file:
                        shutil.copyfileobj(member, file, download.BLOCK)
                except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                    return f"{info.filename}: {error}"
                new.replace(target)
        return ""

    @contextmanager
    def _archive(self, run: Path | None = None, start: int = 0) -> Iterator[zipfile.ZipFile]:
        """The archive, of which only the directory and a `run` of bytes are here: a sparse file with holes between."""
        if self.local:
            with _readable(self.url), zipfile.ZipFile(self.url) as archive:
                yield archive
            return
        with tempfile.TemporaryFile(dir=run and run.parent) as sparse:
            sparse.truncate(self.total)
            sparse.seek(self.start)
            sparse.write(self.directory)
            if run is not None:
                sparse.seek(start)
                with run.open("rb") as stream:
                    shutil.copyfileobj(stream, sparse, download.BLOCK)
            with _readable(self.url), zipfile.ZipFile(sparse) as archive:
                yield archive

    def _runs(self, infos: list[zipfile.ZipInfo]) -> list[tuple[int, int, list[zipfile.ZipInfo]]]:
        """First byte, end and members of what is fetched in one request: members with at most GAP bytes between them.

        A member ends where the next one, or the directory, begins: how long its header is stands in itself.
        """
        offsets = sorted({info.header_offset for info in self.members.values()} | {self.start})
        following = dict(itertools.pairwise(offsets))
        runs: list[tuple[int, int, list[zipfile.ZipInfo]]] = []
        for info in sorted(infos, key=attrgetter("header_offset")):
            first, end = info.header_offset, following[info.header_offset]
            if runs and first - runs[-1][1] <= GAP:
                runs[-1] = (runs[-1][0], end, [*runs[-1][2], info])
            else:
                runs.append((first, end, [info]))
        return runs


def open_zip(address: str, cache: Path) -> RemoteZip:
    """The archive at a web address, or the file of that name on this machine's disk.

    Its directory is read once and kept in `cache`; `RemoteZip.fetch` compares the server with it ever after. Raises
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
    _, total, etag = download.read(Piece(address, 1, total=0))

    def part(start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`."""
        return download.read(Piece(address, end - start, start=start, total=total, etag=etag))[0]

    def fetch(places: tuple[int, int | None], stream: bool = False) -> remotezip.PartialBuffer:
        """A range as remotezip asks for it: first and last byte, or a negative number of bytes before the end."""
        first, last = places
        first = max(0, total + first) if first < 0 else first
        data = part(first, total if last is None else last + 1)
        return remotezip.PartialBuffer(io.BytesIO(data), first, len(data), stream=False)

    with (
        _readable(address),
        remotezip.RemoteZip(address, TAIL, fetcher=lambda *_, **__: SimpleNamespace(fetch=fetch)) as archive,
    ):
        start = archive.start_dir
    directory = part(start, total)
    log.info("%s: %d bytes, ETag %s, directory of %d bytes", address, total, etag or "none", len(directory))
    about = {"url": address, "total": total, "etag": etag, "start": start}
    write_whole(kept, json.dumps(about).encode() + b"\n" + directory)
    return RemoteZip(directory=directory, kept=kept, **about)


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, remotezip.RemoteZipError) as error:
        raise BadArchive(
            "this is no zip archive", where=where, found=error, fix="Correct the config key `address`."
        ) from error
