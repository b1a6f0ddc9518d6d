"""Files over HTTPS: resumed where a connection broke, tried again with waits, checked against the first fetch."""

import errno
import hashlib
import ipaddress
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from ctstyle.errors import CTStyleError
from ctstyle.provenance.digest import sha256_file
from ctstyle.provenance.record import write_whole

log = logging.getLogger(__name__)

T = TypeVar("T")
TRIES = 6
FIRST_WAIT_S = 1.0
"""Waited before the second try; doubled for each further one, or longer where the server says so (Retry-After)."""
LONGEST_WAIT_S = 600.0
"""A server that asks for more is not waited for."""
TIMEOUT_S = 60.0
CONNECTIONS = 8
BLOCK = 1 << 20
REPORT_S = 15.0
SPARE = 1.2
"""Free space that is needed, as a multiple of what is fetched."""
LARGEST = 64 << 20
"""Bytes of an answer of unknown size, above which a server is not listened to."""
REDIRECTS = {"idc-open-data.s3.amazonaws.com": ("idc-open-data.s3.us-east-1.amazonaws.com",)}
"""Other hosts that a server may send its callers to. Any may send them to another address of its own."""
MOST_REDIRECTS = 10
FINAL = (400, 401, 403, 404, 410, 416)
"""Answers that another try does not change."""


class SourceUnavailable(CTStyleError):
    """A server cannot be reached, or does not serve what it should."""


class AddressRefused(CTStyleError):
    """An address that is refused: it is no https, or a redirect to another host."""


class SourceChanged(CTStyleError):
    """A server holds another version of a file than before."""


class RangesIgnored(CTStyleError):
    """A server sends whole files only, where a part of one is needed."""


class NoSpace(CTStyleError):
    """The disk does not hold what would be fetched."""


class _Damaged(OSError):
    """What arrived is not what should have arrived."""


@dataclass(frozen=True)
class Piece:
    """`size` bytes from `start` on of the file at `url`, or all of it, and what is known of it beforehand.

    Where the `size` is not known (None), any up to `largest` bytes will do. `total` is the size of the whole file (0:
    not known; None: the piece is the whole), `etag` the server's name for its version as it stands in the header, `md5`
    that of the piece; both may be empty. `renewal` is the way out where the server holds another version.
    """

    url: str
    size: int | None = None
    start: int = 0
    total: int | None = None
    etag: str = ""
    md5: str = ""
    renewal: str = "Run again: parts of two versions are never joined."
    largest: int = LARGEST

    @property
    def most(self) -> int:
        """The bytes that may arrive."""
        return self.largest if self.size is None else self.size

    def fault(self, path: Path) -> str:
        """What is wrong with the fetched bytes, or nothing."""
        size = path.stat().st_size
        if self.size not in (None, size):
            return f"{size} bytes"
        if self.md5 and (found := _md5(path)) != self.md5:
            return f"MD5 {found}"
        return ""


def require_space(folder: Path, size: int) -> None:
    """Raises NoSpace where the disk of `folder` has less than SPARE times `size` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < SPARE * size:
        raise _no_space(folder, f"{free / 1e9:.2f} GB free", f"{SPARE * size / 1e9:.2f} GB")


def fetch_all(wanted: Iterable[tuple]) -> list[Path]:
    """`fetch` of many, each a tuple of its arguments, CONNECTIONS at a time; the paths in the order given."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(lambda one: fetch(*one), list(wanted)))


def fetch(piece: Piece, path: Path, fault_of: Callable[[Path], str] | None = None) -> Path:
    """Write a piece to `path`, whole or not at all, and return the path.

    A file that is there and whole is kept. A part of one is resumed, with If-Range, so that two versions of a file are
    never joined. `fault_of` says what is wrong with the fetched bytes (default: size and MD5); what is wrong is fetched
    again. Raises SourceUnavailable after TRIES tries, AddressRefused, SourceChanged, RangesIgnored and NoSpace.
    """
    fault_of = fault_of or piece.fault
    if path.is_file() and not fault_of(path):
        return path
    part = part_of(piece, path)
    for other in path.parent.glob(f"{path.name}.*.part"):
        if other != part:
            other.unlink()

    def attempt() -> None:
        """One try to fetch the rest of the piece."""
        _continue(piece, part)
        if fault := fault_of(part):
            part.unlink()
            raise _Damaged(f"not what was expected: {fault}")

    expected = f"{piece.size} bytes" + (f", MD5 {piece.md5}" if piece.md5 else "")
    persist(attempt, where=piece.url, expected=expected, fix="Run again: what is whole is kept, and a part is resumed.")
    return part.replace(path)


def part_of(piece: Piece, path: Path) -> Path:
    """Where a piece lies until it is whole; each version of a file has a place of its own."""
    version = hashlib.sha256(f"{piece.etag} {piece.total or piece.size}".encode()).hexdigest()[:8]
    return path.with_name(f"{path.name}.{version}.part")


def read(piece: Piece) -> tuple[bytes, int, str]:
    """The bytes of a piece, in memory, and size and ETag of the file it belongs to, which need not be known before.

    Raises as `fetch`.
    """

    def attempt() -> tuple[bytes, int, str]:
        """One try: the bytes, the size of the whole and its ETag."""
        with _open_at(piece, piece.start) as answer:
            data = b"".join(_blocks(answer, piece.most))
            if piece.size not in (None, len(data)):
                raise _Damaged(f"{len(data)} bytes")
            return data, _total(answer), answer.headers.get("ETag", "")

    return persist(attempt, where=piece.url)


def persist(
    attempt: Callable[[], T],
    *,
    where: str,
    expected: str | None = None,
    fix: str = "Look at the network, or fetch the files elsewhere and name them in a sheet (docs/own-data.md).",
) -> T:
    """The result of `attempt`, tried TRIES times with growing waits, or those that the server asks for.

    Raises SourceUnavailable after the last try, or at once where the answer is final (FINAL); NoSpace for a full disk.
    """
    fault, asked_s = "", 0.0
    for number in range(TRIES):
        if number:
            time.sleep(max(FIRST_WAIT_S * 2 ** (number - 1), asked_s))
        try:
            return attempt()
        except (OSError, HTTPError) as error:  # those of requests are OSErrors
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise _no_space(getattr(error, "filename", None) or where, error, "room for the rest") from error
            answer = getattr(error, "response", None)
            fault, asked_s = f"{type(error).__name__}: {error}", _retry_after_s(answer)
            log.warning("%s: %s, try %d of %d", where, fault, number + 1, TRIES)
            if asked_s > LONGEST_WAIT_S:
                fault += f", the server asks to wait {asked_s:.0f} s"
            if asked_s > LONGEST_WAIT_S or (answer is not None and answer.status_code in FINAL):
                break
    raise SourceUnavailable("this could not be fetched", where=where, found=fault, expected=expected, fix=fix)


def hold_digests(members: Mapping[str, Path], known: Path, *, where: object) -> None:
    """Compare files with the SHA-256 of the first fetch, which lie in `known`; where this is the first, keep theirs.

    Raises SourceChanged.
    """
    lines = "".join(f"{sha256_file(members[name])}  {name}\n" for name in sorted(members))
    if not known.exists():
        write_whole(known, lines)
        return
    before = known.read_text()
    if lines != before:
        changed = sorted(set(lines.splitlines()) ^ set(before.splitlines()))
        raise SourceChanged(
            "the server sends other files than at the first fetch",
            where=where,
            found=f"{len(changed)} changed lines, such as {changed[0]}",
            expected=f"the digests in {known.name}",
            fix=f"If the collection was corrected on purpose, delete {known} and run again.",
        )


def open_url(url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
    """The answer of a server. Only https is spoken, but for a server on this machine (mirrors, tests).

    Redirects are followed to the same host, or to one of REDIRECTS. Raises AddressRefused and the errors of requests.
    """
    sent = {"User-Agent": "ctstyle", "Accept-Encoding": "identity", **(headers or {})}
    place = url
    for _ in range(MOST_REDIRECTS):
        _check_address(place, url)
        answer = requests.get(place, headers=sent, timeout=TIMEOUT_S, stream=True, allow_redirects=False)
        if not answer.is_redirect:
            answer.raise_for_status()
            return answer
        answer.close()
        try:
            place = urljoin(place, answer.headers["Location"])
        except ValueError as error:
            raise AddressRefused("a redirect to what is no address", where=url, found=error) from error
    raise AddressRefused("too many redirects", where=url)


def _continue(piece: Piece, part: Path) -> None:
    """Append to `part` what is still missing of it."""
    have = part.stat().st_size if part.exists() else 0
    if have and have == piece.size:
        return
    if have > (piece.size or 0):
        have = 0
    with _open_at(piece, piece.start + have) as answer:
        # a server that does not know ranges sends the whole file
        resumed, said = answer.status_code == 206, time.monotonic()
        with part.open("ab" if resumed and have else "wb") as file:
            for block in _blocks(answer, piece.most - (have if resumed else 0)):
                file.write(block)
                if time.monotonic() - said > REPORT_S:
                    said = time.monotonic()
                    log.info("%s: %d of %s MB", piece.url, file.tell() // 10**6, (piece.size or 0) // 10**6 or "?")


def _blocks(answer: requests.Response, most: int) -> Iterator[bytes]:
    """The bytes of an answer as they arrive. Raises _Damaged where they are more than `most`."""
    while block := answer.raw.read1(BLOCK):
        most -= len(block)
        if most < 0:
            raise _Damaged("more bytes than were announced")
        yield block


def _open_at(piece: Piece, first: int) -> requests.Response:
    """The answer with the bytes of a piece from byte `first` of its file on; it is of the version that is wanted."""
    headers = {}
    if piece.size is not None and (first or piece.total is not None):
        headers["Range"] = f"bytes={first}-{piece.start + piece.size - 1}"
        if piece.etag and not piece.etag.startswith("W/"):
            headers["If-Range"] = piece.etag
    answer = open_url(piece.url, headers)
    try:
        _check_version(answer, piece, first)
    except BaseException:
        answer.close()
        raise
    return answer


def _check_version(answer: requests.Response, piece: Piece, first: int) -> None:
    etag, total = answer.headers.get("ETag", ""), _total(answer)
    if answer.status_code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {first}-"):
        raise _Damaged(f"another range: {answer.headers.get('Content-Range')}")
    if (piece.etag and etag and etag != piece.etag) or (piece.total and total and total != piece.total):
        raise SourceChanged(
            "the server holds another version of this file",
            where=piece.url,
            found=f"{total} bytes, ETag {etag or 'none'}",
            expected=f"{piece.total or piece.size} bytes, ETag {piece.etag or 'any'}",
            fix=piece.renewal,
        )
    if piece.total is not None and answer.status_code != 206:
        raise RangesIgnored(
            "the server sends whole files only",
            where=piece.url,
            found="an answer without a range",
            expected=f"a part of the file, from byte {piece.start} on",
            fix="Download the whole file once by other means, and let the config key `address` name its place on disk.",
        )


def _total(answer: requests.Response) -> int:
    """Bytes of the whole file, 0 where the server does not tell."""
    told = answer.headers.get("Content-Length", "")
    if answer.status_code == 206:
        told = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(told) if told.isdigit() else 0


def _check_address(url: str, asked: str) -> None:
    """Raise AddressRefused for an address that neither was given nor may be redirected to, or that is no https."""
    try:
        parts, origin = urlsplit(url), urlsplit(asked)
        host, home = parts.hostname or "", origin.hostname or ""
        same = host == home and (parts.port == origin.port or parts.scheme == "https")
    except ValueError as error:
        raise AddressRefused("not an address", where=asked, found=url) from error
    safe = parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))
    if not host or not safe or not (same or host in REDIRECTS.get(home, ())):
        raise AddressRefused(
            "this address is refused",
            where=asked,
            found=url,
            expected="https, and after a redirect the same host",
            fix="Name the address that the server sends you to, once you know that it is right.",
        )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after_s(answer: requests.Response | None) -> float:
    """Seconds that the server asks to wait (RFC 9110, 10.2.3: a number or a date), else 0."""
    if answer is None:
        return 0.0
    try:
        return Retry(retry_after_max=10**9).parse_retry_after(answer.headers.get("Retry-After", "0"))
    except InvalidHeader:
        return 0.0


def _no_space(where: object, found: object, expected: str) -> NoSpace:
    return NoSpace(
        "the disk is too small for what is to be fetched",
        where=where,
        found=found,
        expected=expected,
        fix="Free some space, or let `pathvars: results` name a folder on a larger disk.",
    )


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
