"""Sets how far apart two rows of a board have to be, by what is known of their spread."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rnnbench.stats import critical_values
from rnnbench.stats.spread import Spread


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

    def pairs_at(self, df: float, alpha: float | None = None) -> float:
        """Return the limit for all pairs at once, at degrees of freedom of a row."""
        if df <= 0:
            return math.inf
        return critical_values.range_limit(self._rows, df, self._common_df, alpha or self.alpha)

    def p_of_pair(self, i: int, j: int, t: float) -> float:
        """Return the chance that any of all pairs is so many standard errors apart."""
        df = float(self._df_KK[i, j])
        return critical_values.range_tail(t, self._rows, df, self._common_df) if df > 0 else 1.0

    def p_of_best(self, i: int, j: int, t: float) -> float:
        """Return the chance that a best row seems worse than any by so many standard errors."""
        df = float(self._df_KK[i, j])
        if df <= 0:
            return 1.0
        two = critical_values.range_tail(t, 2, df, self._common_df)
        return max(two, critical_values.best_tail(t, self._rows, df, self._common_df))

    def best_at(self, df: float) -> float:
        """Return the limit beyond which a row is not the best.

        It is never below that of two rows alone, so that of two equal best rows neither is left
        alone, and called better, more often than `alpha`.
        """
        if df <= 0:
            return math.inf
        return max(
            critical_values.best_limit(self._rows, df, self._common_df, self.alpha),
            critical_values.range_limit(2, df, self._common_df, self.alpha),
        )

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
