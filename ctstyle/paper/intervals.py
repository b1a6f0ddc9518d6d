"""Intervals over patients and trainings: both are drawn at random, and every training is tested on every patient.

The interval is a t interval on jackknife pseudo-values in a crossed layout (seed x patient). It was picked by
simulation among percentile, BCa and studentised bootstraps (benchmarks/coverage.py, docs/statistics.md).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ctstyle.errors import CTStyleError
from ctstyle.study.analysis import Intervals

LEAST_PATIENTS, LEAST_SEEDS = 3, 2
"""Below these an interval would be invented: two patients have one degree of freedom, one seed has no spread."""


class IntervalError(CTStyleError):
    """The settings of the intervals make none."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; `low` and `high` are NaN where it is withheld, and `reason` says why."""

    value: float
    low: float = np.nan
    high: float = np.nan
    reason: str = ""


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
