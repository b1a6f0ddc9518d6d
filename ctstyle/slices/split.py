"""Which patients train, tune and test: by patient, in every acquisition group alike, from a seed."""

import numpy as np
import pandas as pd

from ctstyle.errors import CTStyleError
from ctstyle.study.data import SplitSettings

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
