"""Counts false verdicts and power on boards whose truth is known: the benchmark, in short."""

import pytest

from rnnbench.benchmarks.verdicts import measure, measure_adaptive

BOARDS = 60
MOST = 0.05 + 3 * (0.05 * 0.95 / BOARDS) ** 0.5


@pytest.mark.parametrize(
    ("setting", "rows", "seeds"),
    [
        ("equal", 10, 3),
        ("unequal", 4, 3),
        ("unequal", 10, 3),
        ("skewed", 20, 5),
        ("heavy tails", 10, 8),
        ("failures", 10, 5),
        ("multiplicative", 10, 3),
    ],
)
def test_verdicts_are_false_on_one_board_of_twenty_at_most(setting, rows, seeds):
    rates = measure(setting, rows, seeds, BOARDS, 3.0)
    assert rates["false", "rnnbench"] <= MOST
    assert rates["missed", ""] <= MOST
    assert rates["unequal", ""] <= MOST


def test_three_seeds_of_ten_rows_tell_a_row_twelve_times_as_often_as_welch_and_holm():
    rates = measure("equal", 10, 3, 150, 3.0)
    assert rates["found", "rnnbench"] > max(0.3, 12 * rates["found", "Welch-Holm"])


@pytest.mark.parametrize("truth", ["one ahead by 2", "one ahead by 3"])
def test_seeds_by_results_reach_the_verdicts_of_all_seeds_with_half_of_the_runs(truth):
    rates = measure_adaptive(truth, "equal", 10, 20)
    assert rates["runs"] < 0.5
    assert rates["known"] >= rates["fixed"] - 0.06
    assert rates["false"] <= 0.1


def test_seeds_by_results_spend_half_of_the_runs_at_most_where_all_rows_are_equal():
    rates = measure_adaptive("all equal", "unequal", 10, 20)
    assert rates["runs"] < 0.5
    assert rates["false"] <= 0.1
