"""Tells which comparisons more seeds may still settle, so that no seed is spent on a lost cause.

The difference that all seeds will show is foretold from the seeds so far: it is normal around
today's difference, with the variance that the missing seeds add. Giving up makes no verdict wrong.

Source: Lan, Simon & Halperin (1982), Sequential Analysis 1, for stopping by what could still be
    shown; Spiegelhalter, Freedman & Blackburn (1986), Controlled Clinical Trials 7, for the chance
    of it given the figures so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import ndtr

from rnnbench.stats.verdicts import Judgement

Pair = tuple[int, int]
LEAST_CHANCE = 0.023  # that seeds settle a pair, as long as the best may come to be known
# Below this chance that every rival of the first row is settled, the best will not come to be
# known: seeds then only go where they are likely to take a row out of the race.
LOST = 0.005
CHANCE_WHEN_LOST = 0.31
CHANCE_OF_PAIRS = 0.1  # where every pair is asked for


def worth_for_best(left: Judgement, pairs: Sequence[Pair], at_most: int) -> list[Pair]:
    """Return the pairs of the first row that are to get more seeds, if they can.

    Args:
        left: the judgement at the level of the board that is left.
        pairs: the first row with each of its rivals from which it is not told yet.
        at_most: seeds of a row.
    """
    chances = {pair: chance_to_settle(left, *pair, at_most) for pair in pairs}
    lost = math.prod(chances.values()) < LOST
    least = CHANCE_WHEN_LOST if lost else LEAST_CHANCE
    return [pair for pair, chance in chances.items() if chance > least]


def worth_for_pairs(left: Judgement, pairs: Sequence[Pair], at_most: int) -> list[Pair]:
    """Return the open pairs that are to get more seeds, where each pair is asked for."""
    return [pair for pair in pairs if chance_to_settle(left, *pair, at_most) > CHANCE_OF_PAIRS]


def chance_to_settle(left: Judgement, i: int, j: int, at_most: int) -> float:
    """Return the chance that a pair is shown to differ, or to be equal, with all of its seeds."""
    known, spread = left.comparisons, left.comparisons.spread
    now = float(known.errors_KK[i, j]) ** 2
    if not math.isfinite(now):
        return 1.0  # too little is known to give up
    at_the_end = float(spread.variances[i] + spread.variances[j]) / at_most
    difference = abs(float(known.means[i] - known.means[j]))
    df = spread.prior_df + at_most - 1
    of_best = left.contenders[0] in (i, j)
    limit = known.limits.best_at(df) if of_best else known.limits.pairs_at(df)
    beyond = difference - limit * math.sqrt(at_the_end)
    if left.margin_of_scores is not None:
        reach = known.limits.pairs_at(df) * math.sqrt(at_the_end)
        beyond = max(beyond, left.margin_of_scores - difference - reach)
    added = now - at_the_end  # by the seeds that are missing
    if added <= 0:
        return float(beyond > 0)
    return float(ndtr(beyond / math.sqrt(added)))
