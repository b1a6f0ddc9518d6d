"""Mean ranks of the arms over patients, and how far ranks must lie apart (Friedman 1937, Nemenyi 1963, Demsar 2006)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


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
