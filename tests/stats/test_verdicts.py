"""Checks the verdicts on boards: what is shown and open, and that none contradicts another."""

import itertools
import math

import numpy as np
import pytest

from rnnbench.stats import EqualityMargin, judge_rows
from rnnbench.stats.spread import moderate


def noisy(means, deviation=0.01, seeds=3, seed=0):
    rng = np.random.default_rng(seed)
    return [list(rng.normal(m, deviation, seeds)) for m in means]


def check_coherence(judged):
    """Hold every answer of a judgement against every other."""
    opposite = {"better": "worse", "worse": "better", "equal": "equal", "open": "open"}
    rows = range(len(judged.ranks))
    place = {row: p for p, row in enumerate(judged.order)}
    for i, j in itertools.permutations(rows, 2):
        pair, back = judged.pair(i, j), judged.pair(j, i)
        assert pair.relation == opposite[back.relation]
        assert pair.p == back.p
        assert (pair.p < 1 - judged.level + 1e-9) == (pair.relation in ("better", "worse"))
        assert pair.low <= pair.high
        if pair.relation == "better":
            assert place[i] < place[j]
            assert judged.ranks[i][0] < judged.ranks[j][0]
            assert judged.ranks[i][1] < judged.ranks[j][1]
            assert j not in judged.contenders
            for k in rows:
                if judged.relation(j, k) == "better":
                    assert judged.relation(i, k) == "better"
        if pair.relation == "open" and pair.difference is not None:
            nothing = 1.0 if judged.scale == "log" else 0.0
            assert pair.low <= nothing <= pair.high
    for i in rows:
        best, worst = judged.ranks[i]
        assert 1 <= best <= worst <= len(rows)
        assert (best == 1) == (i in judged.contenders)
    if len(judged.contenders) == 1:
        alone = judged.contenders[0]
        assert all(judged.relation(alone, i) == "better" for i in rows if i != alone)


def random_board(rng):
    rows = int(rng.integers(1, 9))
    kind = rng.choice(["equal", "unequal", "log", "constant", "ties"])
    samples, failures = [], []
    for row in range(rows):
        seeds = int(rng.integers(1, 6))
        figures = rng.normal(0.5 + 0.02 * row, 0.02, seeds)
        if kind == "unequal":
            figures = rng.normal(row, math.exp(rng.normal()), seeds)
        if kind == "log":
            figures = np.exp(rng.normal(row / 2, 0.5, seeds))
        if kind == "constant":
            figures = np.full(seeds, float(row // 2))
        if kind == "ties":
            figures = np.round(figures, 1)
        failed = int(rng.integers(0, 3)) if rng.random() < 0.2 else 0
        samples.append([] if failed and rng.random() < 0.3 else [float(f) for f in figures])
        failures.append(failed)
    return samples, failures if rng.random() < 0.7 else None


def test_no_two_answers_of_a_board_contradict_each_other():
    rng = np.random.default_rng(3)
    for _ in range(25):
        samples, failures = random_board(rng)
        if failures is None:
            samples = [s or [0.5] for s in samples]
        check_coherence(
            judge_rows(samples, bool(rng.integers(2)), failures=failures,
                       margin=EqualityMargin(0.05) if rng.random() < 0.5 else None)
        )  # fmt: skip


def test_what_is_said_does_not_depend_on_which_way_is_better_nor_on_the_unit():
    samples = noisy([0.9, 0.91, 0.95, 0.7])
    judged = judge_rows(samples, True)
    turned = judge_rows([[-100 * v for v in s] for s in samples], False)
    assert judged.ranks == turned.ranks
    assert judged.contenders == turned.contenders == (2,)
    assert turned.pair(0, 2).difference == pytest.approx(-100 * judged.pair(0, 2).difference)
    assert turned.pair(0, 2).low == pytest.approx(-100 * judged.pair(0, 2).high)


def test_a_fivefold_difference_on_the_log_scale_is_no_tie():
    rng = np.random.default_rng(0)
    samples = [list(np.exp(rng.normal(m, 0.2, 3))) for m in (-2.0, -0.8, 0.2, 0.3)]
    judged = judge_rows(samples, False)
    assert judged.scale == "log"
    assert judged.contenders == (0,)
    assert judged.relation(2, 3) == "open"
    ratio = judged.pair(1, 0)
    assert ratio.difference == pytest.approx(judged.centres[1] / judged.centres[0])
    assert ratio.relation == "worse"
    assert ratio.low > 1


def test_single_seeds_are_open_and_borrow_the_spread_of_others():
    assert judge_rows([[0.5], [0.6]], True).relation(0, 1) == "open"
    samples = [*noisy([0.5] * 8), [0.9]]
    judged = judge_rows(samples, True)
    assert judged.contenders == (8,)


def test_a_metric_that_no_seed_changes_is_taken_for_exact():
    judged = judge_rows([[0.5, 0.5], [0.6, 0.6, 0.6], [0.6, 0.6]], True, margin=None)
    assert judged.relation(1, 0) == "better"
    assert judged.relation(1, 2) == "equal"
    assert judged.ranks == ((3, 3), (1, 2), (1, 2))
    check_coherence(judged)


def test_ties_to_the_last_digit_are_open_where_seeds_vary_and_no_margin_is_met():
    judged = judge_rows([[0.5, 0.6, 0.7]] * 3, True)
    assert judged.relation(0, 1) == "open"
    assert judged.contenders == (0, 1, 2)


def test_equal_takes_an_interval_within_the_margin():
    samples = noisy([0.9, 0.9, 0.9], deviation=0.001, seeds=6)
    assert judge_rows(samples, True, margin=EqualityMargin(0.01)).relation(0, 1) == "equal"
    assert judge_rows(samples, True, margin=EqualityMargin(0.0005)).relation(0, 1) == "open"
    assert judge_rows(samples, True, margin=None).relation(0, 1) == "open"
    apart = noisy([0.9, 0.904], deviation=0.0005, seeds=6)
    pair = judge_rows(apart, True, margin=EqualityMargin(0.01)).pair(1, 0)
    assert (pair.relation, pair.within_margin) == ("better", True)


def test_a_row_that_fails_once_leaves_the_others_as_they_are():
    samples = noisy([0.9, 0.8, 0.7, 0.6], deviation=0.005)
    judged = judge_rows([samples[0], samples[1][:2], *samples[2:]], True, failures=[0, 1, 0, 0])
    assert judged.relation(0, 1) == "better"
    assert judged.relation(2, 3) == "better"
    assert judged.contenders == (0,)
    assert judged.relation(1, 2) == "open"  # two of three seeds are ahead, and one came to nothing
    check_coherence(judged)


def test_a_row_with_one_failure_among_many_seeds_is_better_nevertheless():
    samples = noisy([0.9, 0.7, 0.6], seeds=8)
    judged = judge_rows([samples[0][:7], *samples[1:]], True, failures=[1, 0, 0])
    assert judged.contenders == (0,)
    assert judged.relation(0, 1) == "better"
    check_coherence(judged)


def test_a_row_whose_seeds_all_fail_is_behind_those_that_never_do():
    samples = [*noisy([0.5] * 9), []]
    judged = judge_rows(samples, True, failures=[0] * 9 + [3])
    assert all(judged.relation(i, 9) == "better" for i in range(9))
    assert judged.pair(0, 9).by_failures
    assert judged.centres[9] is None
    assert judged.ranks[9] == (10, 10)
    check_coherence(judged)


def test_failures_that_strike_all_rows_alike_part_none():
    samples = noisy([0.5] * 10, seeds=2)
    judged = judge_rows(samples, True, failures=[1, 0, 1, 0, 1, 1, 0, 1, 2, 0])
    assert judged.ranks == ((1, 10),) * 10


def test_the_seeds_that_would_settle_a_pair_settle_it():
    samples = [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [0.5, 1.0, 2.5]]
    pair = judge_rows(samples, True).pair(1, 0)
    assert pair.relation == "open"
    assert pair.more_seeds == pair.seeds_needed - 3
    assert 5 < pair.seeds_needed < 60


def test_rows_lend_each_other_more_where_their_spreads_are_alike():
    rng = np.random.default_rng(0)
    alike = moderate([rng.normal(0, 1, 5) for _ in range(30)])
    unlike = moderate([rng.normal(0, math.exp(rng.normal(0, 1.5)), 5) for _ in range(30)])
    assert alike.prior_df > 8
    assert unlike.prior_df < 3
    assert alike.prior_variance == pytest.approx(1, rel=0.3)


def test_a_board_without_rows_and_one_of_one_row_are_judged():
    assert judge_rows([], True).contenders == ()
    assert judge_rows([[0.5, 0.6]], True).ranks == ((1, 1),)
    with pytest.raises(ValueError, match="finite"):
        judge_rows([[]], True)


@pytest.mark.parametrize("size", [1e-200, 1e-120, 1e120, 1e200, 1e300])
def test_figures_of_any_size_are_judged_alike(size):
    samples = noisy([0.9, 0.91, 0.95, 0.7])
    judged = judge_rows(samples, True)
    scaled = judge_rows([[v * size for v in s] for s in samples], True)
    assert scaled.ranks == judged.ranks
    assert scaled.centres[2] == pytest.approx(size * judged.centres[2])
    assert scaled.pair(2, 0).low == pytest.approx(size * judged.pair(2, 0).low)
    assert scaled.margin == pytest.approx(size * judged.margin)
    check_coherence(scaled)


def test_figures_of_all_sizes_at_once_are_judged():
    samples = [[1e-300, 2e-300], [1.0, 2.0, 3.0], [1e300, 3e300], [5.0], [1e-5, 1e-5]]
    for higher in (True, False):
        check_coherence(judge_rows(samples, higher))
        check_coherence(judge_rows([[-v for v in s] for s in samples], higher))
