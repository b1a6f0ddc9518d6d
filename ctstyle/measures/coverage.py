"""How often the intervals hold the truth: data sets with a known truth are drawn and the intervals of all are counted.

A population has what the scores of a run have: pooled pixel counts per patient, patients of unlike size and with a
tail of hard ones, patients whom both arms find hard, trainings that differ, also from patient to patient.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit

from ctstyle.measures.statistics import half_width, pseudo_values
from ctstyle.study.analysis import Intervals


@dataclass(frozen=True, kw_only=True)
class Population:
    """Spreads of the foreground IoU on the logit scale, where 0.1 is about 2.5 points at an IoU of 50 %.

    `seeds`: between trainings; `patients`: between patients (a gamma tail towards hard ones), of which both arms share
    `shared`; `cells`: of one training on one patient; `sizes`: of the logarithm of a patient's foreground; `levels`:
    the logit of a middling patient in the plain arm and in the other.
    """

    seeds: float
    patients: float = 0.4
    cells: float = 0.15
    shared: float = 0.7
    sizes: float = 0.4
    levels: tuple[float, float] = (-0.4, 0.6)


POPULATIONS = {
    "trainings alike": Population(seeds=0.04),
    "trainings differ": Population(seeds=0.15),
    "trainings differ as much as patients": Population(seeds=0.4),
}
"""A run's own spread between trainings is not known from a few seeds, so the coverage is given over this range."""


def foreground_iou(counts: np.ndarray) -> np.ndarray:
    """IoU in percent of pooled counts `[..., 2]`: overlap and union."""
    return 100 * counts[..., 0] / counts[..., 1]


def draw(
    population: Population, rng: np.random.Generator, *, datasets: int, seeds: int, patients: int
) -> tuple[np.ndarray, np.ndarray]:
    """Counts (overlap, union) of the plain arm and of the other, each float64 `[datasets, seeds, patients, 2]`."""
    size = np.exp(population.sizes * rng.standard_normal((datasets, 1, patients)))
    common = _tail(rng, (datasets, 1, patients))
    arms = []
    for level in population.levels:
        own = _tail(rng, (datasets, 1, patients))
        hard = np.sqrt(population.shared) * common + np.sqrt(1 - population.shared) * own
        logit = level + population.patients * hard
        logit = logit + population.seeds * rng.standard_normal((datasets, seeds, 1))
        iou = expit(logit + population.cells * rng.standard_normal((datasets, seeds, patients)))
        overlap = size * 2 * iou / (1 + iou)  # as many pixels too many as too few: the Dice times the mask's size
        arms.append(np.stack([overlap, overlap / iou], axis=-1))
    return arms[0], arms[1]


def true_gain(population: Population, rng: np.random.Generator, *, patients: int = 20000, seeds: int = 40) -> float:
    """The gain in points over all patients and trainings that the population has, to about 0.2 points.

    Trainings are taken at even steps of their normal distribution, patients at random.
    """
    scores = []
    for level in population.levels:
        shared, own = _tail(rng, patients), _tail(rng, patients)
        hard = np.sqrt(population.shared) * shared + np.sqrt(1 - population.shared) * own
        of_cell = population.patients * hard + population.cells * rng.standard_normal(patients)
        steps = stats.norm.ppf((np.arange(seeds) + 0.5) / seeds)
        iou = expit(level + population.seeds * steps[:, None] + of_cell)
        overlap = 2 * iou / (1 + iou)
        scores.append(100 * np.mean(overlap.mean(1) / (overlap / iou).mean(1)))
    return scores[1] - scores[0]


def coverage(
    population: Population, intervals: Intervals, *, seeds: int, patients: int, truth: float | None = None
) -> float:
    """Share of `intervals.replicates` data sets whose interval of the gain holds the truth; seeded."""
    rng = np.random.default_rng([intervals.seed, seeds, patients])
    plain, other = draw(population, rng, datasets=intervals.replicates, seeds=seeds, patients=patients)
    gain = (foreground_iou(other.sum(-2)) - foreground_iou(plain.sum(-2))).mean(-1)
    paired = pseudo_values(other, foreground_iou) - pseudo_values(plain, foreground_iou)
    truth = true_gain(population, np.random.default_rng(intervals.seed)) if truth is None else truth
    return float(np.mean(np.abs(gain - truth) <= half_width(paired, intervals.confidence)))


def coverage_range(intervals: Intervals, *, seeds: int, patients: int) -> tuple[float, float]:
    """Least and greatest coverage over POPULATIONS."""
    found = [coverage(population, intervals, seeds=seeds, patients=patients) for population in POPULATIONS.values()]
    return min(found), max(found)


def _tail(rng: np.random.Generator, shape: tuple[int, ...] | int) -> np.ndarray:
    """Mean 0, deviation 1, skewed towards low values."""
    return -(rng.gamma(2, 1, shape) - 2) / np.sqrt(2)
