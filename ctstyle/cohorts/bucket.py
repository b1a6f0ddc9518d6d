"""Files of a public S3 bucket over HTTPS: listed, fetched in parallel, resumed where a connection broke, verified.

No account and no library of the vendor: the bucket's listing (ListObjectsV2) and plain GET are all that is used.
"""

import hashlib
import http.client
import logging
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ctstyle.errors import CTStyleError

log = logging.getLogger(__name__)

TRIES = 6
FIRST_WAIT_S = 1.0
"""Waited before the second try; doubled for each further one."""
TIMEOUT_S = 60.0
CONNECTIONS = 8
BLOCK = 1 << 20
SPARE = 1.2
"""Free space that is asked for, as a multiple of what is fetched."""


class BucketUnavailable(CTStyleError):
    """The bucket cannot be reached, or does not serve what it lists."""


class NoSpace(CTStyleError):
    """The disk does not hold what would be fetched."""


@dataclass(frozen=True)
class Listed:
    """An object as the bucket lists it: key, bytes, and ETag, which is the MD5 of what was uploaded in one piece."""

    key: str
    size: int
    etag: str

    @property
    def md5(self) -> str:
        """The MD5, or nothing where the object was uploaded in parts."""
        return self.etag if len(self.etag) == 32 and "-" not in self.etag else ""


def list_objects(address: str, prefix: str) -> list[Listed]:
    """All objects whose key begins with `prefix`, sorted by key. Raises BucketUnavailable."""
    found: list[Listed] = []
    token = ""
    while True:
        query = {"list-type": "2", "prefix": prefix, **({"continuation-token": token} if token else {})}
        page = _parse(_get(f"{address}/?{urllib.parse.urlencode(query)}"), f"{address}, {prefix}")
        for one in page.iter("Contents"):
            etag = one.findtext("ETag", "").strip('"')
            found.append(Listed(one.findtext("Key", ""), int(one.findtext("Size", "0")), etag))
        token = page.findtext("NextContinuationToken") or ""
        if page.findtext("IsTruncated") != "true" or not token:
            return sorted(found, key=lambda one: one.key)


def require_space(folder: Path, size: int) -> None:
    """Raises NoSpace where the disk of `folder` has less than SPARE times `size` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < SPARE * size:
        raise NoSpace(
            "the disk is too small for what is to be fetched",
            where=folder,
            found=f"{free / 1e9:.2f} GB free",
            expected=f"{SPARE * size / 1e9:.2f} GB",
            fix="Free some space, or let `pathvars: cohorts` name a folder on a larger disk.",
        )


def fetch(address: str, listed: Iterable[Listed], folder: Path) -> list[Path]:
    """Fetch objects into `folder`, in the order given, under the last part of their keys.

    Files that are there and whole are kept; a part of a file is resumed. Each file's size, and its MD5 where the bucket
    tells it, is checked. Raises BucketUnavailable after TRIES tries.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = list(listed)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(lambda one: _fetch_one(address, one, folder), listed))


def _fetch_one(address: str, one: Listed, folder: Path) -> Path:
    path = folder / one.key.rpartition("/")[2]
    if path.is_file() and _is_whole(path, one):
        return path
    part = path.with_name(path.name + ".part")
    url = f"{address}/{urllib.parse.quote(one.key)}"
    fault = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
        try:
            _continue(url, part, one.size)
        except (OSError, http.client.HTTPException) as error:
            fault = _said(error)
            log.warning("%s: %s, try %d of %d", one.key, fault, attempt + 1, TRIES)
            if isinstance(error, urllib.error.HTTPError) and error.code in (403, 404):
                break
            continue
        if _is_whole(part, one):
            part.replace(path)
            return path
        fault = f"{part.stat().st_size} bytes, MD5 {_md5(part)}"
        log.warning("%s: not what is listed (%s), try %d of %d", one.key, fault, attempt + 1, TRIES)
        part.unlink()
    raise BucketUnavailable(
        "a file could not be fetched",
        where=url,
        found=fault,
        expected=f"{one.size} bytes" + (f", MD5 {one.md5}" if one.md5 else ""),
        fix="Run again: what is whole is kept, and a part is resumed.",
    )


def _continue(url: str, part: Path, size: int) -> None:
    """Append to `part` what is still missing of it."""
    have = part.stat().st_size if part.exists() else 0
    if have > size:
        part.unlink()
        have = 0
    if have == size and part.exists():
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        # a server that does not know ranges sends the whole file
        mode = "ab" if have and answer.status == 206 else "wb"
        with part.open(mode) as file:
            while block := answer.read(BLOCK):
                file.write(block)
    if part.stat().st_size < size:
        raise http.client.IncompleteRead(b"", size - part.stat().st_size)


def _get(url: str) -> bytes:
    fault = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                return answer.read()
        except (OSError, http.client.HTTPException) as error:
            fault = _said(error)
            log.warning("%s: %s, try %d of %d", url, fault, attempt + 1, TRIES)
            if isinstance(error, urllib.error.HTTPError) and error.code in (403, 404):
                break
    raise BucketUnavailable(
        "the bucket cannot be reached",
        where=url,
        found=fault,
        fix="Look at the network, or fetch the files elsewhere and name them in a sheet (docs/own-data.md).",
    )


def _parse(page: bytes, where: str) -> ElementTree.Element:
    """A listing without its namespace."""
    try:
        root = ElementTree.fromstring(page)
    except ElementTree.ParseError as error:
        found = page[:80].decode(errors="replace")
        raise BucketUnavailable("this is no listing of a bucket", where=where, found=found) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _is_whole(path: Path, one: Listed) -> bool:
    return path.stat().st_size == one.size and (not one.md5 or _md5(path) == one.md5)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
