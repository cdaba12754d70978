"""Ranks several methods on several tasks: average ranks, Friedman's test, Nemenyi's difference.

Source: Demšar (2006), JMLR 7, sections 3.2.2 to 3.2.4; the tests are scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

from rnnbench.stats.tests import ALPHA


@dataclass(frozen=True)
class Friedman:
    """Friedman's test that all methods rank alike.

    Attributes:
        chi2: corrected for ties, with k - 1 degrees of freedom.
        f: Iman and Davenport's less conservative figure, (N - 1) chi2 / (N (k - 1) - chi2), with
            k - 1 and (k - 1)(N - 1) degrees of freedom; infinite where all tasks rank alike.
        p: of f.
    """

    chi2: float
    f: float
    p: float


def rank_methods(values_KN: Sequence[Sequence[float]], higher_is_better: bool) -> np.ndarray:
    """Return ranks (K methods, N tasks) from 1 for the best; ties share the mean of their ranks.

    A value that is not finite (NaN: it failed) ranks last.
    """
    values = np.asarray(values_KN, dtype=float)
    losses = -values if higher_is_better else values
    from scipy.stats import rankdata

    return rankdata(np.where(np.isfinite(losses), losses, np.inf), axis=0)


def friedman(ranks_KN: np.ndarray) -> Friedman:
    """Run Friedman's test on the ranks of K methods on N tasks.

    Raises:
        ValueError: fewer than two methods or two tasks.
    """
    count, tasks = ranks_KN.shape
    if count < 2 or tasks < 2:
        raise ValueError(f"a comparison over tasks takes 2 methods and 2 tasks, got {count, tasks}")
    degrees, others = count - 1, (count - 1) * (tasks - 1)
    ties = sum(
        float(sum(size**3 - size for size in np.unique(column, return_counts=True)[1]))
        for column in ranks_KN.T
    )
    correction = 1 - ties / (tasks * (count**3 - count))
    if correction == 0:  # no task tells any two methods apart
        return Friedman(0.0, 0.0, 1.0)
    sums = ranks_KN.sum(1)
    chi2 = 12 / (tasks * count * (count + 1)) * float(sums @ sums) - 3 * tasks * (count + 1)
    chi2 = max(0.0, chi2 / correction)
    remainder = tasks * degrees - chi2
    # Any one order is what all tasks agree on with this chance, if none is better than another: F
    # knows nothing of so small a number of orders.
    least = math.exp(-(tasks - 1) * math.lgamma(count + 1))
    if remainder <= 1e-9 * tasks * degrees:
        return Friedman(chi2, math.inf, least)
    f = (tasks - 1) * chi2 / remainder
    return Friedman(chi2, f, max(least, float(fdtrc(degrees, others, f))))


def critical_difference(count: int, tasks: int, alpha: float = ALPHA) -> float:
    """Return Nemenyi's difference, from which on two average ranks differ significantly.

    q sqrt(k (k + 1) / (6 N)), q being the studentized range's quantile over sqrt(2).
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - alpha, count, np.inf)) / math.sqrt(2)
    return q * math.sqrt(count * (count + 1) / (6 * tasks))


def cliques(average_ranks: Sequence[float], difference: float) -> list[tuple[int, ...]]:
    """Return the bars of a critical-difference diagram: the largest groups whose ranks lie
    within the difference, as indices by rank. Groups of one are left out."""
    order = sorted(range(len(average_ranks)), key=lambda i: average_ranks[i])
    groups: list[tuple[int, ...]] = []
    reached = 0
    for first, i in enumerate(order):
        last = first
        while (
            last + 1 < len(order) and average_ranks[order[last + 1]] - average_ranks[i] < difference
        ):
            last += 1
        if last > first and last + 1 > reached:
            groups.append(tuple(order[first : last + 1]))
            reached = last + 1
    return groups
