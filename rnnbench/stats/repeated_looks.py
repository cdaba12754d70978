"""Keeps the error rate of verdicts that are looked at again and again as seeds are added.

Whoever looks after each round, and stops when a difference is shown, gets more than one chance to
be wrong. Here a sweep goes on until what it asks is shown at a strict level, and the board that it
leaves is judged at a level that is hardly stricter than it would be with seeds chosen beforehand.

Source: Haybittle (1971), British J. Radiology 44, and Peto et al. (1976), British J. Cancer 34, for
    strict levels on the way; the chance to pass a limit at any look is the integral of Armitage,
    McPherson & Rowe (1969), J. Royal Statistical Society A 132, eq. 3.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.special import ndtr

from rnnbench.stats.critical_values import range_limit
from rnnbench.stats.intervals import LEVEL

STRICT = 0.9925  # level of what ends a sweep before its seeds are spent
POINTS = 161  # of the grid on which sums are followed from look to look


def looks_between(at_least: int, at_most: int, count: int = 7) -> tuple[int, ...]:
    """Return the numbers of seeds at which results are looked at, in about equal ratios."""
    ratio = at_most / at_least
    sizes = (round(at_least * ratio ** (i / (count - 1))) for i in range(count))
    return tuple(sorted({at_least, at_most, *sizes}))


@cache
def level_at_the_end(looks: tuple[int, ...], rows: int, level: float = LEVEL) -> float:
    """Return the level at which to judge the board that is left, so that all keeps `level`.

    The limits of a board of many rows are far out, where looks agree less with each other than at
    those of two rows; chances are compared there.

    Args:
        looks: numbers of seeds of a row, ascending.
    """
    alpha = 1 - level
    if len(looks) < 2 or rows < 2:
        return level
    on_the_way = range_limit(rows, math.inf, math.inf, 1 - STRICT)
    low, high = 0.0, alpha
    while high - low > 1e-3 * alpha:
        last = (low + high) / 2
        limit = range_limit(rows, math.inf, math.inf, last)
        limits = [*[on_the_way] * (len(looks) - 1), limit]
        # From the chance of one pair to that of all of them.
        if last * chance_of_any(looks, limits) / (2 * float(ndtr(-limit))) > alpha:
            high = last
        else:
            low = last
    return 1 - low


def chance_of_any(looks: Sequence[int], limits: Sequence[float]) -> float:
    """Return the chance that a mean of 0 is further from 0 than its limit at any look.

    Args:
        looks: numbers of seeds.
        limits: in standard errors, one for each look.
    """
    edge = limits[0] * math.sqrt(looks[0])
    sums = np.linspace(-edge, edge, POINTS)
    density = np.exp(-(sums**2) / (2 * looks[0])) / math.sqrt(2 * math.pi * looks[0])
    for (before, now), limit in zip(itertools.pairwise(looks), limits[1:], strict=True):
        edge, added = limit * math.sqrt(now), now - before
        after = np.linspace(-edge, edge, POINTS)
        steps = after[:, None] - sums[None, :]
        kernel = np.exp(-(steps**2) / (2 * added)) / math.sqrt(2 * math.pi * added)
        density = np.asarray(np.trapezoid(kernel * density, sums, axis=1))
        sums = after
    return float(1 - np.trapezoid(density, sums))
