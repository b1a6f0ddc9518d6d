"""Percentile bootstrap over patients: the only independent unit of a cohort is the patient, never the slice."""

from dataclasses import dataclass

import numpy as np

from ctstyle.errors import CTStyleError


class BootstrapError(CTStyleError):
    """The settings of a bootstrap make no interval."""


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How intervals are drawn: number of resamples, seed, and the share of resamples inside the interval."""

    replicates: int = 2000
    seed: int = 0
    confidence: float = 0.95

    def __post_init__(self):
        if self.replicates < 100:
            raise BootstrapError(
                "too few bootstrap resamples",
                where="replicates",
                found=self.replicates,
                expected="at least 100",
                fix="Use 2000.",
            )
        if not 0.5 <= self.confidence < 1:
            raise BootstrapError(
                "no confidence level",
                where="confidence",
                found=self.confidence,
                expected="a share from 0.5 to below 1",
                fix="Use 0.95.",
            )


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; `low` and `high` are NaN where fewer than two patients stand behind it."""

    value: float
    low: float
    high: float
    patients: int


def resamples(patients: int, bootstrap: Bootstrap) -> np.ndarray:
    """How often each patient is drawn in each resample, int64 `[replicates, patients]`; rows sum to `patients`.

    Two statistics computed with the same array are paired: they see the same resampled patients (Efron and
    Tibshirani 1993, chapter 13).
    """
    rng = np.random.default_rng([bootstrap.seed, patients])
    return rng.multinomial(patients, np.full(patients, 1 / patients), size=bootstrap.replicates)


def estimate(value: float, replicates: np.ndarray, *, patients: int, bootstrap: Bootstrap) -> Estimate:
    """`value` with the percentile interval of its `replicates` (float `[replicates]`); NaN resamples are left out."""
    known = replicates[np.isfinite(replicates)]
    if patients < 2 or known.size == 0:
        return Estimate(float(value), np.nan, np.nan, patients)
    tail = (1 - bootstrap.confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high), patients)


def mean_over_patients(values: np.ndarray, bootstrap: Bootstrap) -> Estimate:
    """Mean of one value per patient (float `[patients]`, NaN = not measured) with its bootstrap interval."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if known.size == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    replicates = resamples(known.size, bootstrap) @ known / known.size
    return estimate(known.mean(), replicates, patients=known.size, bootstrap=bootstrap)
