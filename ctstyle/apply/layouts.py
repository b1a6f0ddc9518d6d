"""The layouts: nnU-Net v2's raw folder, a MONAI data list with its files, and derived DICOM."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctstyle.apply.cases import Case
from ctstyle.ct.anatomy import STRUCTURE, VERTEBRA_NAMES
from ctstyle.ct.write import uid, write_derived

DESCRIPTION = "Slices of spine CT with vertebra masks, painted in other grey scales by ctstyle"
ENDING = ".nii.gz"


def classes(cases: Sequence[Case], labels: str) -> tuple[dict[str, int], np.ndarray]:
    """Names and consecutive numbers of the classes, background first, and the table from label ids to these numbers.

    `labels` is "foreground" (one class, whatever is a vertebra) or "levels" (one class for each label in the cases, in
    the order of TotalSegmentator's ids; 255 is "vertebra"). The table is uint8 with 256 entries.
    """
    table = np.zeros(256, np.uint8)
    if labels == "foreground":
        table[1:] = 1
        return {"background": 0, STRUCTURE: 1}, table
    present = sorted({int(label) for case in cases for label in np.unique(case.labels()) if label})
    table[present] = np.arange(1, len(present) + 1)
    names = {VERTEBRA_NAMES.get(label, STRUCTURE): int(table[label]) for label in present}
    return {"background": 0, **names}, table


def write_nnunet(folder: Path, cases: Sequence[Case], *, labels: str, dataset: str) -> None:
    """nnU-Net v2's raw layout: `{dataset}/imagesTr`, `labelsTr`, `dataset.json`, and `splits_final.json`.

    nnU-Net draws its own folds, which would put slices of one patient on both sides; it takes these instead where the
    file lies in its folder of preprocessed data.
    """
    root = folder / dataset
    names, table = classes(cases, labels)
    for case in cases:
        _write_nifti(case, root / "imagesTr" / f"{case.name}_0000{ENDING}", root / "labelsTr" / case.name, table)
    _write_json(
        root / "dataset.json",
        {
            "channel_names": {"0": "CT"},
            "labels": names,
            "numTraining": len(cases),
            "file_ending": ENDING,
            "overwrite_image_reader_writer": "SimpleITKIO",
            "name": dataset,
            "description": DESCRIPTION,
        },
    )
    sides = {side: [case.name for case in cases if case.side == side] for side in ("train", "val")}
    if all(sides.values()):
        _write_json(root / "splits_final.json", [sides])
    _write_rows(root / "slices.tsv", cases)


def write_monai(folder: Path, cases: Sequence[Case], *, labels: str) -> None:
    """`datalist.json` with the lists `training` and `validation` (`monai.data.load_decathlon_datalist`), `images`,
    `labels`; paths are relative to the list."""
    names, table = classes(cases, labels)
    lists: dict[str, list] = {"train": [], "val": []}
    for case in cases:
        image = f"images/{case.name}{ENDING}"
        _write_nifti(case, folder / image, folder / "labels" / case.name, table)
        item = {"image": image, "label": f"labels/{case.name}{ENDING}", "patient": case.patient}
        lists[case.side].append(item)
    _write_json(
        folder / "datalist.json",
        {
            "name": "ctstyle",
            "description": DESCRIPTION,
            "modality": {"0": "CT"},
            "labels": {str(number): name for name, number in names.items()},
            "numTraining": len(lists["train"]),
            "numTest": 0,
            "training": lists["train"],
            "validation": lists["val"],
        },
    )
    _write_rows(folder / "slices.tsv", cases)


def write_dicom(folder: Path, cases: Sequence[Case]) -> None:
    """A derived CT series and its DICOM-SEG for each case, in `train/{case}` and `val/{case}` (`dicom.derived`).

    All cases of a scan share its frame of reference.
    """
    for case in cases:
        write_derived(
            folder / case.side / case.name,
            case.volume(),
            patient=case.patient,
            name=case.name,
            description=case.description,
            labels=case.labels(),
            frame_of_reference_uid=uid(case.patient, case.scan, "exported frame"),
            synthetic=case.synthetic,
        )
    _write_rows(folder / "slices.tsv", cases)


def _write_nifti(case: Case, image: Path, label: Path, table: np.ndarray) -> None:
    import SimpleITK

    volume = case.volume()
    for path, values in ((image, volume.hu), (label.with_name(f"{label.name}{ENDING}"), table[case.labels()])):
        path.parent.mkdir(parents=True, exist_ok=True)
        # LPS becomes NIfTI's RAS here; ITK leaves time and name out of the gzip header
        SimpleITK.WriteImage(volume.grid.to_sitk(values), str(path), useCompression=True)


def _write_json(path: Path, content: Mapping[str, Any] | list) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _write_rows(path: Path, cases: Sequence[Case]) -> None:
    import pandas as pd

    pd.concat([case.rows for case in cases]).to_csv(path, sep="\t", index=False, lineterminator="\n")
