"""Intervals over seeds and patients against textbook formulas, SciPy and simulations with a known truth."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import bca, percentile
from ctstyle.errors import CTStyleError
from ctstyle.measures.coverage import POPULATIONS, Population, coverage, coverage_range, draw, foreground_iou, true_gain
from ctstyle.measures.statistics import crossed_error, half_width, interval, mean_over_patients, pseudo_values, withheld
from ctstyle.study.analysis import Intervals
from ctstyle.study.settings import build

MANY = Intervals(replicates=4000)


def two_way(seed, *, seeds=4, patients=7, spread_seeds=0.0, spread_patients=1.0, cells=0.0, sets=1):
    """Values `[sets, seeds, patients]` of mean 0 with these deviations."""
    rng = np.random.default_rng(seed)
    return (
        spread_seeds * rng.standard_normal((sets, seeds, 1))
        + spread_patients * rng.standard_normal((sets, 1, patients))
        + cells * rng.standard_normal((sets, seeds, patients))
    )


def test_pseudo_values_of_a_mean_are_the_values():
    values = np.random.default_rng(0).lognormal(size=(3, 8, 1))
    made = pseudo_values(values, lambda total: total[..., 0] / 8)
    # the mean of all but one divides by 7
    by_hand = [8 * v.mean() - 7 * np.delete(v, p).sum() / 8 for v in values[..., 0] for p in range(8)]
    assert made.ravel() == pytest.approx(by_hand)
    counted = np.concatenate([values, np.ones_like(values)], axis=-1)
    assert pseudo_values(counted, lambda t: t[..., 0] / t[..., 1]) == pytest.approx(values[..., 0])


def test_the_jackknife_of_a_ratio_is_that_of_leaving_each_patient_out():
    counts = np.random.default_rng(1).integers(1, 50, (1, 6, 2)).astype(float)
    ratio = lambda kept: 100 * kept[..., 0].sum() / kept[..., 1].sum()  # noqa: E731
    left = np.array([ratio(np.delete(counts[0], p, axis=0)) for p in range(6)])
    error = np.sqrt(5 / 6 * ((left - left.mean()) ** 2).sum())  # Efron and Tibshirani 1993, eq. 11.5
    made = pseudo_values(counts, foreground_iou)[0]
    assert made.std(ddof=1) / np.sqrt(6) == pytest.approx(error)


def test_equal_trainings_leave_the_one_sample_t_interval():
    patients = np.random.default_rng(2).normal(5, 2, 9)
    made = mean_over_patients(np.tile(patients, (3, 1)), Intervals(confidence=0.9))
    textbook = stats.t.interval(0.9, 8, patients.mean(), stats.sem(patients))
    assert (made.low, made.high) == pytest.approx(textbook)


def test_equal_patients_leave_the_t_interval_over_seeds():
    seeds = np.array([1.0, 2.0, 4.0])
    made = mean_over_patients(np.tile(seeds[:, None], (1, 6)), Intervals())
    assert (made.low, made.high) == pytest.approx(stats.t.interval(0.95, 2, seeds.mean(), stats.sem(seeds)))


def test_the_variance_is_that_of_the_grand_mean():
    """Over many data sets: E of the estimate against spread_seeds^2 / S + spread_patients^2 / P + cells^2 / (S P)."""
    values = two_way(3, seeds=6, patients=10, spread_seeds=0.8, spread_patients=1.2, cells=0.5, sets=6000)
    variance, _ = crossed_error(values)
    assert variance.mean() == pytest.approx(0.8**2 / 6 + 1.2**2 / 10 + 0.5**2 / 60, rel=0.03)
    assert values.mean((1, 2)).var() == pytest.approx(variance.mean(), rel=0.06)


def test_intervals_widen_with_the_spread_between_seeds():
    alike, unlike = (two_way(4, spread_seeds=spread, sets=500) for spread in (0.0, 2.0))
    assert np.median(half_width(unlike, 0.95)) > 2 * np.median(half_width(alike, 0.95))


@pytest.mark.parametrize(("seeds", "patients"), [(2, 6), (3, 6), (5, 12)])
@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_normal_two_way_data_are_covered(seeds, patients, spread):
    values = two_way(5, seeds=seeds, patients=patients, spread_seeds=spread, cells=0.5, sets=3000)
    covered = np.mean(abs(values.mean((1, 2))) <= half_width(values, 0.95))
    assert 0.90 < covered <= 1


def test_one_seed_and_a_mean_come_near_scipys_bca():
    """Where SciPy has an interval (one seed, a mean, many patients), ours over two equal seeds is the same to 5 %."""
    values = np.random.default_rng(6).gamma(9, 1, 200)
    made = mean_over_patients(np.tile(values, (2, 1)), Intervals())
    rng = np.random.default_rng(0)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=9999, rng=rng).confidence_interval
    width = theirs.high - theirs.low
    assert made.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert made.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_the_bca_that_ours_was_held_against_is_scipys():
    """The candidate of benchmarks/coverage.py: one seed, a mean, skewed values."""
    values = np.random.default_rng(10).gamma(1, 2, (1, 15))
    drawn = np.random.default_rng(0).multinomial(15, np.full(15, 1 / 15), 40000) @ values[0] / 15
    rng = np.random.default_rng(1)
    theirs = stats.bootstrap((values[0],), np.mean, method="BCa", n_resamples=40000, rng=rng).confidence_interval
    assert bca(drawn, values.mean(), values) == pytest.approx((theirs.low, theirs.high), rel=0.02)
    assert percentile(drawn)[0] != pytest.approx(theirs.low, rel=0.02)


@pytest.mark.parametrize(
    ("seeds", "patients", "reason"),
    [(2, 3, ""), (1, 3, "1 seed, 2 are needed"), (2, 2, "2 patients, 3"), (1, 1, "1 patient, 3 are needed; 1 seed")],
)
def test_too_little_withholds_with_the_reason(seeds, patients, reason):
    made = interval(1.0, np.arange(seeds * patients, dtype=float).reshape(seeds, patients), Intervals())
    assert withheld(seeds=seeds, patients=patients).startswith(reason) and made.reason.startswith(reason)
    assert np.isnan([made.low, made.high]).all() == bool(reason) and made.value == 1


def test_patients_without_a_value_are_left_out():
    values = np.random.default_rng(7).normal(size=(2, 5))
    some = np.insert(values, 2, np.nan, axis=1)
    assert mean_over_patients(some, Intervals()) == mean_over_patients(values, Intervals())
    nothing = mean_over_patients(np.full((2, 3), np.nan), Intervals())
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


@pytest.mark.parametrize("settings", [{"replicates": 10}, {"confidence": 1.0}, {"confidence": 0.2}])
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(CTStyleError, match=next(iter(settings))):
        build(Intervals, settings)


def test_a_population_without_spread_has_the_gain_of_its_levels():
    still = Population(seeds=0, patients=0, cells=0, sizes=0, levels=(0.0, np.log(3)))
    assert true_gain(still, np.random.default_rng(0)) == pytest.approx(25)  # 75 % against 50 %
    plain, other = draw(still, np.random.default_rng(0), datasets=1, seeds=1, patients=2)
    assert foreground_iou(plain.sum(-2)) == pytest.approx(50) and foreground_iou(other.sum(-2)) == pytest.approx(75)


def test_the_true_gain_is_that_of_a_large_sample():
    population = POPULATIONS["trainings differ as much as patients"]
    plain, other = draw(population, np.random.default_rng(8), datasets=1, seeds=400, patients=2000)
    large = (foreground_iou(other.sum(-2)) - foreground_iou(plain.sum(-2))).mean()
    assert true_gain(population, np.random.default_rng(9)) == pytest.approx(large, abs=1.5)


def test_coverage_is_seeded_and_the_simulated_truth_is_held():
    low, high = coverage_range(MANY, seeds=3, patients=12)
    assert (low, high) == coverage_range(MANY, seeds=3, patients=12)
    assert (low, high) != coverage_range(Intervals(replicates=4000, seed=1), seeds=3, patients=12)
    assert 0.91 < low <= high < 0.99
    population = POPULATIONS["trainings differ"]
    narrow = coverage(population, Intervals(replicates=4000, confidence=0.5), seeds=3, patients=12)
    assert narrow == pytest.approx(0.5, abs=0.06)
    assert coverage(population, MANY, seeds=3, patients=12, truth=1000.0) == 0
