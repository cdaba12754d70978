"""Judges seeds that failed: they rank behind every figure of the board.

More failures speak against a row, and never for it. Whether they alone tell rows apart is asked of
their numbers. A row that fails more may be better nevertheless: where three of four of its seeds
beat one of the other row, failed ones counted as beaten, or where it is ahead with the board's
worst figure in the place of each failure.

Source: Lachin (1999), Controlled Clinical Trials 20, on worst ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from rnnbench.stats.intervals import SEED

FAILURES_SHARE = 0.4  # of the error rate, on boards with failures; figures have the rest
CLEARLY_AHEAD = 0.75  # share of seeds that beat one of a row that fails less
DEALS = 4_000  # of the failures to the seeds


def beaten_shares(scores: Sequence[np.ndarray], failed: np.ndarray) -> np.ndarray:
    """Return the share of pairs of seeds in which that of row i beats that of row j; ties are half.

    A seed that failed is beaten by any that did not.
    """
    completed = _completed(scores, failed, -math.inf)
    shares_KK = np.full((len(scores), len(scores)), 0.5)
    for i, first in enumerate(completed):
        for j, second in enumerate(completed):
            wins = (first[:, None] > second[None, :]).mean()
            shares_KK[i, j] = wins + (first[:, None] == second[None, :]).mean() / 2
    return shares_KK


def ends_against_failing(
    low_KK: np.ndarray,
    scores: Sequence[np.ndarray],
    failed: np.ndarray,
    shares_KK: np.ndarray,
    flagged: np.ndarray,
    spread_variances: np.ndarray,
    limit_at: Callable[[float], float],
) -> np.ndarray:
    """Return the lower ends of differences, lowered where the first row fails more than the second.

    Args:
        shares_KK: see `beaten_shares`.
        flagged: rows that are shown to fail more; they are better than none that is not.
        limit_at: the limit at degrees of freedom: those of the row's own seeds, failed ones
            included, of which the variance is taken here where it is the larger.
    """
    worst = min((float(s.min()) for s in scores if len(s)), default=0.0)
    completed = _completed(scores, failed, worst)
    count = np.array([len(s) for s in completed])
    mean = np.array([s.mean() for s in completed])
    own = np.array([np.var(s, ddof=1) if len(s) > 1 else math.inf for s in completed])
    error = np.maximum(own, spread_variances) / count
    limit = np.array([limit_at(float(n - 1)) for n in count])
    rate = failed / count
    lowered = low_KK.copy()
    fails_more_KK = rate[:, None] > rate[None, :]
    kept_back_KK = fails_more_KK & (shares_KK < CLEARLY_AHEAD)
    for i, j in zip(*np.nonzero(kept_back_KK), strict=True):
        reach = max(limit[i], limit[j] if failed[j] else 0.0) * math.sqrt(error[i] + error[j])
        end = mean[i] - mean[j] - reach if math.isfinite(reach) else -math.inf
        lowered[i, j] = min(low_KK[i, j], end)
    return np.where(flagged[:, None] & ~flagged[None, :], np.minimum(lowered, 0.0), lowered)


def failing_rows(failed: np.ndarray, seeds: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    """Return which rows are shown to fail more than those that fail no more than the average.

    The failures are dealt out anew to all seeds of the board: so many rows that fail so much must
    come about in fewer than a share `alpha` of the deals.

    Args:
        failed, seeds: how many seeds of each row failed, and how many it has with these.
    Returns:
        A flag for each row, and the p of the rows flagged, which is 1 where there is none.
    Source: Fisher (1935), The Design of Experiments, section 21.
    """
    shares = failed / seeds
    average = failed.sum() / seeds.sum()
    levels = sorted({float(s) for s in shares if s > average}, reverse=True)
    flagged, p_of_flagged = np.zeros(len(failed), dtype=bool), 1.0
    if not levels:
        return flagged, p_of_flagged
    rng = np.random.default_rng(SEED)
    deals_DK = rng.multivariate_hypergeometric(seeds, int(failed.sum()), DEALS) / seeds
    for level in levels:
        here = shares >= level
        as_many = ((deals_DK >= level).sum(1) >= here.sum()).sum()
        p = min(1.0, len(levels) * float(1 + as_many) / (1 + DEALS))
        if p < alpha:
            flagged, p_of_flagged = here, p
    return flagged, p_of_flagged


def _completed(scores: Sequence[np.ndarray], failed: np.ndarray, worst: float) -> list[np.ndarray]:
    return [np.append(s, np.full(f, worst)) for s, f in zip(scores, failed, strict=True)]
