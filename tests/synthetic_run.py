"""A small run on disk without a scanner: discs with a square vertebra; grey scales differ by shift and slope."""

from pathlib import Path

import numpy as np
import pandas as pd

from ctstyle.slices.archive import ScanFiles, write_scan

SIZE = 32
GREY = {"a": (1.0, 0), "b": (0.5, 200), "c": (1.5, -80)}


def slices(style: str, *, patient: int, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """HU int16 and labels uint8 `[count, 32, 32]`: the same patient shows the same anatomy in every style."""
    rng = np.random.default_rng(patient)
    y, x = np.mgrid[:SIZE, :SIZE]
    hu = np.full((count, SIZE, SIZE), -250.0)
    labels = np.zeros((count, SIZE, SIZE), np.uint8)
    slope, shift = GREY[style]
    for k in range(count):
        body = np.hypot(y - 16, x - 16) < 12 + rng.uniform(0, 2)
        hu[k][body] = slope * rng.normal(40, 15, body.sum()) + shift
        edge = 3 + k
        square = (abs(y - 18) < edge) & (abs(x - 16) < edge)
        hu[k][square] = slope * 300 + shift
        labels[k][square] = 28 + k
    return np.clip(hu, -250, 750).astype(np.int16), labels


def write_run(folder: Path) -> tuple[list[Path], pd.DataFrame]:
    """Write scans of 8 patients of cohort `made` (two of them tested in all styles) and one of cohort `real`.

    Returns the paths of all files and the sheet.
    """
    plan = [(p, "a", "train") for p in range(3)] + [(3, "b", "train"), (4, "c", "train"), (5, "a", "val")]
    plan += [(p, style, "test") for p in (6, 7) for style in GREY]
    rows, paths = [], []
    for patient, style, side in plan:
        rows.append((f"p{patient}-{style}", f"p{patient}", "made", style, side))
    rows.append(("real", "real", "real", "", "test"))
    folder.mkdir(parents=True, exist_ok=True)
    for scan, patient, cohort, style, _ in rows:
        number = 99 if cohort == "real" else int(patient[1:])
        hu, labels = slices(style or "a", patient=number)
        files = ScanFiles.beside(folder / f"{scan}.hu.npy")
        write_scan(
            files,
            hu=hu,
            labels=labels,
            rows=pd.DataFrame(
                {
                    "index": range(len(hu)),
                    "orientation": "axial",
                    "position_mm": [5.0 * k for k in range(len(hu))],
                    "row0_mm": -32.0,
                    "column0_mm": -32.0,
                    "sop_instance_uid": [f"1.2.{number}.{k}" for k in range(len(hu))],
                    "level": [28 + k for k in range(len(hu))],
                    "foreground_px": (labels > 0).sum(axis=(1, 2)),
                    "sha256": "0",
                }
            ),
            scan=scan,
            patient=patient,
            cohort=cohort,
            acquisition={"kvp": 120, "kernel": style, "manufacturer": "maker", "model": "one"},
            grey_values="hounsfield",
            spacing_mm=2.0,
        )
        paths += [files.hu, files.labels, files.rows, files.about]
    sheet = pd.DataFrame(rows, columns=["scan", "patient", "cohort", "style_hint", "split_hint"])
    return paths, sheet


def write_split(sheet: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The split table of such a run with the styles a, b, c as s1, s2, s3 (the real scan is s1).

    The first of the four slices of the real scan lends its style, the last two are scored.
    """
    style = sheet["style_hint"].map({"a": "s1", "b": "s2", "c": "s3", "": "s1"})
    split = sheet[["scan", "patient", "cohort"]].assign(style=style, side=sheet["split_hint"])
    real = sheet["cohort"] == "real"
    split = split.assign(
        lent_to_mm=real.map({True: "0.0", False: ""}), scored_from_mm=real.map({True: "10.0", False: ""})
    )
    split.to_csv(path, sep="\t", index=False)
    return split
