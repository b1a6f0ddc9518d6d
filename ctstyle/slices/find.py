"""From the slices of all scans to their grey-scale styles and the split of their patients."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ctstyle.errors import CTStyleError
from ctstyle.slices.archive import Archive
from ctstyle.slices.body import body_mask
from ctstyle.slices.cluster import cluster
from ctstyle.slices.features import feature_frame
from ctstyle.slices.run import SOURCE
from ctstyle.slices.split import LENT_TO, SCORED_FROM, NoSplit, bounds, split
from ctstyle.slices.window import Window
from ctstyle.study.data import ClusterSettings, RegionSettings, SplitSettings


class NoUsableScans(CTStyleError):
    """Every scan of a run was skipped."""


class NothingLent(CTStyleError):
    """No scan lends its style, and an arm needs one."""


@dataclass(frozen=True)
class Found:
    """`styles`: `scan, patient, cohort, style, style_hint`, features. `split`: `scan, patient, cohort, style, side` and
    the bounds of the regions, empty but for axial scans of cohorts that train nothing.

    `agreement` is the adjusted Rand index of the found styles with the sheet's style hints.
    """

    styles: pd.DataFrame
    split: pd.DataFrame
    agreement: float


def find_styles(
    archive: Archive,
    scans: pd.DataFrame,
    *,
    clustering: ClusterSettings,
    splitting: SplitSettings,
    lending: RegionSettings,
    window: Window,
    must_lend: bool = False,
) -> Found:
    """Split the patients, find the styles on the training scans and give every scan its style.

    `scans` is the sheet (columns of `cohorts.sheet.Scan`); scans without slices were skipped and have no row in the
    results. Patients are stratified by how they were scanned (maker, model, kernel, kVp, kind of export). `must_lend`
    asks for a scan that lends its style (`regions`), so that an arm which needs one is known to be possible before
    anything is trained. Raises NoUsableScans, NoSplit, NoStyles, EmptyBody and NothingLent.
    """
    used = scans[scans["scan"].isin(set(archive.rows["scan"]))].reset_index(drop=True)
    if used.empty:
        raise NoUsableScans(
            "no scan can be used",
            where="cohorts",
            found="; ".join(f"{name}: {reason}" for name, reason in archive.reasons.items()) or "no scan",
            expected="at least two patients",
            fix="Mend the scans, or add others to the sheet.",
        )
    groups = [_acquisition_group(archive.scans[scan]) for scan in used["scan"]]
    side = split(used.assign(group=groups), splitting)
    table = feature_frame(_pixels(archive, scan, window) for scan in used["scan"])
    foreground = archive.rows.groupby("scan")["foreground_px"].sum()
    found = cluster(
        table,
        side.index[side == "train"],
        clustering,
        hints=used.set_index("scan")["style_hint"],
        labelled=set(foreground.index[foreground > 0]),
    )
    base = used[["scan", "patient", "cohort"]].assign(style=found.style[used["scan"]].to_numpy())
    styles = base.assign(style_hint=used["style_hint"]).merge(table.reset_index(), on="scan", validate="1:1")
    divided = base.assign(side=side[used["scan"]].to_numpy())
    _require_content(divided)
    columns = _bounds(archive, divided, lending)
    if must_lend and not any(columns[LENT_TO]):
        raise NothingLent(
            "no test scan lends its style to the arm transductive",
            where="lending",
            found="no axial scan of a cohort that trains nothing has half of its slices "
            f"{lending.gap_mm:g} mm beyond the {lending.share:.0%} that it would lend",
            expected="a cohort for testing alone with scans long enough, as lidc0001",
            fix="Add one, or leave `transductive` out of `segment: arms`.",
        )
    return Found(styles, divided.assign(**columns), found.agreement)


def _require_content(split: pd.DataFrame) -> None:
    """Raise NoSplit where no test patient was scanned in the source style, in a cohort that trains."""
    trained = set(split.loc[split["side"] == "train", "cohort"])
    source = split[(split["style"] == SOURCE) & split["cohort"].isin(trained)]
    if (source["side"] == "test").any():
        return
    raise NoSplit(
        "no test patient was scanned in the source style, so no transfer could be judged",
        where="split",
        found=f"{SOURCE}: " + ", ".join(f"{scan} ({side})" for scan, side in zip(source["scan"], source["side"])),
        expected=f"at least one scan of {SOURCE} on the test side",
        fix="Write `test` in the column split_hint of one of them, take another `split: seed`, or add patients.",
    )


def _bounds(archive: Archive, split: pd.DataFrame, lending: RegionSettings) -> dict[str, list[str]]:
    """The columns with the bounds of the regions of each scan."""
    training = set(split.loc[split["side"] == "train", "cohort"])
    columns: dict[str, list[str]] = {LENT_TO: [], SCORED_FROM: []}
    for scan, cohort in zip(split["scan"], split["cohort"]):
        slices = archive.rows[archive.rows["scan"] == scan]
        axial = (slices["orientation"] == "axial").all()
        found = bounds(slices["position_mm"], lending) if axial and cohort not in training else None
        for column, value in zip((LENT_TO, SCORED_FROM), found or ("", "")):
            columns[column].append(str(value))
    return columns


def _acquisition_group(about: Mapping[str, Any]) -> str:
    tags = about["acquisition"]
    names = ("manufacturer", "model", "kernel", "kvp")
    return "|".join([str(tags.get(name) or "") for name in names] + [about["grey_values"]])


def _pixels(archive: Archive, scan: str, window: Window) -> tuple[str, np.ndarray, np.ndarray, dict]:
    hu = archive.select(scan=scan).hu()
    about = archive.scans[scan]
    return scan, hu, body_mask(hu, window), {**about["acquisition"], "grey_values": about["grey_values"]}
