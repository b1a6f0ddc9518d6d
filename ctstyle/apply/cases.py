"""Slices gathered back into volumes: what other tools call cases."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import numpy as np
import pandas as pd

from ctstyle.ct.volume import Volume
from ctstyle.errors import CTStyleError
from ctstyle.segment.generate import Generated
from ctstyle.slices.archive import Archive
from ctstyle.slices.run import SOURCE, labelled

STEP_TOLERANCE_MM = 1e-3
"""Positions in the manifest are rounded to 0.0001 mm."""
COLUMNS = [
    "case",
    "z",
    "side",
    "patient",
    "content_scan",
    "content_index",
    "position_mm",
    "sop_instance_uid",
    "target_style",
    "style_scan",
    "style_index",
    "model",
    "seed",
]
"""The columns of `slices.tsv`, which tells where every slice of an export comes from; the last five are empty for
original slices."""


class NothingToExport(CTStyleError):
    """An arm without a single accepted slice."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """One volume with its labels, read from disk when asked for.

    `side` is train or val. `rows` has a row per slice (`COLUMNS`), in the order of z; `place` is the grid as the fields
    of `dicom.volume.Volume`. `hu()` is int16 and `labels()` uint8 `[z, y, x]` with TotalSegmentator's ids or 255.
    """

    name: str
    side: str
    patient: str
    scan: str
    description: str
    synthetic: bool
    rows: pd.DataFrame
    place: dict
    hu: Callable[[], np.ndarray]
    labels: Callable[[], np.ndarray]

    def volume(self) -> Volume:
        """The case as a volume; its `sop_instance_uids` are those of the content slices."""
        return Volume(hu=self.hu(), **self.place)


def cases(archive: Archive, generated: Generated, *, arm: str, originals: bool, every_mm: float) -> list[Case]:
    """All cases of an arm and seed, by name: generated ones, the labelled slices of validation patients, and with
    `originals` the labelled slices of training patients that a U-Net is trained on beside the generated ones.

    `archive` holds all slices with `style` and `side` (`styles.run.open_run`). Slices of a scan become one volume for
    each target style and each output of a slice, where they are neighbours at equal distances; where the guard refused
    one, or native slices do not fall on even steps, a new volume begins. A volume of one slice is `every_mm` thick.
    Raises NothingToExport.
    """
    made = list(augmented_cases(archive, generated, arm=arm, every_mm=every_mm))
    if not made:
        raise NothingToExport(
            "the guard accepted no generated slice",
            where=f"arm {arm}",
            found=f"refused: {generated.rows['reason'].value_counts().to_dict()}",
            expected="at least one slice",
            fix="Train the transfer for longer, or look at `augment: guard`.",
        )
    for side in ("train", "val") if originals else ("val",):
        made += original_cases(labelled(archive.select(side=side, style=SOURCE)), every_mm=every_mm)
    return sorted(made, key=attrgetter("name"))


def augmented_cases(archive: Archive, generated: Generated, *, arm: str, every_mm: float) -> Iterator[Case]:
    """The accepted slices of an arm as volumes, one for each content scan, target style, output and run of slices."""
    rows = generated.rows.rename(columns={"index": "number"})
    # the outputs of one content slice in one style differ in their style slice alone
    rows["draw"] = rows.groupby(["content_scan", "content_index", "target_style"]).cumcount()
    content = archive.rows.rename(columns={"scan": "content_scan", "index": "content_index"}).drop(columns="style")
    rows = rows[rows["accepted"] == 1].merge(content, on=["content_scan", "content_index"], validate="m:1")
    assert (rows["side"] == "train").all() and len(rows) == len(generated.hu)
    for (scan, target, draw), group in rows.groupby(["content_scan", "target_style", "draw"]):
        for run in stacks(group):
            name = f"{arm}_{scan}_as_{target}_{draw}_{run['content_index'].min():03d}"
            numbers = run["number"].to_numpy()
            yield Case(
                description=f"slices of scan {scan} painted in grey-scale style {target} by model "
                f"{run['model'].iloc[0]}, seed {run['seed'].iloc[0]}",
                synthetic=True,
                hu=partial(np.take, generated.hu, numbers, axis=0),
                labels=partial(np.take, generated.labels, numbers, axis=0),
                **_shared(run, name, archive, every_mm, acquisition={}),
            )


def original_cases(archive: Archive, *, every_mm: float) -> Iterator[Case]:
    """All slices of a selection as volumes, one for each scan and run of slices."""
    rows = archive.rows.rename(columns={"scan": "content_scan", "index": "content_index"})
    rows = rows.assign(number=np.arange(len(rows)), **dict.fromkeys(COLUMNS[-5:], ""))
    for scan, group in rows.groupby("content_scan"):
        for run in stacks(group):
            numbers = run["number"].to_numpy()
            name = f"original_{scan}_{run['content_index'].min():03d}"
            yield Case(
                description=f"slices of scan {scan}, resampled",
                synthetic=False,
                hu=partial(archive.hu, numbers),
                labels=partial(archive.labels, numbers),
                **_shared(run, name, archive, every_mm, acquisition=archive.scans[scan]["acquisition"]),
            )


def stacks(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Rows of one scan (`content_index, position_mm`) as runs of neighbouring slices at equal distances, in the order
    that makes a right-handed grid: axial ones from feet to head, sagittal ones from left to right."""
    rows = rows.sort_values("content_index")
    index, position = rows["content_index"].to_numpy(), rows["position_mm"].to_numpy(float)
    step = np.diff(position)
    start = 0
    for stop in range(1, len(rows) + 1):
        neighbour = stop < len(rows) and index[stop] == index[stop - 1] + 1
        if neighbour and abs(step[stop - 1] - step[start]) < STEP_TOLERANCE_MM:
            continue
        run = rows.iloc[start:stop]
        yield run[::-1] if run["orientation"].iloc[0] == "sagittal" else run
        start = stop


def _shared(run: pd.DataFrame, name: str, archive: Archive, every_mm: float, *, acquisition) -> dict:
    first = run.iloc[0]
    spacing = float(archive.scans[first["content_scan"]]["spacing_mm"])
    position = run["position_mm"].to_numpy(float)
    step = abs(position[-1] - position[0]) / (len(run) - 1) if len(run) > 1 else every_mm
    row, column, at = (float(first[key]) for key in ("row0_mm", "column0_mm", "position_mm"))
    if first["orientation"] == "axial":
        origin, direction = (column, row, at), np.eye(3)
    else:
        # columns run to the back, rows to the feet, slices to the patient's right
        origin, direction = (at, column, row), np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float)
    return {
        "name": name,
        "side": first["side"],
        "patient": first["patient"],
        "scan": first["content_scan"],
        "rows": run.assign(case=name, z=np.arange(len(run)))[COLUMNS],
        "place": {
            "origin_mm": origin,
            "spacing_mm": (spacing, spacing, step),
            "direction": direction,
            "sop_instance_uids": tuple(run["sop_instance_uid"]),
            "acquisition": acquisition,
        },
    }
