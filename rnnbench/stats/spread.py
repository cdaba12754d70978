"""Learns from all rows of a board how much seeds vary, and steadies each row's own variance by it.

Three seeds tell hardly anything of a spread; ten rows of three seeds tell much, as far as rows are
alike. How alike they are is learnt as well: rows that vary equally lend each other everything, and
rows that do not keep their own variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, gammaln, polygamma

# How much the rows' spreads are alike: degrees of freedom that a row is lent. The last one stands
# for rows that vary equally.
LENT_DF = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0, 23.0, 32.0, 64.0, 128.0)
SCALES = np.linspace(-4.0, 4.0, 65)  # of the logarithm of the common variance, around the median
CAUTION = 0.2  # the share of the posterior of what is lent that lies below what is taken
ROUNDING = 1e-12  # a deviation so small beside the figures is that of the last digit


@dataclass(frozen=True)
class Spread:
    """How much a seed of each row varies, with what is known of it.

    Attributes:
        variances: of one seed of each row; infinite where nothing is known.
        df: degrees of freedom of each of these; 0 where nothing is known.
        common_df: of the spread that all rows share.
        prior_df: how many degrees of freedom each row is lent by the others; infinite where rows
            vary equally, 0 where nothing could be learnt.
        prior_variance: of one seed of a row of this board.
    """

    variances: np.ndarray
    df: np.ndarray
    common_df: float
    prior_df: float
    prior_variance: float


def moderate(samples: Sequence[np.ndarray]) -> Spread:
    """Return the variances of all rows, each moved towards what the board's rows have in common.

    v_i = (d0 s0² + d_i s_i²) / (d0 + d_i), with d0 + d_i degrees of freedom, where s_i² / s0²
    follows F(d_i, d0). Of d0 the point is taken below which a fifth of its posterior over a grid
    lies, so that few rows, which cannot tell it, lend each other little. A row that does not vary
    at all teaches nothing, and is given what the others teach; where no row varies, that is
    believed.

    Source: Smyth (2004), Statistical Applications in Genetics and Molecular Biology 3(1), section
        4; there d0 is matched to moments, which takes few rows for more alike than they need be.
    """
    own = np.array([_variance(sample) for sample in samples])
    df = np.array([max(len(sample) - 1.0, 0.0) for sample in samples])
    teaching = (df > 0) & (own > 0)
    if not teaching.any():
        unknown = np.where(df > 0, 0.0, math.inf)
        return Spread(unknown, df, math.inf, 0.0, 0.0)
    prior_df, prior_variance, doubt = _prior(own[teaching], df[teaching])
    if math.isinf(prior_df):
        common_df = float(df[teaching].sum())
        pooled = float(own[teaching] @ df[teaching]) / common_df
        everyone = np.full(len(own), pooled)
        return Spread(everyone, np.full(len(own), math.inf), common_df, math.inf, pooled)
    steadied = (prior_df * prior_variance + df * own) / (prior_df + df)
    # As far as a variance is lent, the doubt about the common one is in it.
    lent = prior_df / (prior_df + float(np.median(df[teaching])))
    common_df = 2 * _inverse_trigamma(lent**2 * doubt)
    return Spread(steadied, prior_df + df, common_df, prior_df, prior_variance)


def _prior(own: np.ndarray, df: np.ndarray) -> tuple[float, float, float]:
    """Return what is lent (degrees of freedom), the common variance, and the doubt about its log.

    The likelihood is that of F for each row's variance over the common one; both unknowns lie on a
    grid, with equal weight beforehand.
    """
    middle = float(np.median(np.log(own)))
    half_K = df / 2
    apart_KL = (np.log(own) - middle)[:, None] - SCALES
    fits_GL = np.stack([_log_f(apart_KL, half_K[:, None], d / 2) for d in LENT_DF])
    equal_L = half_K[:, None] * (np.log(half_K)[:, None] + apart_KL - np.exp(apart_KL))
    equal_L = (equal_L - gammaln(half_K)[:, None]).sum(0)
    fits_GL = np.concatenate([fits_GL, equal_L[None]])
    weights_GL = np.exp(fits_GL - fits_GL.max())
    lent_G = weights_GL.sum(1) / weights_GL.sum()
    place = min(int(np.searchsorted(np.cumsum(lent_G), CAUTION)), len(LENT_DF))
    weights_L = weights_GL[place] / weights_GL[place].sum()
    centre = float(weights_L @ SCALES)
    doubt = float(weights_L @ (SCALES - centre) ** 2)
    lent = LENT_DF[place] if place < len(LENT_DF) else math.inf
    return lent, math.exp(middle + centre), doubt


def _log_f(apart_KL: np.ndarray, half_K: np.ndarray, half_prior: float) -> np.ndarray:
    """Return (L,): the log likelihood of log variance ratios that follow F, at each scale."""
    ratio_KL = np.log(half_K / half_prior) + apart_KL
    fit_KL = half_K * ratio_KL - (half_K + half_prior) * np.logaddexp(0, ratio_KL)
    return np.asarray((fit_KL - betaln(half_K, half_prior)).sum(0))


def _variance(sample: np.ndarray) -> float:
    if len(sample) < 2 or np.ptp(sample) <= ROUNDING * np.abs(sample).max():
        return 0.0
    return float(np.var(sample, ddof=1))


def _inverse_trigamma(value: float) -> float:
    """Return x where trigamma(x) = value, by Newton's method as in Smyth (2004), appendix."""
    x = 0.5 + 1 / value
    for _ in range(20):
        at_x = float(polygamma(1, x))
        x += at_x * (1 - at_x / value) / float(polygamma(2, x))
    return x
