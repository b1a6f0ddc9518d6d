"""Spine-Mets-CT-SEG: 55 real CT with masks of every vertebra, two scanners (Siemens and GE), so two natural styles.

The Cancer Imaging Archive, doi 10.7937/kh36-ds04, CC BY 4.0; fetched from the public bucket of the Imaging Data Commons
without an account. `config/spine_mets.tsv` pins patients, series and folders.
"""

import shutil
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from ctstyle.cohorts import download
from ctstyle.cohorts.download import Piece, SourceUnavailable
from ctstyle.cohorts.pinned import Collection, Licence, pack
from ctstyle.errors import CTStyleError

ADDRESS = "https://idc-open-data.s3.amazonaws.com"
COLLECTION = Collection(
    name="spine_mets",
    licence=Licence(
        "CC BY 4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        "Spine-Mets-CT-SEG, The Cancer Imaging Archive, doi 10.7937/kh36-ds04",
    ),
    columns=("patient", "manufacturer", "ct_files", "mb", "ct_uid", "ct_folder", "seg_uid", "seg_folder"),
    case="patient",
    key="patient",
    series="{case}.zip",
    mask="{case}.zip",
)


pinned, scans = COLLECTION.pinned, COLLECTION.scans


class UnexpectedSeries(CTStyleError):
    """What the bucket holds is not what is pinned."""


def fetch(row: Mapping[str, str], address: str, folder: Path, *, cache: Path | None = None) -> None:
    """Write the patient of a pinned row as a stored zip (`ct/*.dcm`, `seg/*.dcm`, `LICENCE.txt`) into `folder`.

    What is fetched is kept beside the zip until all is there, so that a stopped fetch goes on. The number of files and
    the series of each are compared with the row, and their digests with those of the first fetch, kept in `cache`
    (default `~/.cache/ctstyle/spine_mets`). Raises UnexpectedSeries and what `download` raises.
    """
    licence = COLLECTION.licence.announce(address)
    folder.mkdir(parents=True, exist_ok=True)
    # the files and the zip they are packed into
    download.require_space(folder, int(2e6 * float(row["mb"])))
    path = folder / COLLECTION.series.format(case=row["patient"])
    partial = folder / f".{path.name}.fetching"
    members: dict[str, Path] = {}
    for kind, count in (("ct", int(row["ct_files"])), ("seg", 1)):
        prefix = f"{row[f'{kind}_folder']}/"
        listed = {key: piece for key, piece in list_objects(address, prefix).items() if key.endswith(".dcm")}
        if len(listed) != count:
            raise UnexpectedSeries(
                "the bucket holds another number of files",
                where=f"{address}/{prefix}",
                found=len(listed),
                expected=count,
                fix="The collection may have a new version: compare with config/spine_mets.tsv.",
            )
        (partial / kind).mkdir(parents=True, exist_ok=True)
        wanted = [(piece, partial / kind / key.rpartition("/")[2]) for key, piece in listed.items()]
        for file in download.fetch_all(wanted):
            _check_series(file, row[f"{kind}_uid"])
            members[f"{kind}/{file.name}"] = file
    download.hold_digests(members, COLLECTION.cache(cache) / f"{row['ct_folder']}.sha256", where=path)
    pack({**members, "LICENCE.txt": licence}, path)
    shutil.rmtree(partial)


def list_objects(address: str, prefix: str) -> dict[str, Piece]:
    """All objects of a public S3 bucket whose key begins with `prefix` (ListObjectsV2), by key, sorted.

    The ETag is the MD5 of what was uploaded in one piece, and not of what was uploaded in parts. Raises
    SourceUnavailable.
    """
    found: dict[str, Piece] = {}
    token = ""
    while True:
        query = {"list-type": "2", "prefix": prefix, **({"continuation-token": token} if token else {})}
        answer, _, _ = download.read(Piece(f"{address}/?{urllib.parse.urlencode(query)}"))
        page = _parse(answer, f"{address}, {prefix}")
        for one in page.iter("Contents"):
            key, etag = one.findtext("Key", ""), one.findtext("ETag", "").strip('"')
            found[key] = Piece(
                f"{address}/{urllib.parse.quote(key)}",
                int(one.findtext("Size", "0")),
                etag=etag and f'"{etag}"',
                md5=etag if len(etag) == 32 and "-" not in etag else "",
            )
        token = page.findtext("NextContinuationToken") or ""
        if page.findtext("IsTruncated") != "true" or not token:
            return dict(sorted(found.items()))


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


def _check_series(file: Path, series_uid: str) -> None:
    import pydicom

    found = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]).get("SeriesInstanceUID")
    if found != series_uid:
        raise UnexpectedSeries("a file of another series", where=file.name, found=found, expected=series_uid)
