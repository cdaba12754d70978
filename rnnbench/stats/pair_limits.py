"""Sets how far apart two rows of a board have to be, by what is known of their spread."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rnnbench.stats import critical_values
from rnnbench.stats.spread import Spread

TWO_ENDS = 4  # rows from which on there may be two equal best rows, and two equal last ones
# How the two pairs share the error rate; who is the best is asked more often.
BEST_PART, LAST_PART = 2 / 3, 1 / 3


class PairLimits:
    """The limits of the differences of a board, in standard errors, and the p that belong to them.

    Of two rows that are known unequally well the less known one decides.

    Args:
        rows: number of rows that are looked at together.
        alpha: chance that any difference of equal rows passes its limit.
    """

    def __init__(self, rows: int, spread: Spread, alpha: float) -> None:
        self._rows, self._common_df, self.alpha = rows, spread.common_df, alpha
        self._df_KK = np.minimum(spread.df[:, None], spread.df[None, :])
        self.pairs_KK = self._each(self.pairs_at)
        self.best_KK = self._each(self.best_at)
        self.last_KK = self._each(self.last_at)

    def pairs_at(self, df: float, alpha: float | None = None) -> float:
        """Return the limit for all pairs at once, at degrees of freedom of a row."""
        if df <= 0:
            return math.inf
        return critical_values.range_limit(self._rows, df, self._common_df, alpha or self.alpha)

    def p_of_pair(self, i: int, j: int, t: float) -> float:
        """Return the chance that any of all pairs is so many standard errors apart."""
        df = float(self._df_KK[i, j])
        return critical_values.range_tail(t, self._rows, df, self._common_df) if df > 0 else 1.0

    def p_of_end(self, i: int, j: int, t: float, part: float) -> float:
        """Return the chance that a best row seems worse than any by so many standard errors.

        Args:
            part: `BEST_PART`, or `LAST_PART` of a last row that seems better.
        """
        df = float(self._df_KK[i, j])
        if df <= 0:
            return 1.0
        two = critical_values.range_tail(t, 2, df, self._common_df) / self._part(part)
        return min(1.0, max(two, critical_values.best_tail(t, self._rows, df, self._common_df)))

    def best_at(self, df: float) -> float:
        """Return the limit beyond which a row is not the best.

        It is never below that of two rows alone, so that of two equal best rows neither is left
        alone, and called better, more often than `BEST_PART` of `alpha`.
        """
        return self._end_at(df, BEST_PART)

    def last_at(self, df: float) -> float:
        """Return the limit beyond which a row is not the last, likewise."""
        return self._end_at(df, LAST_PART)

    def _end_at(self, df: float, part: float) -> float:
        if df <= 0:
            return math.inf
        alpha = self._part(part) * self.alpha
        return max(
            critical_values.best_limit(self._rows, df, self._common_df, self.alpha),
            critical_values.range_limit(2, df, self._common_df, alpha),
        )

    def _part(self, part: float) -> float:
        """Return the part of `alpha` for an end of the board: all of it up to three rows, of which
        no two best and two last rows can be equal."""
        return part if self._rows >= TWO_ENDS else 1.0

    def _each(self, limit_at: Callable[[float], float]) -> np.ndarray:
        values, places = np.unique(self._df_KK, return_inverse=True)
        return np.array([limit_at(float(v)) for v in values])[places].reshape(self._df_KK.shape)


def lower_ends(
    differences_KK: np.ndarray, errors_KK: np.ndarray, limits_KK: np.ndarray
) -> np.ndarray:
    """Return the lower end of the interval of each difference; -inf where nothing is known."""
    known = np.isfinite(differences_KK) & np.isfinite(errors_KK)
    reach = np.where(errors_KK > 0, limits_KK, 0.0)
    known &= np.isfinite(reach)
    ends = np.full(differences_KK.shape, -math.inf)
    ends[known] = differences_KK[known] - reach[known] * errors_KK[known]
    return ends
