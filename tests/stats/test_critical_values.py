"""Checks limits of differences against scipy, and against simulated rows."""

import math

import numpy as np
import pytest
from scipy.stats import studentized_range

from rnnbench.stats.critical_values import best_limit, best_tail, coarse, range_limit, range_tail


@pytest.mark.parametrize(("rows", "df"), [(2, 4), (10, 8), (40, 64)])
def test_limits_of_a_common_spread_are_those_of_the_studentised_range(rows, df):
    expected = studentized_range.ppf(0.95, rows, df) / math.sqrt(2)
    assert range_limit(rows, math.inf, df) == pytest.approx(expected, rel=5e-4)
    assert range_tail(expected, rows, math.inf, df) == pytest.approx(0.05, abs=2e-4)


@pytest.mark.parametrize(("rows", "df"), [(4, 2.0), (10, 4.0), (30, 8.0)])
def test_equal_rows_of_unlike_spread_pass_their_limits_once_in_twenty(rows, df):
    t = np.random.default_rng(0).standard_t(df, (40_000, rows))
    alike = (t.max(1) - t.min(1)) / math.sqrt(2) > range_limit(rows, df)
    beside_one_that_hardly_varies = np.abs(t).max(1) > range_limit(rows, df)
    behind = (t[:, 1:] - t[:, :1]).max(1) / math.sqrt(2) > best_limit(rows, df)
    worse_case = max(alike.mean(), beside_one_that_hardly_varies.mean())
    assert worse_case == pytest.approx(0.05, abs=0.004)
    assert behind.mean() == pytest.approx(0.05, abs=0.004)


def test_a_limit_and_its_probability_belong_together():
    for alpha in (0.05, 0.01):
        limit = best_limit(7, 6, 20, alpha)
        assert best_tail(limit, 7, 6, 20) == pytest.approx(alpha, rel=0.01)


def test_the_limit_of_two_rows_of_unlike_spread_is_students():
    assert range_limit(2, 8.0) == pytest.approx(2.306, rel=1e-3)


def test_degrees_of_freedom_between_those_of_the_grid_are_rounded_down():
    assert coarse(8) == 8
    assert 7.5 < coarse(7.99) < 7.99
    assert coarse(1e6) == math.inf
