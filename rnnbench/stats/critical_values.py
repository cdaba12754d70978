"""Gives the limits that differences between many rows pass by chance alone in one board of twenty.

Each row's mean, over its standard error, follows Student's t with `df` degrees of freedom: those
of its own seeds and those of what the other rows tell of the spread. What is not known of the
spread that all rows share divides all of them by one factor, with `common_df` degrees of freedom.
`inf` stands for what is known for certain. Numerical integrals, so that `scipy.stats` (a second to
import, and slow at each call) is not needed; the tests hold them against it.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.special import chdtri, ndtr, ndtri, stdtr, stdtrit

NODES, COMMON_NODES = 32, 12  # of the integrals: they are right to three digits of a probability
# Of degrees of freedom for each doubling; those between are rounded down.
STEPS, COMMON_STEPS = 12, 3
LARGEST_DF = 400.0  # beyond it is as good as infinite


def range_tail(limit: float, rows: int, df: float, common_df: float = math.inf) -> float:
    """Return the probability that any two of so many equal rows differ by more than `limit`.

    The larger one of two cases counts: rows that vary alike, and one that hardly varies.

    Args:
        limit: a difference in standard errors of the difference.
    Source: Tukey (1953), The Problem of Multiple Comparisons, for normal rows with a common
        spread; David & Nagaraja (2003), Order Statistics, section 2.3, for the range of any.
    """
    return _tail(limit, rows, coarse(df), coarse(common_df, COMMON_STEPS), True)


def best_tail(limit: float, rows: int, df: float, common_df: float = math.inf) -> float:
    """Return the probability that any of the others seems better than a given row by `limit`.

    Args:
        limit: a difference in standard errors of the difference.
    Source: Dunnett (1955), JASA 50, one-sided; its use for the best: Hsu (1981), Annals of
        Statistics 9.
    """
    return _tail(limit, rows, coarse(df), coarse(common_df, COMMON_STEPS), False)


def range_limit(rows: int, df: float, common_df: float = math.inf, alpha: float = 0.05) -> float:
    """Return the limit that `range_tail` passes with probability `alpha`."""
    return _limit(rows, coarse(df), coarse(common_df, COMMON_STEPS), alpha, True)


def best_limit(rows: int, df: float, common_df: float = math.inf, alpha: float = 0.05) -> float:
    """Return the limit that `best_tail` passes with probability `alpha`."""
    return _limit(rows, coarse(df), coarse(common_df, COMMON_STEPS), alpha, False)


def coarse(df: float, steps: int = STEPS) -> float:
    """Return the next smaller of a grid of degrees of freedom, so that limits are found once."""
    if df > LARGEST_DF:
        return math.inf
    return float(2 ** (math.floor(math.log2(max(df, 1e-3)) * steps + 1e-9) / steps))


@cache
def _limit(rows: int, df: float, common_df: float, alpha: float, both: bool) -> float:
    if rows < 2:
        return 0.0
    # In logarithms the tail is close to a line, so that false position takes few steps.
    low, high = 1.0, 4.0
    above, below = (_log_excess(x, rows, df, common_df, alpha, both) for x in (low, high))
    while below > 0:
        low, above, high = high, below, 2 * high
        if high > 1e9:
            return math.inf
        below = _log_excess(high, rows, df, common_df, alpha, both)
    if above <= 0:
        low, above = 1e-6, math.log(1 / alpha)
    for _ in range(60):
        share = above / (above - below)
        middle = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        excess = _log_excess(middle, rows, df, common_df, alpha, both)
        if abs(excess) < 1e-3:
            return middle
        # Illinois: the end that stays counts half.
        if excess > 0:
            low, above, below = middle, excess, below / 2
        else:
            high, below, above = middle, excess, above / 2
    return high


def _log_excess(
    limit: float, rows: int, df: float, common_df: float, alpha: float, both: bool
) -> float:
    """Return the logarithm of the tail over alpha."""
    return math.log(max(_tail(limit, rows, df, common_df, both), 1e-15) / alpha)


def _tail(limit: float, rows: int, df: float, common_df: float, both: bool) -> float:
    if rows < 2 or math.isinf(limit):
        return 0.0
    value_N, share_N, weight_N = _largest(rows, df) if both else _one(df)
    scale_S, weight_S = _common(common_df)
    shift_SN = math.sqrt(2) * limit * scale_S[:, None]
    if both:  # all others lie between the largest and the largest less the limit
        inside_SN = 1 - _cdf(value_N - shift_SN, df) / share_N
    else:  # all others lie below the given row plus the limit
        inside_SN = _cdf(value_N + shift_SN, df)
    alike = float(1 - weight_S @ (np.clip(inside_SN, 0, 1) ** (rows - 1)) @ weight_N)
    if math.isinf(df) or not both:
        return alike
    # Beside a row that hardly varies, a difference has the tail of the other row alone, which is
    # the heavier one where degrees of freedom are few. Of two rows there is one difference.
    below_S = _cdf(limit * scale_S, df)
    return max(alike, float(1 - weight_S @ (2 * below_S - 1) ** (rows if rows > 2 else 1)))


@cache
def _largest(rows: int, df: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return nodes of the largest of so many rows: value, share of a row's values below, weight."""
    node_N, weight_N = _unit_nodes(NODES)
    share_N = node_N ** (1 / rows)
    return _quantile(share_N, df), share_N, weight_N


@cache
def _one(df: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    node_N, weight_N = _unit_nodes(NODES)
    return _quantile(node_N, df), node_N, weight_N


@cache
def _common(df: float) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of the estimate of a common deviation, over the true one."""
    if math.isinf(df):
        return np.ones(1), np.ones(1)
    node_S, weight_S = _unit_nodes(COMMON_NODES)
    return np.sqrt(chdtri(df, 1 - node_S) / df), weight_S


@cache
def _unit_nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of an integral over 0 to 1, dense at both ends.

    Gauss and Legendre's nodes, of the integral over x with node = x² (3 - 2 x).
    """
    node, weight = np.polynomial.legendre.leggauss(count)
    x = (node + 1) / 2
    return x * x * (3 - 2 * x), weight / 2 * 6 * x * (1 - x)


def _cdf(value: np.ndarray, df: float) -> np.ndarray:
    return np.asarray(ndtr(value) if math.isinf(df) else stdtr(df, value))


def _quantile(share: np.ndarray, df: float) -> np.ndarray:
    return np.asarray(ndtri(share) if math.isinf(df) else stdtrit(df, share))
