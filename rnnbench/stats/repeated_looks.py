"""Keeps the error rate of verdicts that are looked at again and again as seeds are added.

Whoever looks after each round, and stops when a difference is shown, gets more than one chance to
be wrong. Here a sweep goes on until what it asks is shown at a strict level, and the board that it
leaves is judged at a second level, so that both together keep the error rate.

Where the best row is asked for, only that one is looked for again and again: of two equal best rows
one may seem to be alone at any look, of two equal last ones at the end alone. Where all pairs are
asked for, any pair may be told apart at any look.

Source: Haybittle (1971), British J. Radiology 44, and Peto et al. (1976), British J. Cancer 34, for
    one level on the way and another at the end, Pocock (1977), Biometrika 64, for equal ones; the
    chance to pass a limit at any look is the integral of Armitage, McPherson & Rowe (1969), J.
    Royal Statistical Society A 132, eq. 3.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri

from rnnbench.stats.critical_values import range_limit
from rnnbench.stats.intervals import LEVEL
from rnnbench.stats.pair_limits import BEST_PART, TWO_ENDS

# How much more may be wrong at the end than at each look on the way. The more may, the fewer
# verdicts are lost by looking, and the later a sweep ends; few rows take more of their seeds in any
# case.
END_OF_FEW, END_OF_MANY, END_OF_PAIRS = 1.0, 2.0, 4.0
MANY_ROWS = 8
POINTS = 161  # of the grid on which sums are followed from look to look


def looks_between(at_least: int, at_most: int, count: int = 7) -> tuple[int, ...]:
    """Return the numbers of seeds at which results are looked at, in about equal ratios."""
    ratio = at_most / at_least
    sizes = (round(at_least * ratio ** (i / (count - 1))) for i in range(count))
    return tuple(sorted({at_least, at_most, *sizes}))


@dataclass(frozen=True)
class LookLevels:
    """The levels of a sweep whose results are looked at.

    Attributes:
        on_the_way: at which a question counts as settled before the seeds are spent.
        at_the_end: of the board that is left.
    """

    on_the_way: float
    at_the_end: float


@cache
def levels_for_best(looks: tuple[int, ...], rows: int, level: float = LEVEL) -> LookLevels:
    """Return the levels at which all keeps `level` where the best row is asked for.

    Args:
        looks: numbers of seeds of a row, ascending.
    """
    part = BEST_PART if rows >= TWO_ENDS else 1.0

    def chance_of_error(on_the_way: float, at_the_end: float) -> float:
        limits = [_two_sided(part * on_the_way)] * (len(looks) - 1)
        best = chance_of_any(looks, [*limits, _two_sided(part * at_the_end)])
        return best + (1 - part) * at_the_end

    end = END_OF_MANY if rows >= MANY_ROWS else END_OF_FEW
    return _levels(chance_of_error, end, level, looks, rows)


@cache
def levels_for_pairs(looks: tuple[int, ...], rows: int, level: float = LEVEL) -> LookLevels:
    """Return the levels at which all keeps `level` where all pairs are asked for.

    The limits of a board of many rows are far out, where looks agree less with each other than at
    those of two rows; chances are compared there.
    """

    def chance_of_error(on_the_way: float, at_the_end: float) -> float:
        limit = range_limit(rows, math.inf, math.inf, at_the_end)
        limits = [range_limit(rows, math.inf, math.inf, on_the_way)] * (len(looks) - 1)
        # From the chance of one pair to that of all of them.
        return at_the_end * chance_of_any(looks, [*limits, limit]) / (2 * float(ndtr(-limit)))

    return _levels(chance_of_error, END_OF_PAIRS, level, looks, rows)


def _levels(
    chance_of_error: Callable[[float, float], float],
    end: float,
    level: float,
    looks: tuple[int, ...],
    rows: int,
) -> LookLevels:
    if len(looks) < 2 or rows < 2:
        return LookLevels(level, level)
    alpha = 1 - level
    low, high = 0.0, alpha / end
    while high - low > 1e-3 * alpha:
        middle = (low + high) / 2
        if chance_of_error(middle, end * middle) > alpha:
            high = middle
        else:
            low = middle
    return LookLevels(1 - low, 1 - end * low)


def _two_sided(alpha: float) -> float:
    return -float(ndtri(alpha / 2))


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
