"""One export as one archive, byte for byte the same every time."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ctstyle.apply.cases import Case
from ctstyle.apply.layouts import write_dicom, write_monai, write_nnunet
from ctstyle.cohorts.pinned import pack


def write_export(path: Path, cases: Sequence[Case], *, layout: str, labels: str, dataset: str) -> None:
    """Write the cases in a `layout` (nnunet, monai or dicom) as a stored zip, whole or not at all.

    `labels` and `dataset` as in `layouts.write_nnunet`; a DICOM-SEG has a segment per vertebra either way.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as scratch:
        folder = Path(scratch)
        if layout == "nnunet":
            write_nnunet(folder, cases, labels=labels, dataset=dataset)
        elif layout == "monai":
            write_monai(folder, cases, labels=labels)
        else:
            write_dicom(folder, cases)
        files = (file for file in folder.rglob("*") if file.is_file())
        pack({file.relative_to(folder).as_posix(): file for file in files}, path)
