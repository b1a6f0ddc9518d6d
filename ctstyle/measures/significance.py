"""Tests between arms: which arm is better than the plain U-Net and than the best rival, and which does harm in style.

Two families of sign-flip tests over patients for each of these domains: all out-of-style scans, and each real cohort.
Harm in style is judged by the interval of the gain against a margin. References (transductive, oracle) take no part.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ctstyle.measures.domains import IN_STYLE, OUT_OF_STYLE, REAL, Domain, lead
from ctstyle.measures.statistics import LEAST_SEEDS, holm, least_p, patients_needed, sign_flip
from ctstyle.study.analysis import Intervals
from ctstyle.study.arms import ARM_LABELS, ARMS, is_cheap, is_reference, rival_arms

MEASURE = "foreground_iou"
BETTER, WORSE, NOT_SHOWN, OUT_OF_REACH, WITHHELD = ("better", "worse", "not shown", "out of reach", "withheld")
NON_INFERIOR, INFERIOR, UNDECIDED = ("non-inferior", "inferior", "undecided")


def comparisons(scored: Sequence[Domain], intervals: Intervals, margin: float) -> pd.DataFrame:
    """One row per arm and question; foreground IoU in points, p from sign flips, adjusted within each family.

    Columns: `comparison, method, arm, against, domain, kind`, the sizes, `difference` with its interval, `p, p_holm,
    needed` (patients to see half the difference) and `verdict` with the `reason` where something is withheld.
    """
    rows = []
    rival = best_rival(scored, intervals, margin)
    cheap = best_rival(scored, intervals, margin, cheap=True)
    for domain in scored:
        if domain.kind in (OUT_OF_STYLE, REAL):
            # a real cohort too small for tests is listed once
            small = domain.kind == REAL and _untestable(domain.patients, domain.seeds, 1 - intervals.confidence)
            for other in dict.fromkeys(["plain", *([] if small else [rival, cheap])]):
                if other:
                    rows += _family(domain, other, intervals)
    for domain in scored:
        if domain.kind == IN_STYLE:
            rows += _harm(domain, intervals, margin)
    if not rows:
        about = {"comparison": "Nothing to compare", "method": ARM_LABELS["plain"], "arm": "plain", "against": "plain"}
        about |= dict.fromkeys(("domain", "kind", "cohort"), "")
        about |= {"verdict": WITHHELD, "reason": "no other arm, or no such scan"}
        rows = [about | scored[0].size()]
    columns = ["comparison", "method", "verdict", "arm", "against", "domain", "kind", "cohort"]
    columns += ["seeds", "patients", "scans", "slices", "difference", "difference_low", "difference_high"]
    return pd.DataFrame(rows, columns=[*columns, "p", "p_holm", "needed", "reason"])


def harm(low: float, high: float, margin: float) -> str:
    """Non-inferiority by the interval of the gain in points (Piaggio et al. 2012, CONSORT extension, figure 1).

    Non-inferior where the whole interval lies above -margin, inferior where all of it lies below, else undecided.
    """
    if np.isnan(low) or np.isnan(high):
        return WITHHELD
    if low > -margin:
        return NON_INFERIOR
    return INFERIOR if high < -margin else UNDECIDED


def best_rival(scored: Sequence[Domain], intervals: Intervals, margin: float, *, cheap: bool = False) -> str:
    """The rival with the highest mean out of style among those not shown to do harm in style; empty without one.

    `cheap`: among those without a trained generator only. It is chosen on the scans it is then compared on, which
    flatters the rival and so is no help to the other arms.
    """
    of_kind = {domain.kind: domain for domain in scored}
    if OUT_OF_STYLE not in of_kind:
        return ""
    outside, inside = of_kind[OUT_OF_STYLE], of_kind.get(IN_STYLE)
    rivals = [arm for arm in rival_arms() if arm in outside.counts and (is_cheap(arm) or not cheap)]
    if inside is not None:
        gains = {arm: lead(inside, arm, "plain", MEASURE, intervals) for arm in rivals}
        rivals = [arm for arm in rivals if harm(gains[arm].low, gains[arm].high, margin) != INFERIOR]
    return max(rivals, key=lambda arm: outside.score(arm, MEASURE), default="")


def candidates(domain: Domain, against: str) -> list[str]:
    """The arms that are held against one arm."""
    return [arm for arm in domain.counts if arm not in ("plain", against) and not (arm in ARMS and is_reference(arm))]


def _family(domain: Domain, against: str, intervals: Intervals) -> list[dict]:
    """All arms against one, with Holm's correction over them."""
    arms, level = candidates(domain, against), 1 - intervals.confidence
    if not arms:
        return []
    scores = {arm: domain.by_patient(arm, MEASURE) for arm in (*arms, against)}
    differences = np.column_stack([scores[arm] - scores[against] for arm in arms])
    differences = differences[np.isfinite(differences).all(1)]
    reason = _untestable(len(differences), domain.seeds, level)
    p = np.full(len(arms), np.nan)
    if not reason:
        rng = np.random.default_rng([intervals.seed, len(differences)])
        p = sign_flip(differences, flips=intervals.replicates, rng=rng)
    adjusted = holm(p)
    reach = "" if least_p(len(differences)) * len(arms) <= level else _reach(len(differences), len(arms))
    rows = []
    for number, arm in enumerate(arms):
        found = lead(domain, arm, against, MEASURE, intervals)
        row = _row(domain, arm, against, f"against {ARM_LABELS.get(against, against)}") | found.cells("difference")
        row |= {"p": p[number], "p_holm": adjusted[number]}
        row["needed"] = patients_needed(differences[:, number], level=level)
        row["verdict"] = _verdict(adjusted[number], differences[:, number].mean(), level, reason, reach)
        rows.append(row | {"reason": reason or reach})
    return rows


def _harm(domain: Domain, intervals: Intervals, margin: float) -> list[dict]:
    rows = []
    for arm in candidates(domain, "plain"):
        gain = lead(domain, arm, "plain", MEASURE, intervals)
        row = _row(domain, arm, "plain", f"harm, margin {margin:g} points") | gain.cells("difference")
        row |= {"p": np.nan, "p_holm": np.nan, "needed": np.nan}
        rows.append(row | {"verdict": harm(gain.low, gain.high, margin), "reason": gain.reason})
    return rows


def _row(domain: Domain, arm: str, against: str, question: str) -> dict:
    about = {"comparison": f"{domain.label}: {question}", "method": ARM_LABELS.get(arm, arm), "arm": arm}
    return (
        about
        | {"against": against, "domain": domain.label, "kind": domain.kind, "cohort": domain.cohort}
        | domain.size()
    )


def _untestable(patients: int, seeds: int, level: float) -> str:
    """Why a family is not tested; empty where it is."""
    if least_p(patients) > level:
        return f"{patients} patient{'s' * (patients != 1)}: no p below 2/2^{patients} = {least_p(patients):.3g}"
    if seeds < LEAST_SEEDS:
        return f"{seeds} seed: two trainings may differ as much as two methods"
    return ""


def _reach(patients: int, arms: int) -> str:
    least = arms * least_p(patients)
    return f"{arms} arms and {patients} patients: no adjusted p below {arms} x 2/2^{patients} = {least:.3g}"


def _verdict(p: float, mean: float, level: float, reason: str, reach: str) -> str:
    if reason:
        return WITHHELD
    if p <= level:
        return BETTER if mean > 0 else WORSE
    return OUT_OF_REACH if reach else NOT_SHOWN
