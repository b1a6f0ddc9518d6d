"""How often candidate intervals of a gain hold the truth: python -m benchmarks.coverage [--datasets N] [--write].

Data sets of the populations of `ctstyle.measures.coverage` for 3 to 30 patients and 1 to 5 seeds. `--write` puts the
table into docs/statistics.md. About two minutes on an idle core; the same seed gives the same table.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from ctstyle.measures.coverage import POPULATIONS, draw, foreground_iou, true_gain
from ctstyle.measures.statistics import half_width, pseudo_values, withheld

PAGE = Path(__file__).parent.parent / "docs" / "statistics.md"
MARKS = ("<!-- coverage -->", "<!-- end of coverage -->")
SEEDS, PATIENTS = (1, 2, 3, 5), (3, 6, 12, 30)
LEVEL, RESAMPLES = 0.95, 400
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)

Bounds = tuple[float, float]


def resampled(plain: np.ndarray, other: np.ndarray, rng: np.random.Generator, *, seeds: bool) -> np.ndarray:
    """The gain in `RESAMPLES` draws of patients and, with `seeds`, of seeds, independently (Owen 2007)."""
    number, patients = plain.shape[:2]
    drawn = rng.multinomial(patients, np.full(patients, 1 / patients), RESAMPLES)
    weights = rng.multinomial(number, np.full(number, 1 / number), RESAMPLES) if seeds else np.ones((RESAMPLES, number))
    gains = [foreground_iou(np.einsum("rp,spk->rsk", drawn, counts)) for counts in (plain, other)]
    return ((gains[1] - gains[0]) * weights).sum(1) / number


def percentile(replicates: np.ndarray) -> Bounds:
    """The percentile interval (Efron and Tibshirani 1993, ch. 13)."""
    return tuple(np.quantile(replicates, TAILS))


def bca(replicates: np.ndarray, value: float, values: np.ndarray) -> Bounds:
    """Bias-corrected and accelerated interval (Efron 1987); acceleration from both factors' jackknife deviations."""
    below = np.mean(replicates < value) + np.mean(replicates == value) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / len(replicates), 1 - 1 / len(replicates)))
    parts = [values.mean(axis) - values.mean() for axis in (0, 1)]
    moved = np.concatenate([part / len(part) for part in parts if len(part) > 1])
    scale = (moved**2).sum() ** 1.5
    acceleration = (moved**3).sum() / (6 * scale) if scale else 0.0
    z = bias + stats.norm.ppf(TAILS)
    return tuple(np.quantile(replicates, stats.norm.cdf(bias + z / (1 - acceleration * z))))


def studentised(values: np.ndarray, value: float, rng: np.random.Generator) -> Bounds:
    """Bootstrap-t on pseudo-values, both factors drawn, with the standard error of `summed` (Efron 1981)."""
    seeds, patients = values.shape
    rows, columns = rng.integers(seeds, size=(RESAMPLES, seeds)), rng.integers(patients, size=(RESAMPLES, patients))
    drawn = values[rows[:, :, None], columns[:, None, :]]
    t = (drawn.mean((1, 2)) - values.mean()) / np.maximum(_summed_error(drawn), 1e-9)
    low, high = np.quantile(t, TAILS)
    error = _summed_error(values)
    return value - high * error, value - low * error


def summed(values: np.ndarray) -> np.ndarray:
    """Half width of a t interval whose variance adds both mean squares and subtracts nothing."""
    seeds, patients = values.shape[-2:]
    msp, mss = _mean_squares(values)
    freedom = (msp + mss) ** 2 / (msp**2 / (patients - 1) + (mss**2 / (seeds - 1) if seeds > 1 else 0))
    return stats.t.ppf(TAILS[1], freedom) * _summed_error(values)


def _summed_error(values: np.ndarray) -> np.ndarray:
    seeds, patients = values.shape[-2:]
    return np.sqrt(sum(_mean_squares(values)) / (seeds * patients))


def _mean_squares(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seeds, patients = values.shape[-2:]
    msp = seeds * values.mean(-2).var(-1, ddof=1)
    return msp, patients * values.mean(-1).var(-1, ddof=1) if seeds > 1 else 0 * msp


def measured(population: str, *, seeds: int, patients: int, datasets: int) -> dict[str, tuple[float, float]]:
    """Coverage and median width of every candidate, by its heading."""
    rng = np.random.default_rng([seeds, patients, list(POPULATIONS).index(population)])
    plain, other = draw(POPULATIONS[population], rng, datasets=datasets, seeds=seeds, patients=patients)
    truth = true_gain(POPULATIONS[population], np.random.default_rng(0), patients=40000, seeds=100)
    gain = (foreground_iou(other.sum(-2)) - foreground_iou(plain.sum(-2))).mean(-1)
    values = pseudo_values(other, foreground_iou) - pseudo_values(plain, foreground_iou)
    found: dict[str, list[Bounds]] = {}
    for one in range(min(datasets, 400)):  # the bootstraps take their time
        arrays = plain[one], other[one]
        of_patients, of_both = (resampled(*arrays, rng, seeds=both) for both in (False, True))
        made = {
            "percentile, patients": percentile(of_patients),
            "percentile, both": percentile(of_both),
            "BCa, both": bca(of_both, gain[one], values[one]),
            "bootstrap-t, both": studentised(values[one], gain[one], rng),
        }
        for name, bounds in made.items():
            found.setdefault(name, []).append(bounds)
    scored = {name: _score(np.array(bounds), truth) for name, bounds in found.items()}
    widths: dict[str, Callable[[np.ndarray], np.ndarray]] = {"t, sum of squares": summed}
    if not withheld(seeds=seeds, patients=patients):
        widths["t, crossed (ours)"] = lambda values: half_width(values, LEVEL)
    for name, half in widths.items():
        width = half(values)
        scored[name] = _score(np.column_stack([gain - width, gain + width]), truth)
    return scored


def _score(bounds: np.ndarray, truth: float) -> tuple[float, float]:
    held = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
    return float(held.mean()), float(np.median(bounds[:, 1] - bounds[:, 0]))


def table(datasets: int) -> str:
    """Markdown: coverage over the populations, least to greatest, and the median width in the middle one in points."""
    rows = []
    for seeds in SEEDS:
        for patients in PATIENTS:
            found = [measured(name, seeds=seeds, patients=patients, datasets=datasets) for name in POPULATIONS]
            cells = {}
            for name in found[0]:
                shares = [100 * one[name][0] for one in found]
                width = found[1][name][1]
                shown = f"{width:.0f}" if width < 1000 else "no bound"
                cells[name] = f"{min(shares):.0f} to {max(shares):.0f} ({shown})"
            rows.append((seeds, patients, cells))
    names = list(rows[-1][2])
    lines = ["| seeds | patients | " + " | ".join(names) + " |", "|---:|---:|" + "---|" * len(names)]
    lines += [
        f"| {s} | {p} | " + " | ".join(cells.get(name, "withheld") for name in names) + " |" for s, p, cells in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="put the table into docs/statistics.md")
    asked = parser.parse_args()
    made = table(asked.datasets)
    print(made)
    if asked.write:
        before, rest = PAGE.read_text().split(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n{made}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")
