"""Spine-Mets-CT-SEG: 55 real CT with masks of every vertebra, two scanners (Siemens and GE), so two natural styles.

The Cancer Imaging Archive, doi 10.7937/kh36-ds04, CC BY 4.0; fetched from the public bucket of the Imaging Data Commons
without an account. `config/spine_mets.tsv` pins patients, series and folders.
"""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ctstyle.cohorts import bucket, download
from ctstyle.cohorts.licence import Licence
from ctstyle.cohorts.packing import pack
from ctstyle.cohorts.pinned import read_pinned
from ctstyle.cohorts.sheet import Scan
from ctstyle.errors import CTStyleError
from ctstyle.run.places import default_cache

ADDRESS = "https://idc-open-data.s3.amazonaws.com"
LICENCE = Licence(
    "CC BY 4.0",
    "https://creativecommons.org/licenses/by/4.0/",
    "Spine-Mets-CT-SEG, The Cancer Imaging Archive, doi 10.7937/kh36-ds04",
)
COLUMNS = ("patient", "manufacturer", "ct_files", "mb", "ct_uid", "ct_folder", "seg_uid", "seg_folder")


class UnexpectedSeries(CTStyleError):
    """What the bucket holds is not what is pinned."""


@dataclasses.dataclass(frozen=True)
class SpineMetsSettings:
    """Which patients take part (None: all), from where, and the table that pins them."""

    patients: tuple[str, ...] | None = None
    address: str = ADDRESS
    pinned: str = "config/spine_mets.tsv"


def pinned(settings: SpineMetsSettings, root: Path) -> pd.DataFrame:
    """The pinned rows of the patients that take part. Raises UnusableList."""
    return read_pinned(root / settings.pinned, COLUMNS, settings.patients, key="patient", where="spine_mets: patients")


def scans(settings: SpineMetsSettings, folder: Path | str, root: Path) -> list[Scan]:
    """One scan per patient, as `fetch` leaves it in `folder`; patients are split by the run, scanner by scanner."""
    return [
        Scan(
            scan=f"spine-mets-{row.patient}",
            patient=f"spine-mets-{row.patient}",
            cohort="spine_mets",
            series=f"{folder}/{row.patient}.zip",
            mask=f"{folder}/{row.patient}.zip",
            label_map="totalsegmentator",
            style_hint=row.manufacturer,
            licence=LICENCE.name,
        )
        for row in pinned(settings, root).itertuples()
    ]


def fetch(row: Mapping[str, str], address: str, path: Path, *, cache: Path | None = None) -> None:
    """Write one patient as a stored zip (`ct/*.dcm`, `seg/*.dcm`, `LICENCE.txt`), whole or not at all.

    `row` is the patient's pinned row. What is fetched is kept beside the zip until all is there, so that a stopped
    fetch goes on. The number of files and the series of each are held against the row; the digests of a first fetch are
    kept in `cache` (default `~/.cache/ctstyle/spine_mets`) and every later fetch is held against them. Raises
    UnexpectedSeries and what `bucket` and `download` raise.
    """
    licence = LICENCE.announce(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    # the files and the zip they are packed into
    download.require_space(path.parent, int(2e6 * float(row["mb"])))
    partial = path.parent / f".{path.name}.fetching"
    members: dict[str, Path] = {}
    for kind, count in (("ct", int(row["ct_files"])), ("seg", 1)):
        prefix = f"{row[f'{kind}_folder']}/"
        listed = [one for one in bucket.list_objects(address, prefix) if one.key.endswith(".dcm")]
        if len(listed) != count:
            raise UnexpectedSeries(
                "the bucket holds another number of files",
                where=f"{address}/{prefix}",
                found=len(listed),
                expected=count,
                fix="The collection may have a new version: compare with config/spine_mets.tsv.",
            )
        files = bucket.fetch(address, listed, partial / kind)
        for file in files:
            _check_series(file, row[f"{kind}_uid"])
            members[f"{kind}/{file.name}"] = file
    known = (cache or default_cache("spine_mets")) / f"{row['ct_folder']}.sha256"
    download.hold_digests(members, known, where=path)
    pack({**members, "LICENCE.txt": licence}, path)
    shutil.rmtree(partial)


def _check_series(file: Path, series_uid: str) -> None:
    import pydicom

    found = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]).get("SeriesInstanceUID")
    if found != series_uid:
        raise UnexpectedSeries("a file of another series", where=file.name, found=found, expected=series_uid)
