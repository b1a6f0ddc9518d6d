"""Files of a public S3 bucket over HTTPS, without an account and without a library of the vendor."""

import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ctstyle.cohorts import download
from ctstyle.cohorts.download import Piece, SourceUnavailable


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
    """All objects whose key begins with `prefix` (ListObjectsV2), sorted by key. Raises SourceUnavailable."""
    found: list[Listed] = []
    token = ""
    while True:
        query = {"list-type": "2", "prefix": prefix, **({"continuation-token": token} if token else {})}
        page = _parse(download.get(f"{address}/?{urllib.parse.urlencode(query)}"), f"{address}, {prefix}")
        for one in page.iter("Contents"):
            etag = one.findtext("ETag", "").strip('"')
            found.append(Listed(one.findtext("Key", ""), int(one.findtext("Size", "0")), etag))
        token = page.findtext("NextContinuationToken") or ""
        if page.findtext("IsTruncated") != "true" or not token:
            return sorted(found, key=lambda one: one.key)


def fetch(address: str, listed: Iterable[Listed], folder: Path) -> list[Path]:
    """Fetch objects into `folder`, in the order given, under the last part of their keys (`download.fetch_all`).

    Each file's size, and its MD5 where the bucket tells it, is checked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return download.fetch_all(
        (
            Piece(f"{address}/{urllib.parse.quote(one.key)}", one.size, etag=one.etag and f'"{one.etag}"', md5=one.md5),
            folder / one.key.rpartition("/")[2],
        )
        for one in listed
    )


def _parse(page: bytes, where: str) -> ElementTree.Element:
    """A listing without its namespace."""
    try:
        root = ElementTree.fromstring(page)
    except ElementTree.ParseError as error:
        found = page[:80].decode(errors="replace")
        raise SourceUnavailable("this is no listing of a bucket", where=where, found=found) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root
