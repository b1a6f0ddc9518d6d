"""Test scans in the groups that segmentation is judged by, with the pixel counts of every arm, seed and patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctstyle.measures.columns import SILVER_LABELS, PaperInputError, in_order
from ctstyle.measures.segmentation import COUNTS, Counts, scores
from ctstyle.measures.statistics import Estimate, interval, pseudo_values
from ctstyle.study.analysis import Intervals
from ctstyle.study.arms import ARM_LABELS

IN_STYLE, OUT_OF_STYLE, STYLE, REAL = KINDS = ("in_style", "out_of_style", "style", "real")
"""Kinds of domains: the source style, all others together, each of them, a real cohort that trains nothing."""
COLUMNS = ["arm", "seed", "added_slices", "scan", "patient", "cohort", "style", "domain", "slices", *COUNTS]


@dataclass(frozen=True, kw_only=True)
class Domain:
    """One group of test scans. `counts[arm]` is int64 `[seeds, patients, 4]` in the order of COUNTS.

    `added[arm]` is how many slices the arm added to the training, the mean over its seeds.
    """

    label: str
    kind: str
    cohort: str
    scans: int
    slices: int
    counts: Mapping[str, np.ndarray]
    added: Mapping[str, int]

    @property
    def seeds(self) -> int:
        """How many U-Nets stand behind each arm."""
        return next(iter(self.counts.values())).shape[0]

    @property
    def patients(self) -> int:
        """How many patients were tested."""
        return next(iter(self.counts.values())).shape[1]

    def score(self, arm: str, measure: str) -> float:
        """The score in percent from counts pooled over patients, then the mean over seeds."""
        return float(percent(self.counts[arm].sum(1), measure).mean())

    def pseudo(self, arm: str, measure: str) -> np.ndarray:
        """Its jackknife pseudo-values, float64 `[seeds, patients]`."""
        return pseudo_values(self.counts[arm], lambda counts: percent(counts, measure))

    def by_patient(self, arm: str, measure: str) -> np.ndarray:
        """The score of each patient alone in percent, mean over seeds, float64 `[patients]`."""
        return percent(self.counts[arm], measure).mean(0)

    def size(self) -> dict[str, int]:
        """Seeds, patients, scans and slices, as the tables print them."""
        return {"seeds": self.seeds, "patients": self.patients, "scans": self.scans, "slices": self.slices}


def percent(counts: np.ndarray, measure: str) -> np.ndarray:
    """A score in percent of counts `[..., 4]`; one definition of a score for all tables."""
    made = [scores(Counts(*row))[measure] for row in counts.reshape(-1, len(COUNTS)).tolist()]
    return 100 * np.array(made, dtype=np.float64).reshape(counts.shape[:-1])


def lead(domain: Domain, arm: str, other: str, measure: str, intervals: Intervals) -> Estimate:
    """What `arm` leads `other` by in points, paired: the same seeds and patients in both."""
    values = domain.pseudo(arm, measure) - domain.pseudo(other, measure)
    return interval(domain.score(arm, measure) - domain.score(other, measure), values, intervals, bounds=(-100, 100))


def domains(segmentation: Sequence[pd.DataFrame], where: str) -> list[Domain]:
    """The domains of a run in the order they are printed: in style, out of style, each such style, each real cohort.

    `segmentation` holds the frames of `results/metrics/segmentation/{arm}-seed{seed}.tsv` (row per test scan with
    pixel counts). Raises PaperInputError for a missing column, no `plain` arm, or arms that were not tested on the same
    scans with the same seeds.
    """
    if not segmentation:
        raise PaperInputError(
            "no segmentation metrics",
            where=where,
            found="0 frames",
            expected="one per arm and seed",
            fix="Run the evaluation of the segmentation arms first.",
        )
    counts = pd.concat([_with_columns(frame, i) for i, frame in enumerate(segmentation)])
    arms = in_order(set(counts["arm"]), ARM_LABELS)
    if "plain" not in arms:
        raise PaperInputError(
            "gains need the plain U-Net",
            where=where,
            found=f"arms {arms}",
            expected="an arm named plain",
            fix="Add `plain` to the arms of the segmentation.",
        )
    return [_domain(counts[counts["scan"].isin(scans)], arms, scans, **about) for about, scans in _groups(counts)]


def _with_columns(frame: pd.DataFrame, number: int) -> pd.DataFrame:
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise PaperInputError(
            "columns are missing",
            where=f"segmentation metrics {number}",
            found=sorted(map(str, frame.columns)),
            expected=missing,
            fix="Run the evaluation again: these metrics come from another version.",
        )
    return frame[COLUMNS]


def _groups(counts: pd.DataFrame) -> list[tuple[dict[str, str], list[str]]]:
    """Label, kind and cohort of each domain, and its scans."""
    scans = counts.drop_duplicates("scan").sort_values("scan")
    unknown = sorted(set(scans["domain"]) - {IN_STYLE, OUT_OF_STYLE, REAL})
    if unknown:
        raise PaperInputError(
            "unknown domain", where="Table 2", found=unknown, expected="in_style, out_of_style or real"
        )
    found = []
    for kind, label in ((IN_STYLE, "In style"), (OUT_OF_STYLE, "Out of style")):
        inside = scans[scans["domain"] == kind]
        styles = sorted(inside["style"].unique())
        if styles:
            found.append(({"label": f"{label} ({', '.join(styles)})", "kind": kind}, inside["scan"].tolist()))
        if len(styles) > 1:
            for style in styles:
                chosen = inside.loc[inside["style"] == style, "scan"].tolist()
                found.append(({"label": f"Style {style}", "kind": STYLE}, chosen))
    real = scans[scans["domain"] == REAL]
    for cohort in sorted(real["cohort"].unique()):
        silver = " (silver labels)" if cohort in SILVER_LABELS else ""
        about = {"label": f"Real scan: {cohort}{silver}", "kind": REAL, "cohort": cohort}
        found.append((about, real.loc[real["cohort"] == cohort, "scan"].tolist()))
    return [({"cohort": "", **about}, chosen) for about, chosen in found]


def _domain(inside: pd.DataFrame, arms: Sequence[str], scans: list[str], *, label: str, **about: str) -> Domain:
    seeds = sorted(inside.loc[inside["arm"] == "plain", "seed"].unique())
    for (arm, seed), one in inside.groupby(["arm", "seed"]):
        if sorted(one["scan"]) != sorted(scans) or seed not in seeds:
            raise PaperInputError(
                f"arm {arm}, seed {seed} was not tested on the scans of the other arms",
                where=f"Table 2, {label}",
                found=f"{len(one)} scans",
                expected=f"{len(scans)} scans, seeds {seeds}",
                fix="Evaluate every arm on the whole test set, with all seeds.",
            )
    patients = inside["patient"].nunique()
    cubes = {}
    for arm in arms:
        rows = inside[inside["arm"] == arm]
        if rows["seed"].nunique() != len(seeds):
            raise PaperInputError(
                f"arm {arm} has other seeds than the plain U-Net here",
                where=f"Table 2, {label}",
                found=sorted(rows["seed"].unique()),
                expected=seeds,
            )
        totals = rows.groupby(["seed", "patient"], sort=True)[COUNTS].sum()
        cubes[arm] = totals.to_numpy().reshape(len(seeds), patients, len(COUNTS))
    slices = int(inside.loc[inside["arm"] == "plain", "slices"].sum() // len(seeds))
    added = inside.drop_duplicates(["arm", "seed"]).groupby("arm")["added_slices"].mean().round().astype(int)
    return Domain(label=label, scans=len(scans), slices=slices, counts=cubes, added=added.to_dict(), **about)
