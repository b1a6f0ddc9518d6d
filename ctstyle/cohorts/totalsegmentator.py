"""TotalSegmentator's training data, v2.0.1: CT of a university hospital's routine at 1.5 mm, one file per vertebra.

NIfTI under CC BY 4.0: 102 subjects (Zenodo 10047263, 3.2 GB, the default) or 1228 (Zenodo 10047292, 23.6 GB). A subject
is fetched out of the archive by ranges of bytes (`remote_zip`). The archive's published size and MD5 are held against
what the server says of it; its bytes as a whole are not fetched, so they are not hashed. Labels were made by networks
and corrected by physicians. Whether two subjects are one patient is not published; they count as two.
"""

import csv
import logging
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import numpy as np

from ctstyle.cohorts.download import SourceChanged
from ctstyle.cohorts.pinned import Collection, Licence
from ctstyle.cohorts.remote_zip import RemoteZip, open_zip
from ctstyle.ct.anatomy import VERTEBRA_NAMES
from ctstyle.errors import CTStyleError
from ctstyle.study.cohorts import TotalSegmentatorSettings

log = logging.getLogger(__name__)

ADDRESS = "https://zenodo.org/records/10047263/files/Totalsegmentator_dataset_small_v201.zip?download=1"
PUBLISHED = {
    "Totalsegmentator_dataset_small_v201.zip": (3_244_617_817, "6b5524af4b15e6ba06ef2d700c0c73e0"),
    "Totalsegmentator_dataset_v201.zip": (23_581_218_285, "fe250e5718e0a3b5df4c4ea9d58a62fe"),
}
"""Bytes and MD5 of the archives as Zenodo publishes them; it names a file's version (ETag) by that MD5."""
COLLECTION = Collection(
    name="totalsegmentator",
    licence=Licence(
        "CC BY 4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        "TotalSegmentator dataset v2.0.1, Wasserthal et al., Zenodo records 10047263 and 10047292, doi "
        "10.1148/ryai.230024",
        changes="masks of vertebrae merged into one file; the CT is the publisher's.",
    ),
    columns=("subject", "manufacturer", "mb", "folder", "sha256"),
    case="subject",
    key="subject",
)
pinned, scans = COLLECTION.pinned, COLLECTION.scans
MASKS = {f"{'' if name == 'sacrum' else 'vertebrae_'}{name}.nii.gz": label for label, name in VERTEBRA_NAMES.items()}
"""File of each vertebra, and its id."""


class UnequalGrids(CTStyleError):
    """A mask does not lie on the grid of its CT."""


def fetch(row: Mapping[str, str], address: str, folder: Path, *, cache: Path | None = None) -> None:
    """Write `ct.nii.gz`, `labels.nii.gz` (uint8, TotalSegmentator's ids), `LICENCE.txt` of a row to `folder`/subject.

    A stopped fetch goes on. Raises UnequalGrids and what `remote_zip` raises.
    """
    archive = _archive(address, cache)
    wanted = {name: PurePosixPath(name).name for name in _members(row["folder"], archive.members)}

    def finish(scratch: Path) -> None:
        """Merge the masks."""
        masks = {scratch / name: label for name, label in MASKS.items()}
        merge_masks(scratch / "ct.nii.gz", masks, scratch / "labels.nii.gz")

    known = COLLECTION.cache(cache) / f"{row['subject']}.sha256"
    COLLECTION.fetch(archive, wanted, row, folder, known=known, finish=finish)


def list_scans(settings: TotalSegmentatorSettings, path: Path, *, cache: Path | None = None) -> None:
    """Write the table of all subjects in the archive; of CT and masks nothing is fetched.

    Subjects without any vertebra in view are listed too: that stands in the masks. Raises UnusableList and what
    `remote_zip` raises.
    """
    archive = _archive(settings.address, cache)
    told = _meta(archive)
    rows = []
    for name in archive.members:
        if found := re.fullmatch(r"((?:.*/)?(s\d{4}))/ct\.nii\.gz", name):
            folder, subject = found.groups()
            names = _members(folder, archive.members)
            row = {"subject": subject, "manufacturer": told.get(subject, ""), "folder": folder}
            rows.append(row | {"mb": f"{archive.size(names) / 1e6:.1f}", "sha256": archive.fingerprint(names)})
    address = urlsplit(settings.address)._replace(query="").geturl()
    COLLECTION.write_list(path, rows, address=address, layout="s0011/ct.nii.gz")


def merge_masks(ct: Path, masks: Mapping[Path, int], path: Path) -> None:
    """Write one label file (uint8, on the grid of `ct`) from binary masks; files that do not exist are no labels.

    Where masks overlap, the higher id stands. Raises UnequalGrids and the errors of `dicom.read.read_image`.
    """
    import SimpleITK

    from ctstyle.ct.volume_file import read_image

    image = read_image(ct)
    labels = np.zeros(image.GetSize()[::-1], np.uint8)
    for mask, label in sorted(masks.items(), key=lambda item: item[1]):
        if not mask.is_file():
            continue
        marked = read_image(mask)
        if marked.GetSize() != image.GetSize() or not np.allclose(marked.GetOrigin(), image.GetOrigin(), atol=1e-2):
            raise UnequalGrids(
                "a mask does not lie on the grid of its CT",
                where=mask.name,
                found=f"{marked.GetSize()} voxels at {marked.GetOrigin()}",
                expected=f"{image.GetSize()} voxels at {image.GetOrigin()}",
                fix="Leave the subject out (totalsegmentator: subjects).",
            )
        labels[SimpleITK.GetArrayFromImage(marked) > 0] = label
    if not labels.any():
        log.warning("%s: no vertebra is in view", ct)
    merged = SimpleITK.GetImageFromArray(labels)
    merged.CopyInformation(image)
    SimpleITK.WriteImage(merged, str(path), useCompression=True)


def _members(folder: str, members: Iterable[str]) -> list[str]:
    """The CT and the masks of vertebrae of one subject."""
    wanted = [f"{folder}/ct.nii.gz", *(f"{folder}/segmentations/{name}" for name in MASKS)]
    return [wanted[0], *(name for name in wanted[1:] if name in members)]


def _archive(address: str, cache: Path | None) -> RemoteZip:
    archive = open_zip(address, COLLECTION.cache(cache))
    size, md5 = PUBLISHED.get(PurePosixPath(urlsplit(address).path).name, (archive.total, ""))
    told = re.search(r"md5:([0-9a-f]{32})", archive.etag)
    if archive.total != size or (told and md5 and told[1] != md5):
        raise SourceChanged(
            "this is not the archive that was published",
            where=address,
            found=f"{archive.total} bytes, ETag {archive.etag or 'none'}",
            expected=f"{size} bytes, MD5 {md5}",
            fix="Correct `totalsegmentator: address`; another version of the data needs another file name.",
        )
    return archive


def _meta(archive: RemoteZip) -> dict[str, str]:
    """Manufacturer, or where that is not told the institute's number, of each subject, from the archive's meta.csv."""
    name = next((name for name in archive.members if PurePosixPath(name).name == "meta.csv"), None)
    if name is None:
        return {}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "meta.csv"
        archive.fetch({name: file}, Path(scratch))
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines(), delimiter=";"))
    return {row.get("image_id", ""): row.get("manufacturer") or row.get("institute") or "" for row in rows}
