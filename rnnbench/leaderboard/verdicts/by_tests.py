"""Judges pairs by tests of two samples: Welch's t test or permutations, Holm-adjusted over all.

These are the methods that a reader may ask for. Failed seeds are left out of the figures, as these
tests have no place for them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from rnnbench.leaderboard.verdicts.equality import EqualWithin
from rnnbench.leaderboard.verdicts.pairs import ONE_SEED, Relation, RowPair
from rnnbench.stats import (
    ALPHA,
    Estimate,
    Method,
    least_p,
    pairwise,
    seeds_needed,
    welch,
)
from rnnbench.stats.intervals import RESAMPLES, SEED, centre
from rnnbench.stats.student_t import quantile
from rnnbench.stats.tests import MOST_SEEDS


def judge_pairs(
    samples: Mapping[str, Sequence[float]],
    higher_is_better: bool,
    method: Method,
    margin: EqualWithin,
) -> tuple[RowPair, ...]:
    """Judge each pair of rows once, the one that stands first in `samples` first."""
    sign = 1.0 if higher_is_better else -1.0
    several = [name for name, sample in samples.items() if len(sample) > 1]
    p_values = pairwise([samples[name] for name in several], method) if several else None
    place = {name: i for i, name in enumerate(several)}
    comparisons = len(several) * (len(several) - 1) // 2
    resampled = method.interval == "bootstrap"
    drawn = _resample({n: samples[n] for n in several}, method) if resampled else None
    names, pairs = list(samples), []
    for i, row in enumerate(names):
        for other in names[i + 1 :]:
            centres = [centre(samples[name], method) for name in (row, other)]
            least = min(len(samples[row]), len(samples[other]))
            pair = RowPair(row, other, "open", Estimate(sign * (centres[0] - centres[1]), least))
            if row in place and other in place and p_values is not None:
                gains = [[sign * v for v in samples[name]] for name in (row, other)]
                p = float(p_values[place[row], place[other]])
                both = None if drawn is None else [sign * drawn[name] for name in (row, other)]
                best = max(centres) if higher_is_better else min(centres)
                pair = _judge(pair, gains, both, p, comparisons, method, margin.around(best))
            else:
                alone = row if row not in place else other
                pair = dataclasses.replace(pair, note=ONE_SEED.format(alone))
            pairs.append(pair)
    return tuple(pairs)


def lies_within(difference: Estimate, margin: float) -> bool:
    """Tell whether the interval of a difference lies within the margin of equality."""
    assert difference.low is not None
    assert difference.high is not None
    return -margin <= difference.low and difference.high <= margin


def relate(difference: Estimate, p: float, within: bool) -> Relation:
    """Return the word for a difference, by its adjusted p and by whether it matters."""
    if p < ALPHA:
        return "better" if difference.mean > 0 else "worse"
    return "equal" if within else "open"


def _judge(
    pair: RowPair,
    gains: Sequence[Sequence[float]],
    drawn: Sequence[np.ndarray] | None,
    p: float,
    comparisons: int,
    method: Method,
    margin: float,
) -> RowPair:
    """Return the pair with its interval, and the word that follows from it."""
    counts = [len(sample) for sample in gains]
    level = 1 - ALPHA / max(1, comparisons)
    difference = _interval(gains, drawn, method, level)
    error = _standard_error(gains)
    by_t = method.test == "t"
    # A permutation test shows no equality, unless there is nothing to permute.
    within = lies_within(difference, margin) and (by_t or difference.low == difference.high)
    relation = relate(difference, p, within)
    if relation in ("better", "worse"):  # Holm's steps can tell what Bonferroni's interval cannot
        difference = _one_sided(difference, relation)
    pair = dataclasses.replace(
        pair, relation=relation, difference=difference, p=p, error=error, within_margin=within
    )
    if by_t:
        more = _more_seeds(pair, gains, comparisons, margin) if relation == "open" else None
        return dataclasses.replace(pair, more_seeds=more)
    if relation == "open" and least_p(*counts) * comparisons >= ALPHA:
        needed = seeds_needed(comparisons)
        take = f"take {needed}" if needed else "compare fewer rows"
        note = f"{min(counts)} seeds cannot tell by a permutation test: {take}"
        more = needed - min(counts) if needed else None
        pair = dataclasses.replace(pair, more_seeds=more, note=note)
    return pair


def _one_sided(difference: Estimate, relation: Relation) -> Estimate:
    """Return an interval without the side of 0 that the test has ruled out."""
    low, high = difference.low or 0.0, difference.high or 0.0
    low, high = (max(low, 0.0), high) if relation == "better" else (low, min(high, 0.0))
    return dataclasses.replace(difference, low=low, high=high)


def _more_seeds(
    pair: RowPair, gains: Sequence[Sequence[float]], comparisons: int, margin: float
) -> int | None:
    """Return how many more seeds of each would do, if means and spreads stayed as they are."""
    gap, counts = abs(pair.difference.mean), [len(sample) for sample in gains]
    variances = [float(np.var(sample, ddof=1)) for sample in gains]
    for more in range(1, MOST_SEEDS - max(counts) + 1):
        both = [n + more for n in counts]
        error = math.sqrt(sum(v / n for v, n in zip(variances, both, strict=True)))
        half = float(quantile(1 - ALPHA / 2 / max(1, comparisons), sum(both) - 2)) * error
        if half < gap or half + gap <= margin:
            return more
    return None


def _interval(
    gains: Sequence[Sequence[float]],
    drawn: Sequence[np.ndarray] | None,
    method: Method,
    level: float,
) -> Estimate:
    """Return the difference of the centres with its interval: Welch's, or a bootstrap."""
    difference = centre(gains[0], method) - centre(gains[1], method)
    least = min(map(len, gains))
    if np.ptp(gains[0]) == 0 and np.ptp(gains[1]) == 0:
        return Estimate(difference, least, None, difference, difference)
    if drawn is not None:
        low, high = np.quantile(drawn[0] - drawn[1], [(1 - level) / 2, (1 + level) / 2])
        return Estimate(difference, least, None, float(low), float(high))
    test = welch(gains[0], gains[1])
    half = float(quantile((1 + level) / 2, test.df)) * _standard_error(gains)
    return Estimate(difference, least, None, difference - half, difference + half)


def _standard_error(gains: Sequence[Sequence[float]]) -> float:
    return math.sqrt(sum(float(np.var(s, ddof=1)) / len(s) for s in gains))


def _resample(samples: Mapping[str, Sequence[float]], method: Method) -> dict[str, np.ndarray]:
    """Return the centres of resampled seeds of each row."""
    rng = np.random.default_rng(SEED)
    centre_of = np.mean if method.centre == "mean" else np.median
    return {
        name: np.asarray(
            centre_of(np.asarray(s)[rng.integers(0, len(s), (RESAMPLES, len(s)))], axis=1)
        )
        for name, s in samples.items()
    }
