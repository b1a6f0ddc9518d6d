"""Intervals over patients and trainings: both are drawn at random, and every training is tested on every patient.

The interval is a t interval on jackknife pseudo-values in a crossed layout (seed x patient). It was picked by
simulation among percentile, BCa and studentised bootstraps (benchmarks/coverage.py, docs/statistics.md).

Beside them: paired tests over patients, how many patients a comparison would need, and mean ranks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ctstyle.study.analysis import Intervals

LEAST_PATIENTS, LEAST_SEEDS = 3, 2
"""Below these an interval would be invented: two patients have one degree of freedom, one seed has no spread."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; `low` and `high` are NaN where it is withheld, and `reason` says why."""

    value: float
    low: float = np.nan
    high: float = np.nan
    reason: str = ""

    def cells(self, measure: str) -> dict[str, float]:
        """The three columns of a measure with its interval."""
        return {measure: self.value, f"{measure}_low": self.low, f"{measure}_high": self.high}


def withheld(*, seeds: int, patients: int) -> str:
    """Why there is no interval over so many seeds and patients; empty where there is one."""
    found = []
    if patients < LEAST_PATIENTS:
        found.append(f"{patients} patient{'s' * (patients != 1)}, {LEAST_PATIENTS} are needed")
    if seeds < LEAST_SEEDS:
        found.append(f"{seeds} seed, {LEAST_SEEDS} are needed")
    return "; ".join(found)


def pseudo_values(counts: np.ndarray, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Jackknife pseudo-values of a score of pooled counts, float64 `[..., patients]` (Tukey 1958; Efron 1982, ch. 2).

    `counts` is `[..., patients, kinds]` and `score` takes pooled counts `[..., kinds]`: with n patients,
    u_p = n score(all) - (n - 1) score(all but p). Of a plain mean these are the values themselves.
    """
    patients = counts.shape[-2]
    total = counts.sum(-2, keepdims=True)
    return patients * score(total) - (patients - 1) * score(total - counts)


def crossed_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance of the mean of `values` `[..., seeds, patients]` over both random factors, and its degrees of freedom.

    Two-way random effects with one value per cell (Searle 1971, ch. 11): with the mean squares of patients, seeds and
    the residual, E[MSP + MSS - MSE] / (seeds * patients) is the variance of the grand mean. MSE is subtracted only as
    far as the larger of the other two remains, so that chance never makes it vanish. Degrees of freedom are
    Satterthwaite's (1946), at least those of the smaller factor.
    """
    seeds, patients = values.shape[-2:]
    mean = values.mean((-1, -2), keepdims=True)
    of_seed, of_patient = values.mean(-1, keepdims=True), values.mean(-2, keepdims=True)
    msp = seeds * ((of_patient - mean) ** 2).sum((-1, -2)) / (patients - 1)
    mss = patients * ((of_seed - mean) ** 2).sum((-1, -2)) / (seeds - 1)
    rest = (seeds - 1) * (patients - 1)
    mse = ((values - of_seed - of_patient + mean) ** 2).sum((-1, -2)) / rest
    square = np.maximum(msp + mss - mse, np.maximum(msp, mss))
    parts = msp**2 / (patients - 1) + mss**2 / (seeds - 1) + mse**2 / rest
    freedom = np.divide(square**2, parts, out=np.full_like(square, np.inf), where=parts > 0)
    return square / (seeds * patients), np.maximum(freedom, min(seeds, patients) - 1)


def half_width(values: np.ndarray, confidence: float) -> np.ndarray:
    """Half the width of the t interval of the mean of `values`, `[..., seeds, patients]` (both at least 2)."""
    variance, freedom = crossed_error(values)
    return stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(variance)


def interval(
    value: float,
    values: np.ndarray,
    intervals: Intervals,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """`value` with its interval from (pseudo-)values float `[seeds, patients]`, cut at the `bounds` of the measure.

    Withheld with the reason below LEAST_PATIENTS or LEAST_SEEDS, and where a value is missing.
    """
    seeds, patients = values.shape
    reason = withheld(seeds=seeds, patients=patients)
    if not reason and not np.isfinite(values).all():
        reason = "the measure is not defined without one of the patients"
    if reason or not np.isfinite(value):
        return Estimate(float(value), reason=reason)
    half = float(half_width(np.asarray(values, dtype=np.float64), intervals.confidence))
    low, high = np.clip([value - half, value + half], *bounds)
    return Estimate(float(value), float(low), float(high))


def mean_over_patients(
    values: np.ndarray, intervals: Intervals, *, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> Estimate:
    """Mean over patients of their means over seeds; `values` float `[seeds, patients]`, NaN = not measured.

    Patients without any value are left out; the interval stands on those measured with every seed.
    """
    measured = values[:, np.isfinite(values).any(0)]
    if measured.size == 0:
        return Estimate(np.nan)
    complete = measured[:, np.isfinite(measured).all(0)]
    return interval(float(np.nanmean(measured, axis=0).mean()), complete, intervals, bounds=bounds)


EXACT_UP_TO = 15
"""Patients up to which all 2^n sign flips are tried."""


def least_p(patients: int) -> float:
    """The least two-sided p that sign flips of `patients` differences can give, 2 / 2^n."""
    return 2.0 ** (1 - patients)


def sign_flip(differences: np.ndarray, *, flips: int, rng: np.random.Generator) -> np.ndarray:
    """Two-sided p of paired `differences` float `[patients, arms]`, float64 `[arms]` (Fisher 1935; Good 2005, ch. 3).

    Under the hypothesis of no difference each patient's sign is a coin. The statistic is the absolute mean. Up to
    EXACT_UP_TO patients every assignment of signs is tried; beyond, `flips` random ones and the observed one, which
    counts too (Phipson and Smyth 2010), so that p is never 0.
    """
    patients = len(differences)
    if patients <= EXACT_UP_TO:
        signs = 1.0 - 2.0 * (np.arange(2**patients)[:, None] >> np.arange(patients) & 1)
    else:
        signs = np.vstack([np.ones(patients), rng.choice([-1.0, 1.0], size=(flips, patients))])
    observed = np.abs(differences.sum(0))
    # sums of the same numbers in another order differ in their last digits
    slack = 1e-9 * np.abs(differences).sum(0)
    return np.mean(np.abs(signs @ differences) >= observed - slack, axis=0)


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p of one family, float64 in the order given; NaN is no member of it (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1; none may be smaller than one before it, none above 1.
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full_like(p, np.nan)
    members = np.flatnonzero(np.isfinite(p))
    order = members[np.argsort(p[members], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


MOST_PATIENTS = 100_000


def power(effect: float, patients: int, *, level: float) -> float:
    """Power of a two-sided paired t test for a true mean of `effect` standard deviations of the differences.

    The t statistic has a non-central t distribution with n - 1 degrees of freedom and non-centrality effect sqrt(n)
    (Cohen 1988, ch. 2).
    """
    limit = stats.t.ppf(1 - level / 2, patients - 1)
    centre = abs(effect) * np.sqrt(patients)
    return float(stats.nct.sf(limit, patients - 1, centre) + stats.nct.cdf(-limit, patients - 1, centre))


def patients_needed(differences: np.ndarray, *, share: float = 0.5, wanted: float = 0.8, level: float = 0.05) -> float:
    """Fewest patients with which a paired t test sees `share` of the observed mean difference with power `wanted`.

    `differences` float `[patients]`. Assumes that differences are normal with the observed spread, and that the trained
    networks stay the same: the spread between trainings is not in it. NaN where there is no spread or no effect, or
    where MOST_PATIENTS are not enough.
    """
    if len(differences) < 2:
        return np.nan
    spread, mean = float(np.std(differences, ddof=1)), float(np.mean(differences))
    if not np.isfinite(spread) or spread <= 0 or mean == 0:
        return np.nan
    effect = share * mean / spread
    low, high = 1, 2
    while power(effect, high, level=level) < wanted:
        low, high = high, 2 * high
        if low > MOST_PATIENTS:
            return np.nan
    while high - low > 1:
        middle = (low + high) // 2
        if power(effect, middle, level=level) < wanted:
            low = middle
        else:
            high = middle
    return float(high)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """`mean` is the rank of each arm, 1 the best, mean over `patients`; `p` is Friedman's.

    Two arms differ where their mean ranks lie further apart than `critical` (Nemenyi).
    """

    arms: tuple[str, ...]
    mean: np.ndarray
    p: float
    critical: float
    patients: int

    def groups(self) -> list[tuple[int, int]]:
        """The longest runs of arms, by places in the order of their ranks, that cannot be told apart."""
        ordered = np.sort(self.mean)
        found: list[tuple[int, int]] = []
        for first in range(len(ordered)):
            last = int(np.flatnonzero(ordered <= ordered[first] + self.critical)[-1])
            if last > first and (not found or last > found[-1][1]):
                found.append((first, last))
        return found


def critical_difference(arms: int, patients: int, *, level: float) -> float:
    """Nemenyi's critical difference of mean ranks, q sqrt(k (k + 1) / (6 n)) (Demsar 2006, section 3.2.2).

    q is the quantile of the studentised range for infinite degrees of freedom, divided by sqrt(2).
    """
    q = stats.studentized_range.ppf(1 - level, arms, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(arms * (arms + 1) / (6 * patients)))


def rank(scores: np.ndarray, arms: Sequence[str], *, level: float) -> Ranks:
    """Ranks from `scores` float `[patients, arms]`, higher is better, ties share their mean rank.

    `p` and `critical` are NaN where Friedman's test has no footing: below 3 arms or 3 patients.
    """
    patients, k = scores.shape
    mean = stats.rankdata(-scores, axis=1).mean(0)
    p = critical = np.nan
    if patients >= 3 and k >= 3:
        p = float(stats.friedmanchisquare(*scores.T).pvalue)
        critical = critical_difference(k, patients, level=level)
    return Ranks(arms=tuple(arms), mean=mean, p=p, critical=critical, patients=patients)
