"""VerSe 2019 and 2020: 374 CT of 355 patients with masks of every vertebra, of many scanners.

NIfTI under CC BY-SA 4.0: who shares what was derived from them does so under the same licence. Six archives of several
GB; a scan is fetched out of them by ranges of bytes (`remote_zip`). Their publisher tells no digests: ours of the first
fetch are kept. `list_scans` writes the table that pins subjects and scans; the user puts it where `pinned` says.
"""

import json
import logging
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ctstyle.cohorts.pinned import Collection, Licence
from ctstyle.cohorts.remote_zip import RemoteZip, open_zip
from ctstyle.study.cohorts import VerseSettings

log = logging.getLogger(__name__)

ADDRESS = "https://s3.bonescreen.de/public/VerSe-complete"
COLLECTION = Collection(
    name="verse",
    licence=Licence(
        "CC BY-SA 4.0",
        "https://creativecommons.org/licenses/by-sa/4.0/",
        "VerSe 2019 and 2020 (Sekuboyina et al., doi 10.1016/j.media.2021.102166; Loeffler et al., doi "
        "10.1148/ryai.2020190138; Liebl et al., doi 10.1038/s41597-021-01060-0)",
    ),
    columns=("case", "subject", "set", "manufacturer", "mb", "ct", "mask", "sha256"),
    case="case",
    key="subject",
    label_map="verse",
    prefix="sub-",
)
pinned, scans = COLLECTION.pinned, COLLECTION.scans
IMAGE = re.compile(
    r"(?:.*/)?rawdata/(?P<subject>sub-[A-Za-z0-9]+)/(?P=subject)(?P<entities>(?:_[a-z]+-[A-Za-z0-9]+)*)_ct\.nii\.gz"
)
"""Names as in the Brain Imaging Data Structure: `sub-verse401_split-verse253_ct`, `sub-gl003_dir-ax_ct`."""


def fetch(row: Mapping[str, str], address: str, folder: Path, *, cache: Path | None = None) -> None:
    """Write `ct.nii.gz`, `labels.nii.gz` (VerSe's label ids) and `LICENCE.txt` of a pinned row into `folder`/case.

    A stopped fetch goes on. Raises what `remote_zip` raises.
    """
    archive, known = _archive(address, row["set"], cache), f"{row['set']}-{row['case']}.sha256"
    wanted = {row["ct"]: "ct.nii.gz", row["mask"]: "labels.nii.gz"}
    COLLECTION.fetch(archive, wanted, row, folder, known=COLLECTION.cache(cache) / known)


def list_scans(settings: VerseSettings, path: Path, *, cache: Path | None = None) -> None:
    """Write the table of all scans with a mask in the archives of `sets`; of CT and masks nothing is fetched.

    2020 holds scans of 2019 again, under the same subject: a scan in several sets is taken from the first. The
    manufacturer stands in a small file beside each CT. Raises UnusableList and what `remote_zip` raises.
    """
    rows: dict[str, dict[str, str]] = {}
    for name in settings.sets:
        archive = _archive(settings.address, name, cache)
        found = _scans_of(archive)
        new = {case: row for case, row in found.items() if case not in rows}
        for case, manufacturer in _manufacturers(archive, new).items():
            rows[case] = {"case": case, "set": name, **new[case], "manufacturer": manufacturer}
        log.info("%s: %d scans, %d of them were in a set before it", name, len(found), len(found) - len(new))
    COLLECTION.write_list(path, rows.values(), address=settings.address, layout="rawdata/sub-*/*_ct.nii.gz")


def _archive(address: str, name: str, cache: Path | None) -> RemoteZip:
    return open_zip(f"{address}/dataset-{name}.zip", COLLECTION.cache(cache))


def _scans_of(archive: RemoteZip) -> dict[str, dict[str, str]]:
    """The scans with a mask in an archive, by case: the subject and which of its scans (`verse401-verse253`)."""
    rows, bare = {}, []
    for name in archive.members:
        if not (parts := IMAGE.fullmatch(name)):
            continue
        mask = name.replace("rawdata/", "derivatives/").replace("_ct.nii.gz", "_seg-vert_msk.nii.gz")
        if mask not in archive.members:
            bare.append(name)
            continue
        split = re.search("_split-([A-Za-z0-9]+)", parts["entities"])
        case = "-".join([parts["subject"].removeprefix("sub-"), *(split.groups() if split else ())])
        rows[case] = {
            "subject": parts["subject"],
            "mb": f"{archive.size((name, mask)) / 1e6:.1f}",
            "ct": name,
            "mask": mask,
            "sha256": archive.fingerprint((name, mask)),
        }
    if bare:
        log.warning("%s: %d CT without a mask are left out, such as %s", archive.url, len(bare), bare[0])
    return rows


def _manufacturers(archive: RemoteZip, rows: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The manufacturer of each scan, empty where the archive does not tell."""
    told = {case: row["ct"].removesuffix(".nii.gz") + ".json" for case, row in rows.items()}
    with tempfile.TemporaryDirectory() as scratch:
        wanted = {name: Path(scratch) / f"{case}.json" for case, name in told.items() if name in archive.members}
        archive.fetch(wanted, Path(scratch))
        about = {name: json.loads(file.read_text()) for name, file in wanted.items()}
    return {case: str(about.get(name, {}).get("Manufacturer", "")) for case, name in told.items()}
