import math
import random
import warnings
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from rnnbench.benchmarks.simulated_boards import NOISE, simulate_board
from rnnbench.stats import (
    ALPHA,
    Method,
    estimate,
    hedges_g,
    holm,
    least_p,
    pairwise,
    permuted,
    seeds_needed,
    sign_flipped,
    superiority,
    welch,
)

# Student's (1908) sleep data: extra hours of sleep under two drugs, as in R's `t.test(extra ~
# group, data = sleep)`, which prints t = -1.8608, df = 17.776, p-value = 0.07939.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

samples = st.lists(st.integers(-1000, 1000).map(lambda k: k / 16), min_size=2, max_size=8)


def test_welch_gives_the_figures_of_the_textbook():
    result = welch(SLEEP_1, SLEEP_2)
    assert result.difference == pytest.approx(0.75 - 2.33)
    assert result.t == pytest.approx(-1.8608, abs=5e-5)
    assert result.df == pytest.approx(17.776, abs=5e-4)
    assert result.p == pytest.approx(0.07939, abs=5e-6)


@settings(deadline=None)
@given(samples, samples)
def test_welch_equals_scipys_wherever_scipy_has_an_answer(a, b):
    result = welch(a, b)
    if len(set(a)) > 1 or len(set(b)) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # it doubts samples that don't vary
            expected = scipy_stats.ttest_ind(a, b, equal_var=False)
        assert result.t == pytest.approx(expected.statistic, rel=1e-6, abs=1e-9)
        assert result.df == pytest.approx(expected.df, rel=1e-6)
        assert result.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_samples_that_do_not_vary_differ_surely_or_not_at_all():
    assert welch([1.0, 1.0], [1.0, 1.0, 1.0]).p == 1.0
    assert welch([1.0, 1.0], [2.0, 2.0]).p == 0.0
    assert welch([1.0, 1.0], [2.0, 2.0]).t == -math.inf
    assert 0 < welch([1.0, 1.0], [2.0, 2.5]).p < 1  # one that does not vary


def test_a_test_needs_two_seeds_on_either_side():
    with pytest.raises(ValueError, match="two seeds"):
        welch([1.0], [1.0, 2.0])


@settings(deadline=None)
@given(samples)
def test_the_interval_equals_scipys(sample):
    result = estimate(sample)
    if len(set(sample)) > 1:
        low, high = scipy_stats.ttest_1samp(sample, 0.0).confidence_interval(0.95)
        assert (result.low, result.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    else:
        assert result.low == result.high == result.mean == sample[0]


def test_one_seed_has_no_interval():
    result = estimate([1.5])
    assert (result.mean, result.n) == (1.5, 1)
    assert result.low is result.high is result.deviation is result.half_width is None


def test_seeds_that_agree_have_an_interval_without_width_and_the_mean_is_exact():
    assert estimate([0.1, 0.1, 0.1]).mean == 0.1
    assert estimate([0.1, 0.1, 0.1]).half_width == 0.0


@pytest.mark.parametrize("sample", [[], [1.0, math.nan], [math.inf]])
def test_what_is_not_finite_never_enters(sample):
    with pytest.raises(ValueError, match="finite"):
        estimate(sample)
    with pytest.raises(ValueError, match="finite"):
        pairwise([[1.0, 2.0], sample])


def test_holm_equals_statsmodels():
    rng = random.Random(0)
    for count in (1, 2, 3, 19):  # each call collects all garbage of the process, a second
        p_values = [rng.random() ** 3 for _ in range(count)]
        assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_a_test_of_pairs_tells_planted_wins_and_nothing_else():
    best, tied, worse, last = [1.0, 1.1, 0.9], [1.05, 1.15, 0.95], [2.0, 2.1, 1.9], [9.0, 9.1, 8.9]
    apart = pairwise([best, tied, worse, last]) < ALPHA
    assert apart.tolist() == [
        [False, False, True, True],
        [False, False, True, True],
        [True, True, False, True],
        [True, True, True, False],
    ]


def test_many_comparisons_need_more_evidence():
    best, other = [1.0, 1.1, 0.9], [1.2, 1.3, 1.3]
    alone = pairwise([best, other])[0, 1]
    assert alone == pytest.approx(welch(best, other).p)
    assert 0.0125 < alone < ALPHA
    crowd = [[1.01, 1.1, 0.9], [1.02, 1.1, 0.9], [1.03, 1.1, 0.9]]
    assert (pairwise([best, *crowd, other]) > ALPHA).all()


def test_no_samples_have_no_pairs():
    assert pairwise([]).shape == (0, 0)


@settings(deadline=None)
@given(st.lists(samples, min_size=2, max_size=5))
def test_all_pairs_at_once_equal_one_by_one(rows):
    pairs = [(a, b) for a in range(len(rows)) for b in range(a + 1, len(rows))]
    adjusted = holm([welch(rows[a], rows[b]).p for a, b in pairs])
    table = pairwise(rows)
    assert [table[a, b] for a, b in pairs] == pytest.approx(adjusted, rel=1e-6, abs=1e-12)


def parted(boards, seeds, rows, noise, method):
    """Return the share of boards of equal rows of which a pair is told apart."""
    rng = np.random.default_rng(0)
    equal = (simulate_board(rng, noise, rows, seeds).samples for _ in range(boards))
    return sum((pairwise(board, method) < ALPHA).any() for board in equal) / boards


def test_planted_ties_are_called_ties_in_19_of_20_of_a_thousand_boards():
    for rows in (2, 6):
        assert parted(1000, 5, rows, "equal", Method()) <= 0.05 + 3 * (0.05 * 0.95 / 1000) ** 0.5


def test_a_row_far_ahead_is_told_from_all_others():
    rng = np.random.default_rng(0)
    ahead = [simulate_board(rng, "equal", 6, 5, gain=4.0).samples for _ in range(300)]
    alone = sum((pairwise(board)[0, 1:] < ALPHA).all() for board in ahead)
    assert alone > 0.75 * 300


def test_intervals_hold_the_truth_in_19_of_20():
    rng = np.random.default_rng(0)
    found = [estimate(list(rng.normal(size=5))) for _ in range(1000)]
    share = sum(e.low <= 0 <= e.high for e in found) / 1000
    assert abs(share - 0.95) < 3 * (0.05 * 0.95 / 1000) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("noise", [n for n in NOISE if n not in ("failures", "multiplicative")])
@pytest.mark.parametrize("method", [Method(), Method(test="permutation")])
@pytest.mark.parametrize("rows", [2, 4, 10])
def test_planted_ties_are_called_ties_whatever_the_noise(noise, method, rows):
    boards = 1000 if method.test == "t" else 200
    limit = 0.05 + 3 * (0.05 * 0.95 / boards) ** 0.5
    assert parted(boards, 6, rows, noise, method) <= limit


def test_permutation_tests_equal_an_enumeration():
    a, b = [1.0, 1.3, 0.9, 1.1], [1.2, 1.6, 1.5]
    pooled, observed = a + b, abs(sum(a) / 4 - sum(b) / 3)
    splits = list(combinations(range(7), 4))
    extreme = sum(
        abs(sum(pooled[i] for i in s) / 4 - sum(pooled[i] for i in range(7) if i not in s) / 3)
        >= observed - 1e-12
        for s in splits
    )
    # scipy doubles the smaller tail, which differs where the sizes do
    assert permuted(a, b).p == pytest.approx(extreme / len(splits), abs=0.06)
    flips = list(product((1, -1), repeat=4))
    differences = [0.3, -0.1, 0.4, 0.2]
    as_large = sum(abs(sum(s * d for s, d in zip(f, differences, strict=True))) >= 0.8 - 1e-12
                   for f in flips)  # fmt: skip
    assert sign_flipped(differences, [0.0] * 4).p == pytest.approx(as_large / 16)


def test_three_seeds_cannot_reach_significance_by_permutation_and_it_says_how_many_can():
    assert permuted([1.0, 1.1, 0.9], [9.0, 9.1, 8.9]).p == least_p(3, 3) == pytest.approx(0.1)
    assert sign_flipped([1.0, 1.1, 0.9], [9.0, 9.1, 8.9]).p == least_p(3, 3, pairs=True) == 0.25
    assert (seeds_needed(), seeds_needed(pairs=True), seeds_needed(9, pairs=True)) == (4, 6, 9)
    assert seeds_needed(10**40) is None
    assert least_p(4, 4) < 0.05 < least_p(3, 3)


def test_a_bootstrap_interval_of_the_mean_equals_scipys_bca_and_is_narrower_than_t():
    sample = SLEEP_1
    result = estimate(sample, Method(interval="bootstrap"))
    expected = scipy_stats.bootstrap((sample,), np.mean, method="BCa", rng=7).confidence_interval
    assert (result.low, result.high) == pytest.approx(tuple(expected), abs=0.05)
    assert result.half_width < estimate(sample).half_width
    assert result.mean == estimate(sample).mean


def test_a_median_takes_a_bootstrap_and_a_permutation_test_only():
    method = Method("median", "bootstrap", "permutation")
    result = estimate([1.0, 2.0, 9.0, 3.0], method)
    assert result.mean == 2.5
    assert result.low <= 2.5 <= result.high
    with pytest.raises(ValueError, match="about means"):
        Method("median")


def test_effect_sizes_are_those_of_the_textbook():
    # Worked by hand: means 3 and 5, both variances 2.5, so d = -2 / sqrt(2.5), df = 8.
    first, second = [1.0, 2.0, 3.0, 4.0, 5.0], [3.0, 4.0, 5.0, 6.0, 7.0]
    assert hedges_g(first, second) == pytest.approx(-2 / 2.5**0.5 * (1 - 3 / 31))
    u = scipy_stats.mannwhitneyu(first, second).statistic
    assert superiority(first, second, True) == pytest.approx(u / 25)
    assert superiority(first, second, False) == pytest.approx(1 - u / 25)
    assert hedges_g([1.0, 1.0], [2.0, 2.0]) is None
    assert hedges_g([1.0], [2.0, 3.0]) is None
