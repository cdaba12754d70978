"""Checks which rows get more seeds, and that looking again and again keeps the error rate."""

from statistics import NormalDist

import numpy as np
import pytest

from rnnbench.stats.adaptive_seeds import SeedPlan, board_level, next_seeds
from rnnbench.stats.futility import chance_to_settle
from rnnbench.stats.repeated_looks import chance_of_any, levels_for_best, looks_between
from rnnbench.stats.verdicts import EqualityMargin, judge_rows


def run(means, plan, seed, deviation=1.0):
    """Give seeds round by round, and return the last decision."""
    rng = np.random.default_rng(seed)
    figures = np.asarray(means)[:, None] + deviation * rng.normal(size=(len(means), plan.at_most))
    given = (plan.at_least,) * len(means)
    for _ in range(figures.size):  # each round gives a seed, so more rounds are a fault
        decision = next_seeds([f[:n] for f, n in zip(figures, given, strict=True)], True, plan)
        if decision.done:
            return decision
        assert sum(decision.seeds) > sum(given)
        assert max(decision.seeds) <= plan.at_most
        given = decision.seeds
    pytest.fail("seeds are given without end")


def test_looks_are_in_about_equal_ratios_from_the_least_to_the_most():
    assert looks_between(3, 12) == (3, 4, 5, 6, 8, 10, 12)
    assert looks_between(2, 4) == (2, 3, 4)
    assert looks_between(5, 5) == (5,)


def test_the_chance_to_pass_a_limit_at_any_of_five_looks_is_that_of_pococks_table():
    assert chance_of_any((1, 2, 3, 4, 5), [2.413] * 5) == pytest.approx(0.05, abs=0.0005)


@pytest.mark.parametrize("until", ["best", "pairs"])
def test_a_board_whose_seeds_were_added_by_looking_is_judged_more_strictly(until):
    plan = SeedPlan(3, 12, until)
    for rows in (2, 4, 10, 40):
        levels = plan.levels(rows)
        assert 0.95 < plan.level(rows) == levels.at_the_end <= levels.on_the_way < 0.995
    assert SeedPlan(5, 5, until).level(10) == 0.95
    assert board_level([None, plan.as_dict(), None], 10) == plan.level(10)
    assert board_level([None, None], 10) == 0.95
    assert SeedPlan.of_dict(plan.as_dict()) == plan


@pytest.mark.parametrize("rows", [2, 10])
def test_two_equal_best_rows_with_a_known_spread_part_in_5_percent_of_sweeps_at_most(rows):
    looks = (3, 4, 5, 6, 8, 10, 12)
    levels, part = levels_for_best(looks, rows), 1.0 if rows < 4 else 2 / 3
    rng = np.random.default_rng(0)
    sums = rng.normal(size=(200_000, 12)).cumsum(1)[:, [n - 1 for n in looks]]
    off = np.abs(sums / np.sqrt(looks))
    limits = [norm_limit(part * (1 - levels.on_the_way))] * 6
    limits.append(norm_limit(part * (1 - levels.at_the_end)))
    best = (off > np.array(limits)).any(1).mean()
    assert best + (1 - part) * (1 - levels.at_the_end) == pytest.approx(0.05, abs=0.002)


def norm_limit(alpha):
    return NormalDist().inv_cdf(1 - alpha / 2)


def test_rows_that_cannot_be_the_best_get_no_more_seeds():
    decision = run([0.0, 0.0, 0.0, 0.0, 8.0, 8.4], SeedPlan(3, 12), seed=1)
    assert decision.seeds[:4] == (3, 3, 3, 3)
    assert min(decision.seeds[4:]) > 3


def test_a_clear_best_row_ends_the_sweep_at_once():
    decision = run([0.0, 0.0, 0.0, 20.0], SeedPlan(3, 12), seed=0)
    assert decision.seeds == (3, 3, 3, 3)
    assert decision.reason == "settled: one row is the best"


def test_all_pairs_are_gone_on_with_after_the_best_is_known():
    figures = [[0.0, 0.5, 1.0], [0.6, 1.2, 1.7], [50.0, 50.4, 51.0]]
    assert next_seeds(figures, True, SeedPlan(3, 12)).done
    decision = next_seeds(figures, True, SeedPlan(3, 12, "pairs"))
    assert decision.seeds == (4, 4, 3)


def test_the_row_ahead_gets_its_seeds_before_its_rivals():
    figures = [[2.0, 2.6, 1.4], *([[0.3 + k / 10, 1.5, -0.4] for k in range(8)])]
    decision = next_seeds(figures, True, SeedPlan(3, 12))
    assert decision.seeds == (8, *[3] * 8)
    assert decision.reason == "9 rows of 9 may be the best, 1 of them get more seeds"
    assert next_seeds(figures, True, SeedPlan(3, 12)).seeds == decision.seeds
    figures[0] = [2.0, 2.6, 1.4, 1.9, 2.3, 1.6, 2.1, 1.8]
    more = next_seeds(figures, True, SeedPlan(3, 12))
    assert more.seeds[0] == 8
    assert more.seeds[1:] == (4,) * 8


def test_what_the_seeds_cannot_settle_is_given_up_early():
    figures = [[0.0, 1.0, 2.0], [0.01, 1.0, 2.02], [0.02, 0.99, 2.0]]
    decision = next_seeds(figures, True, SeedPlan(3, 5))
    assert decision.done
    assert decision.reason == "any of 3 rows may be the best: too close for 5 seeds each"


def test_the_chance_to_settle_grows_with_the_difference_and_with_the_seeds_to_come():
    def chance(difference, at_most, margin=None):
        rows = [[0.0, 1.0, 2.0], [difference, 1 + difference, 2 + difference]]
        return chance_to_settle(judge_rows(rows, True, margin=margin), 0, 1, at_most)

    assert chance(0.0, 12) < chance(1.0, 12) < chance(2.0, 12) < 1
    assert chance(1.0, 4) < chance(1.0, 12) < chance(1.0, 40)
    wide = EqualityMargin(5.0)
    assert chance(0.0, 12, wide) > 0.9 > 0.1 > chance(0.0, 12)  # they can be shown to be equal
    assert chance(0.0, 3) == 0.0


def test_seeds_that_no_row_gets_are_a_fault_and_no_endless_round(monkeypatch):
    monkeypatch.setattr("rnnbench.stats.adaptive_seeds._for_best", lambda _, __, have, ___: have)
    with pytest.raises(RuntimeError, match="no row gets more seeds"):
        next_seeds([[0.0, 1.0, 2.0], [0.9, 2.2, 2.5]], True, SeedPlan(3, 12))


def test_the_first_seeds_come_before_any_decision():
    decision = next_seeds([[0.5], [0.6, 0.7, 0.8]], True, SeedPlan(3, 12))
    assert (decision.done, decision.seeds) == (False, (3, 3))


def test_a_failed_seed_counts_as_one_of_a_row():
    figures = [[0.0, 1.0], [0.9, 2.2, 1.5], [-30.0, -29.0, -31.0]]
    decision = next_seeds(figures, True, SeedPlan(3, 12), failures=[1, 0, 0])
    assert decision.seeds[2] == 3
    assert decision.seeds[0] in (3, 4)


def test_who_asks_again_gets_the_same_answer():
    plan = SeedPlan(3, 9, "pairs")
    assert run([0.0, 1.0, 2.0], plan, 4).seeds == run([0.0, 1.0, 2.0], plan, 4).seeds


def test_looking_after_each_round_parts_equal_rows_rarely():
    plan = SeedPlan(3, 12)
    wrong = sum(
        run([0.0] * 5, plan, seed).judgement.comparisons.better_KK.any() for seed in range(25)
    )
    assert wrong <= 3


def test_a_plan_of_one_seed_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        SeedPlan(1, 5)
