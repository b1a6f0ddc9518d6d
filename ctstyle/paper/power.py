"""How many patients a paired comparison would need."""

import numpy as np
from scipy import stats

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
