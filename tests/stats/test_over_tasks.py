"""Ranks, pooled scores and best-of-n against published tables and against enumeration."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from rnnbench.stats.best_of_n import (
    better_from,
    chance,
    clearly_better_from,
    expected_best,
    expected_best_interval,
)
from rnnbench.stats.normalised_scores import (
    improvement,
    interquartile_estimate,
    interquartile_mean,
    profile,
)
from rnnbench.stats.ranks_over_tasks import cliques, critical_difference, friedman, rank_methods

# Demšar (2006), table 6: AUC of C4.5, with m, with cf, with both, on 14 data sets. "voting" is
# 0.975 twice in print and no tie in the paper's ranks, which rest on more digits.
AUC = np.array(
    [
        (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569),
        (0.954, 0.971, 0.968, 0.967), (0.628, 0.661, 0.654, 0.657),
        (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931),
        (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625),
        (0.775, 0.838, 0.866, 0.875), (1.000, 1.000, 1.000, 1.000),
        (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.9751, 0.975), (0.957, 0.978, 0.946, 0.970),
    ]
).T  # fmt: skip


def test_average_ranks_are_demsars():
    ranks = rank_methods(AUC, True)
    assert ranks.mean(1) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert rank_methods(-AUC, False) == pytest.approx(ranks)


def test_friedmans_figures_are_demsars():
    ranks = rank_methods(AUC, True)
    result = friedman(ranks)
    # The paper leaves out the correction for ties, that scipy makes: 9.28, and F 3.69.
    ties = sum(
        size**3 - size for column in ranks.T for size in np.unique(column, return_counts=True)[1]
    )
    plain = result.chi2 * (1 - ties / (14 * (4**3 - 4)))
    assert plain == pytest.approx(9.28, abs=0.005)
    assert 13 * plain / (14 * 3 - plain) == pytest.approx(3.69, abs=0.005)
    assert result.chi2 == pytest.approx(scipy_stats.friedmanchisquare(*AUC).statistic)
    assert result.p == pytest.approx(scipy_stats.f.sf(result.f, 3, 39))
    assert result.p < 0.05


def test_critical_differences_are_demsars():
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.005)
    # Table 5(a): q at 0.05 for 2 to 10 classifiers.
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    result = [critical_difference(k, 1) / (k * (k + 1) / 6) ** 0.5 for k in range(2, 11)]
    assert result == pytest.approx(published, abs=1.1e-3)


def test_at_010_both_with_m_are_better_than_c45_as_the_paper_says():
    ranks = rank_methods(AUC, True).mean(1)
    assert cliques(list(ranks), critical_difference(4, 14, alpha=0.10)) == [(3, 1, 2), (2, 0)]
    assert cliques([1.0, 2.0, 3.0], 0.5) == []
    assert cliques([1.0, 2.0, 3.0], 9.0) == [(0, 1, 2)]


def test_a_failure_ranks_last_and_tasks_that_tell_nothing_say_so():
    ranks = rank_methods([[0.5, np.nan], [0.4, 0.1], [0.3, np.nan]], True)
    assert ranks.tolist() == [[1.0, 2.5], [2.0, 1.0], [3.0, 2.5]]
    assert friedman(np.full((3, 4), 2.0)).p == 1.0
    alike = friedman(rank_methods([[3.0] * 6, [2.0] * 6, [1.0] * 6], True))
    assert alike.p == pytest.approx(6.0**-5)  # one order of six, on the five other tasks
    with pytest.raises(ValueError, match="2 methods and 2 tasks"):
        friedman(np.array([[1.0, 1.0]]))


def test_equal_methods_are_said_to_differ_in_ranks_in_one_of_twenty():
    rng = np.random.default_rng(0)
    result = sum(
        friedman(rank_methods(rng.normal(size=(4, 10)), True)).p < 0.05 for _ in range(1000)
    )
    assert result <= 50 + 3 * (1000 * 0.05 * 0.95) ** 0.5


# By rliable 1.2.0 (Agarwal et al.'s own code): `aggregate_iqm` and `probability_of_improvement`
# of these scores.
def scores(seed, shift=0.0):
    return list((np.random.default_rng(seed).normal(size=(5, 7)) + shift).T)


def test_the_interquartile_mean_equals_trim_mean_and_weighs_tasks_alike():
    of = scores(0)
    assert interquartile_mean(of) == pytest.approx(-0.130333, abs=1e-6)  # rliable's
    assert interquartile_mean(of) == scipy_stats.trim_mean(np.concatenate(of), 0.25)
    # One task with twice the runs: doubling each run of the other must change nothing.
    uneven = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 7.0])]
    even = [uneven[0], np.repeat(uneven[1], 2)]
    assert interquartile_mean(uneven) == pytest.approx(interquartile_mean(even))
    result = interquartile_estimate(of)
    assert result.low < result.mean < result.high
    assert interquartile_estimate([np.array([1.0]), np.array([2.0])]).low is None


def test_the_probability_of_improvement_is_counted_over_pairs_and_averaged_over_tasks():
    rng = np.random.default_rng(0)
    x, y = list(rng.normal(size=(5, 7)).T), list((rng.normal(size=(5, 7)) + 0.3).T)
    assert improvement(x, y).mean == pytest.approx(0.28)  # rliable's
    by_hand = [
        np.mean([(a > b) + (a == b) / 2 for a, b in product(s, t)])
        for s, t in zip(x, y, strict=True)
    ]
    assert improvement(x, y).mean == pytest.approx(np.mean(by_hand))
    tied = [np.array([1.0, 1.0])]
    assert improvement(tied, tied).mean == 0.5


def test_a_profile_is_the_share_of_runs_above_each_score():
    share, low, high = profile([np.array([0.2, 0.8]), np.array([0.9])], np.array([0.0, 0.5, 0.85]))
    assert share == pytest.approx([1.0, 0.75, 0.5])
    assert (low <= share).all()
    assert (share <= high).all()


TRIALS = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]


@pytest.mark.parametrize("higher", [True, False])
def test_the_expected_best_equals_an_enumeration_of_all_draws(higher):
    best = max if higher else min
    for n in range(1, 7):
        without = np.mean([best(c) for c in combinations(TRIALS, n)])
        assert expected_best(TRIALS, higher)[n - 1] == pytest.approx(without)
        if n < 6:
            with_replacement = np.mean([best(c) for c in product(TRIALS, repeat=n)])
            result = expected_best(TRIALS, higher, unbiased=False)[n - 1]
            assert result == pytest.approx(with_replacement)


def test_a_thousand_and_more_trials_do_not_overflow():
    values = list(np.random.default_rng(0).uniform(size=1500))
    curve = expected_best(values, True)
    assert curve[0] == pytest.approx(np.mean(values))
    assert curve[-1] == pytest.approx(max(values))
    assert np.all(np.diff(curve) > -1e-9)
    # The best of n uniform draws is n / (n + 1) on average.
    assert curve[9] == pytest.approx(10 / 11, abs=0.02)


def test_trials_that_failed_are_never_the_best():
    assert expected_best([1.0, None, 3.0], False) == pytest.approx([(1 + 3 + 3) / 3, 5 / 3, 1.0])
    with pytest.raises(ValueError, match="no trial"):
        expected_best([None, None], True)


def test_the_chance_of_winning_equals_an_enumeration():
    other = [2.0, 3.5, 3.0, 8.0]
    for n in range(1, 5):
        pairs = product(combinations(TRIALS, n), combinations(other, n))
        by_hand = np.mean([(max(a) > max(b)) + (max(a) == max(b)) / 2 for a, b in pairs])
        assert chance(TRIALS, other, True)[n - 1] == pytest.approx(by_hand)
    assert len(chance(TRIALS, other, True)) == 4


def test_a_verdict_names_the_trials_from_which_on_it_holds():
    steady, risky = [2.0, 2.1, 2.2, 2.3, 2.4, 2.5], [1.0, 9.0, 9.0, 9.0, 9.0, 9.0]
    assert better_from(risky, steady, False) == 6
    assert better_from(steady, risky, False) is None  # not at the end
    assert better_from(steady, [x + 1 for x in steady], False) == 1
    assert clearly_better_from(steady, [x + 1 for x in steady], False) == 1
    assert clearly_better_from(risky, steady, False) is None  # one lucky trial
    low, high = expected_best_interval(steady, False)
    assert all(a <= b <= c for a, b, c in zip(low, expected_best(steady, False), high, strict=True))
