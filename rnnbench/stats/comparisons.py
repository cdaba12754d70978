"""Compares all rows of a board with each other, so that no two answers contradict each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnbench.stats import worst_ranks
from rnnbench.stats.pair_limits import BEST_PART, LAST_PART, PairLimits, lower_ends
from rnnbench.stats.spread import Spread, moderate

EDGE = 1e-3
# Of the error rate: boards whose spreads are not drawn as F expects take as much. Rows that seem to
# vary alike rarely are so unlike, and where they do not, three tenths are needed.
SPARE_ALIKE, SPARE_UNLIKE = 0.05, 0.3
ALIKE_DF = 2.8  # degrees of freedom that a row is lent, from which on rows seem to vary alike


@dataclass(frozen=True, eq=False)
class Comparisons:
    """The comparison of every row with every other, by scores of which more is better.

    Attributes:
        figures, failed: number of seeds of each row that came through, and that did not.
        means: of the scores; NaN where none came through.
        order: rows from the best mean to the worst; behind them those that are shown to fail more,
            and those without a figure. Whatever is shown agrees with it.
        low_KK: lower end of the score of row i less that of row j; -low_KK[j, i] is the upper end.
        better_KK: row i is shown to be better than row j.
        by_failures_KK: by how often their seeds fail.
        share: of the error rate that figures may spend.
        beaten: rows that are shown not to be the best.
        alone: the row that alone may be the best, and that which alone may be the last; None where
            there are several.
    """

    figures: np.ndarray
    failed: np.ndarray
    spread: Spread
    limits: PairLimits
    share: float
    means: np.ndarray
    order: tuple[int, ...]
    errors_KK: np.ndarray
    low_KK: np.ndarray
    better_KK: np.ndarray
    by_failures_KK: np.ndarray
    failures_p: float
    beaten: np.ndarray
    alone: tuple[int | None, int | None]

    def p(self, i: int, j: int) -> float:
        """Return the p of a pair, adjusted for all, in agreement with `better_KK`.

        It is 1 where failures hold back what the figures would show.
        """
        if i == j:
            return 1.0
        p = 1.0
        difference, error = abs(float(self.means[i] - self.means[j])), float(self.errors_KK[i, j])
        if math.isfinite(difference) and math.isfinite(error):
            t = difference / error if error > 0 else (math.inf if difference > 0 else 0.0)
            p = self.limits.p_of_pair(i, j, t) if error > 0 else float(difference == 0)
            for alone, part in zip(self.alone, (BEST_PART, LAST_PART), strict=True):
                if alone in (i, j) and self.better_KK[i, j] | self.better_KK[j, i]:
                    p = min(p, self.limits.p_of_end(i, j, t, part))
        p = min(1.0, p / self.share)
        if self.by_failures_KK[i, j] or self.by_failures_KK[j, i]:
            return self._p_by_failures(i, j, p)
        alpha = self.limits.alpha / self.share
        if self.better_KK[i, j] or self.better_KK[j, i]:
            # Limits are found to a thousandth: at the very edge the relation decides.
            return p if p < alpha else min(self._p_through_others(i, j), alpha * (1 - EDGE))
        return 1.0 if self.held_back(i, j) else max(p, alpha * (1 + EDGE))

    def held_back(self, i: int, j: int) -> bool:
        """Tell whether the row with the better figures fails too often to be called better."""
        share = self.failed / (self.figures + self.failed)
        first, second = (i, j) if self.means[i] > self.means[j] else (j, i)
        return bool(share[first] > share[second] and not self.better_KK[first, second])

    def _p_by_failures(self, i: int, j: int, p: float) -> float:
        best = self.alone[0]
        if best not in (i, j) or min(self.figures[i], self.figures[j]) > 0:
            return min(p, self.failures_p)
        # No seed of the other row came through: the best is as sure as against the rest.
        rest = np.flatnonzero((self.figures > 0) & (np.arange(len(self.figures)) != best))
        return min(self.failures_p, max(self.p(best, int(k)) for k in rest))

    def _p_through_others(self, i: int, j: int) -> float:
        """Return the p of a pair that others tell apart: better than one that is better."""
        first, second = (i, j) if self.better_KK[i, j] else (j, i)
        between = np.flatnonzero(self.better_KK[first] & self.better_KK[:, second])
        chains = [max(self.p(first, int(k)), self.p(int(k), second)) for k in between]
        return min(chains, default=self.limits.alpha / self.share)


def compare_rows(scores: Sequence[np.ndarray], failed: np.ndarray, alpha: float) -> Comparisons:
    """Compare all rows with each other.

    Args:
        scores: more is better; a row may have none if it has failures.
        failed: number of seeds of each row that failed.
        alpha: chance that any pair of the board is told apart wrongly.
    """
    spread = moderate(scores)
    spare = SPARE_ALIKE if spread.prior_df >= ALIKE_DF else SPARE_UNLIKE
    share = 1 - (worst_ranks.FAILURES_SHARE if failed.any() else spare)
    limits = PairLimits(len(scores), spread, share * alpha)
    figures = np.array([len(s) for s in scores])
    means = np.array([s.mean() if len(s) else math.nan for s in scores])
    differences_KK = means[:, None] - means[None, :]
    square = np.where(figures > 0, spread.variances / np.maximum(figures, 1), math.inf)
    errors_KK = np.sqrt(square[:, None] + square[None, :])
    low_KK = lower_ends(differences_KK, errors_KK, limits.pairs_KK)
    low_best_KK = lower_ends(differences_KK, errors_KK, limits.best_KK)
    low_last_KK = lower_ends(differences_KK, errors_KK, limits.last_KK)
    by_failures_KK, failures_p = np.zeros(low_KK.shape, dtype=bool), 1.0
    flagged = np.zeros(len(scores), dtype=bool)
    if failed.any():
        worst_alpha = worst_ranks.FAILURES_SHARE * alpha
        flagged, failures_p = worst_ranks.failing_rows(failed, figures + failed, worst_alpha)
        failures_p = min(1.0, failures_p / worst_ranks.FAILURES_SHARE)
        shares_KK = worst_ranks.beaten_shares(scores, failed)
        given = scores, failed, shares_KK, flagged, spread.variances, limits.pairs_at
        low_KK = worst_ranks.ends_against_failing(low_KK, *given)
        low_best_KK = worst_ranks.ends_against_failing(low_best_KK, *given)
        low_last_KK = worst_ranks.ends_against_failing(low_last_KK, *given)
        rate = failed / (figures + failed)
        calm = rate <= failed.sum() / (figures + failed).sum()
        by_failures_KK = calm[:, None] & flagged[None, :] & (shares_KK >= 0.5) & ~(low_KK > 0)
    else:
        low_KK = _through_others(low_KK)
    beaten = ((low_best_KK > 0) | by_failures_KK).any(0)
    # One best row with all of its seeds failed is rarer than what failures may spend.
    unseen = (figures == 0) & ((figures > 0).sum() > 1)
    beaten |= unseen
    better_KK = (low_KK > 0) | by_failures_KK
    best = _ahead_of_all(_closed((low_best_KK > 0) | by_failures_KK), unseen)
    last = _ahead_of_all(_closed((low_last_KK > 0) | by_failures_KK).T, unseen)
    if best is not None:
        # Hsu's interval of the best row: it holds for all others at once.
        low_KK[best] = np.maximum(low_KK[best], low_best_KK[best])
        by_failures_KK[best] |= unseen
        better_KK[best] = np.arange(len(scores)) != best
    if last is not None and not unseen.any():
        low_KK[:, last] = np.maximum(low_KK[:, last], low_last_KK[:, last])
        better_KK[:, last] = np.arange(len(scores)) != last
    better_KK = _closed(better_KK)
    return Comparisons(
        figures=figures,
        failed=failed,
        spread=spread,
        limits=limits,
        share=share,
        means=means,
        order=_order(means, flagged, failed),
        errors_KK=errors_KK,
        low_KK=np.where(better_KK, np.maximum(low_KK, 0.0), low_KK),
        better_KK=better_KK,
        by_failures_KK=by_failures_KK,
        failures_p=failures_p,
        beaten=beaten | better_KK.any(0),
        alone=(best, last),
    )


def _ahead_of_all(ahead_KK: np.ndarray, unseen: np.ndarray) -> int | None:
    """Return the row that is ahead of each other; None where there is none, or nothing beside.

    Args:
        unseen: rows that are last in any case.
    """
    if (~unseen).sum() < 2:
        return None
    others_KK = ahead_KK | unseen[None, :] | np.eye(len(ahead_KK), dtype=bool)
    rows = np.flatnonzero(others_KK.all(1) & ~unseen)
    return int(rows[0]) if len(rows) == 1 else None


def _order(means: np.ndarray, flagged: np.ndarray, failed: np.ndarray) -> tuple[int, ...]:
    def key(i: int) -> tuple[bool, bool, float, int, int]:
        unseen = math.isnan(means[i])
        return unseen, bool(flagged[i]), 0.0 if unseen else -float(means[i]), int(failed[i]), i

    return tuple(sorted(range(len(means)), key=key))


def _through_others(low_KK: np.ndarray) -> np.ndarray:
    """Raise each lower end to what the ends by way of any other rows add up to.

    The intervals hold at once, so their sums do: a row that is ahead of one that is ahead is ahead.
    """
    low_KK = low_KK.copy()
    for k in range(len(low_KK)):
        np.maximum(low_KK, low_KK[:, k, None] + low_KK[None, k, :], out=low_KK)
    np.fill_diagonal(low_KK, 0.0)
    return low_KK


def _closed(better_KK: np.ndarray) -> np.ndarray:
    """Return the relation with all that follows from it: better than a better one is better."""
    closed = better_KK.copy()
    for k in range(len(closed)):
        closed |= closed[:, k, None] & closed[None, k, :]
    return closed
