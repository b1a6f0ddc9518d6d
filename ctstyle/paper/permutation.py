"""Paired tests over patients: sign flips, exact where they can all be tried, and Holm's correction."""

import numpy as np

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
