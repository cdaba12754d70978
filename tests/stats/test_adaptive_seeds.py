"""Checks which rows get more seeds, and that looking again and again keeps the error rate."""

import numpy as np
import pytest

from rnnbench.stats.adaptive_seeds import SeedPlan, board_level, next_seeds
from rnnbench.stats.repeated_looks import chance_of_any, level_at_the_end, looks_between


def run(means, plan, seed, deviation=1.0):
    """Give seeds round by round, and return the last decision."""
    rng = np.random.default_rng(seed)
    figures = np.asarray(means)[:, None] + deviation * rng.normal(size=(len(means), plan.at_most))
    decision = next_seeds([f[: plan.at_least] for f in figures], True, plan)
    while not decision.done:
        decision = next_seeds(
            [f[:n] for f, n in zip(figures, decision.seeds, strict=True)], True, plan
        )
    return decision


def test_looks_are_in_about_equal_ratios_from_the_least_to_the_most():
    assert looks_between(3, 12) == (3, 4, 5, 6, 8, 10, 12)
    assert looks_between(2, 4) == (2, 3, 4)
    assert looks_between(5, 5) == (5,)


def test_the_chance_to_pass_a_limit_at_any_of_five_looks_is_that_of_pococks_table():
    assert chance_of_any((1, 2, 3, 4, 5), [2.413] * 5) == pytest.approx(0.05, abs=0.0005)


def test_a_board_whose_seeds_were_added_by_looking_is_judged_more_strictly():
    plan = SeedPlan(3, 12)
    assert 0.96 < plan.level(2) < plan.level(20) < 0.98
    assert level_at_the_end((5,), 10) == 0.95
    assert board_level([None, plan.as_dict(), None], 10) == plan.level(10)
    assert board_level([None, None], 10) == 0.95
    assert SeedPlan.of_dict(plan.as_dict()) == plan


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


def test_what_the_seeds_cannot_settle_is_given_up_early():
    figures = [[0.0, 1.0, 2.0], [0.01, 1.0, 2.02], [0.02, 0.99, 2.0]]
    decision = next_seeds(figures, True, SeedPlan(3, 5))
    assert decision.done
    assert decision.reason == "any of 3 rows may be the best: too close for 5 seeds each"


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
        run([0.0] * 5, plan, seed).judgement.comparisons.better_KK.any() for seed in range(60)
    )
    assert wrong <= 4


def test_a_plan_of_one_seed_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        SeedPlan(1, 5)
