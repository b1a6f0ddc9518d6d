"""Which patients train, tune and test: by patient, in every acquisition group alike, from a seed.

A transductive arm sees unlabelled slices of one end of a test scan (`lent`). What every arm is scored on lies at the
other end, a gap away, so that no score is taken beside a slice that was seen.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ctstyle.errors import CTStyleError
from ctstyle.study.arms import ARMS
from ctstyle.study.data import RegionSettings, SplitSettings

SIDES = ("train", "val", "test")


class NoSplit(CTStyleError):
    """The patients of a sheet cannot be laid on training and test sides."""


def split(scans: pd.DataFrame, settings: SplitSettings) -> pd.Series:
    """The side of each scan, `train`, `val` or `test`, indexed by scan.

    `scans` has the columns `scan, patient, split_hint` and `group` (the acquisition group or style hint to stratify
    by, any text). All scans of a patient share one side. A hint wins for the whole patient; the others are laid out
    group by group in random order so that each side gets its share of every group to within one patient. Where
    nothing would be left to train or test on, one patient is moved there.

    Raises NoSplit: no scan, one patient only, two different hints for one patient, an unknown hint, or hints that
    leave nothing to train or to test on.
    """
    _check(scans)
    hints = scans.groupby("patient")["split_hint"].agg(lambda h: _one_hint(h))
    groups = scans.groupby("patient")["group"].agg(lambda g: "|".join(sorted({str(v) for v in g})))
    side = {patient: hint for patient, hint in hints.items() if hint}
    free = sorted(set(hints.index) - set(side))
    order = np.random.default_rng(settings.seed).permutation(len(free))
    free = sorted((free[i] for i in order), key=lambda patient: groups[patient])
    side |= _deal(free, {"train": 1 - settings.val - settings.test, "val": settings.val, "test": settings.test})
    for wanted in ("train", "test"):
        if wanted not in side.values():
            _move_one(side, free, wanted)
    return pd.Series([side[p] for p in scans["patient"]], index=scans["scan"].to_numpy(), name="side")


def _deal(patients: list[str], shares: dict[str, float]) -> dict[str, str]:
    """Each next patient goes to the side that lags most behind its share: any run of patients is split fairly."""
    given = dict.fromkeys(shares, 0)
    side = {}
    for n, patient in enumerate(patients, start=1):
        behind = {name: share * n - given[name] for name, share in shares.items()}
        side[patient] = max(behind, key=behind.__getitem__)
        given[side[patient]] += 1
    return side


def _move_one(side: dict[str, str], free: list[str], wanted: str) -> None:
    for donor in ("val", "test" if wanted == "train" else "train"):
        of_donor = [patient for patient, value in side.items() if value == donor]
        movable = [patient for patient in of_donor if patient in free]
        if movable and (donor == "val" or len(of_donor) > 1):
            side[movable[-1]] = wanted
            return
    raise NoSplit(
        f"no patient is left for the {wanted} side",
        where="split_hint",
        found=", ".join(f"{name}: {list(side.values()).count(name)} patients" for name in SIDES),
        expected=f"at least one patient to {wanted} on",
        fix="Change or empty some split hints in the sheet, or add patients.",
    )


def _one_hint(hints: pd.Series) -> str:
    return next((hint for hint in hints if hint), "")


def _check(scans: pd.DataFrame) -> None:
    unknown = sorted(set(scans["split_hint"]) - {"", *SIDES})
    if unknown:
        raise NoSplit(
            "unknown split hint",
            where="split_hint",
            found=", ".join(map(str, unknown)),
            expected="train, val, test or nothing",
        )
    if scans["patient"].nunique() < 2:
        raise NoSplit(
            "no split by patient is possible",
            where="cohorts",
            found=f"{scans['patient'].nunique()} patient(s) in {len(scans)} scan(s)",
            expected="at least two patients, one to train and one to test on",
            fix="Add scans of other patients to the sheet, or add the phantom cohort.",
        )
    given = scans[scans["split_hint"] != ""].groupby("patient")["split_hint"].unique()
    for patient, hints in given.items():
        if len(hints) > 1:
            raise NoSplit(
                "one patient would be on two sides",
                where=f"patient {patient}",
                found=", ".join(sorted(hints)),
                expected="one split hint for all scans of a patient",
                fix="Correct the column split_hint of the sheet.",
            )


LENT, GAP, SCORED = "lent", "gap", "scored"
LENT_TO, SCORED_FROM = "lent_to_mm", "scored_from_mm"
"""Columns of the split table: the position of the last slice that lends its style, and of the first that is scored."""


class NoRegions(CTStyleError):
    """A scan whose slices cannot be told apart into lent and scored ones."""


def can_lend(scans: pd.DataFrame, orientation: str) -> bool:
    """Whether a cohort is there for testing alone, by the sheet (`cohort, split_hint`); only axial slices are lent."""
    only_tests = scans.groupby("cohort")["split_hint"].agg(lambda hints: set(hints) == {"test"})
    return orientation == "axial" and bool(only_tests.any())


def leave_out_lent(config: Mapping[str, Any], scans: pd.DataFrame) -> bool:
    """Take the arms whose styles test scans lend out of a config whose cohorts cannot lend; whether any was there."""
    asked = [config[section]["arms"] for section in ("segment", "exports")]
    lent = [(arms, arm) for arms in asked for arm in arms if ARMS[arm].lent]
    if not lent or can_lend(scans, config["slices"]["orientation"]):
        return False
    for arms, arm in lent:
        arms.remove(arm)
    return True


def bounds(positions_mm: Iterable[float], settings: RegionSettings) -> tuple[float, float] | None:
    """(last lent position, first scored position) of a scan's axial slices in mm, or None where it is too short.

    A scan lends slices if that leaves at least half of them to be scored.
    """
    positions = np.sort(np.asarray(list(positions_mm), float))
    if not len(positions):
        return None
    lent_to = positions[positions <= positions[0] + settings.share * np.ptp(positions)][-1]
    scored = positions[positions >= lent_to + settings.gap_mm]
    return (float(lent_to), float(scored[0])) if 2 * len(scored) >= len(positions) else None


def regions(rows: pd.DataFrame) -> np.ndarray:
    """LENT, GAP or SCORED for each slice; `rows` has `position_mm`, LENT_TO and SCORED_FROM (text, empty: all scored).

    Raises NoRegions for bounds that are not numbers.
    """
    try:
        lent_to, scored_from = (pd.to_numeric(rows[name].replace("", np.nan)) for name in (LENT_TO, SCORED_FROM))
    except (ValueError, KeyError) as error:
        raise NoRegions(
            "the split table has no bounds of its scans",
            where="styles/split.tsv",
            found=str(error),
            expected=f"positions in mm, or nothing, in the columns {LENT_TO} and {SCORED_FROM}",
            fix="Run the rule find_styles again.",
        ) from error
    position = rows["position_mm"].astype(float)
    # a scan without bounds is compared with NaN, which is neither below nor above
    return np.select([position <= lent_to, position < scored_from], [LENT, GAP], SCORED)
