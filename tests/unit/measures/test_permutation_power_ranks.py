"""Sign flips, Holm, power and ranks against SciPy and published numbers."""

import numpy as np
import pytest
from scipy import stats

from ctstyle.measures.statistics import critical_difference, holm, least_p, patients_needed, power, rank, sign_flip


def test_exact_sign_flips_are_those_of_scipy():
    differences = np.random.default_rng(0).normal(0.4, 1, (8, 4))
    made = sign_flip(differences, flips=100, rng=np.random.default_rng(0))
    for column, p in zip(differences.T, made):
        theirs = stats.permutation_test(
            (column,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", n_resamples=np.inf
        )
        assert p == pytest.approx(theirs.pvalue)


def test_fisher_s_own_example():
    """Darwin's 15 pairs of maize in Fisher 1935, section 21: 1726 of 32768 assignments reach the sum of 314."""
    darwin = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48.0])
    assert sign_flip(darwin[:, None], flips=100, rng=np.random.default_rng(1)) == 1726 / 32768
    twice = np.concatenate([darwin, darwin])[:, None]  # too many to try all: random flips come near the normal limit
    p = sign_flip(twice, flips=40000, rng=np.random.default_rng(1))
    assert p[0] == pytest.approx(2 * stats.norm.sf(abs(twice.sum()) / np.sqrt((twice**2).sum())), abs=0.004)


def test_the_least_p_is_reached_and_no_smaller():
    for patients in (3, 6):
        (p,) = sign_flip(np.arange(1.0, patients + 1)[:, None], flips=100, rng=np.random.default_rng(0))
        assert p == least_p(patients) == 2 / 2**patients
    (p,) = sign_flip(np.ones((40, 1)), flips=999, rng=np.random.default_rng(0))
    assert p == 1 / 1000  # random flips are never certain
    assert sign_flip(np.zeros((6, 1)), flips=100, rng=np.random.default_rng(0)) == 1


def test_p_is_uniform_where_nothing_differs():
    p = sign_flip(np.random.default_rng(2).normal(size=(10, 4000)), flips=100, rng=np.random.default_rng(0))
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.012) and np.mean(p <= 0.5) == pytest.approx(0.5, abs=0.03)


def test_holm_of_the_worked_example():
    """The four hypotheses of the article "Holm-Bonferroni method": at 0.05 the first and the fourth are rejected."""
    made = holm([0.01, 0.04, 0.03, 0.005])
    assert (made <= 0.05).tolist() == [True, False, False, True]
    assert made == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1, 1])


def test_what_was_not_tested_is_no_member_of_the_family():
    made = holm([0.01, np.nan, 0.04])
    assert made[[0, 2]] == pytest.approx([0.02, 0.04]) and np.isnan(made[1])


@pytest.mark.parametrize(("effect", "patients"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_patients_needed_are_those_of_g_power(effect, patients):
    """G*Power 3 (Faul et al. 2007), two-sided paired t test, level 0.05, power 0.8."""
    differences = np.random.default_rng(0).normal(size=12)
    differences = (differences - differences.mean()) / differences.std(ddof=1) + 2 * effect
    assert patients_needed(differences, share=0.5) == patients


def test_power_is_the_share_of_rejections():
    drawn = np.random.default_rng(3).normal(0.6, 1, (20000, 14))
    rejected = stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05
    assert power(0.6, 14, level=0.05) == pytest.approx(rejected.mean(), abs=0.012)


@pytest.mark.parametrize("differences", [[1.0], [2.0, 2.0, 2.0], [-1.0, 1.0], [np.nan, 1.0]])
def test_no_number_of_patients_without_spread_or_effect(differences):
    assert np.isnan(patients_needed(np.array(differences)))


@pytest.mark.parametrize(("arms", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_differences_are_those_of_demsar(arms, q):
    """Demsar 2006, table 5a, two-tailed Nemenyi at 0.05."""
    assert critical_difference(arms, 14, level=0.05) == pytest.approx(q * np.sqrt(arms * (arms + 1) / 84), rel=5e-4)


def test_ranks_and_friedman():
    """Demsar 2006, section 3.2.3: CD of 4 classifiers on 14 data sets is 1.25 at 0.05 (2.569 sqrt(20 / 84))."""
    scores = np.array([[0.9, 0.5, 0.5], [0.8, 0.9, 0.1], [0.7, 0.6, 0.5], [0.9, 0.3, 0.2]])
    made = rank(scores, ("a", "b", "c"), level=0.05)
    assert made.mean == pytest.approx([1.25, 1.875, 2.875])  # ties share 2.5
    assert made.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    assert critical_difference(4, 14, level=0.05) == pytest.approx(1.25, abs=0.005)


def test_bars_join_what_lies_within_the_critical_difference():
    scores = np.tile([4.0, 3.0, 2.0, 1.0], (12, 1))
    made = rank(scores, ("a", "b", "c", "d"), level=0.05)  # ranks 1 to 4, critical 1.35
    assert made.groups() == [(0, 1), (1, 2), (2, 3)]
    assert np.isnan(rank(scores[:2], ("a", "b", "c", "d"), level=0.05).p)
