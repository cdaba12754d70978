"""Tests differences between two samples: how sure, how large, and how many seeds they take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.stats.intervals import RESAMPLES, SEED, STANDARD, Method, estimate, finite
from rnnbench.stats.student_t import two_sided

ALPHA = 0.05  # of the tests
AT_ONCE = 4_000_000  # numbers of a batch of permutations, so that memory stays small
MOST_SEEDS = 50  # that `seeds_needed` asks for; a test that needs more is no use here


@dataclass(frozen=True)
class Difference:
    """A two-sided test of two means.

    Attributes:
        difference: first mean minus second.
        t: infinite where the means differ and neither sample varies; NaN of a permutation test.
        df: degrees of freedom; NaN of a permutation test.
        p: probability of a difference at least as large between equal means.
    """

    difference: float
    t: float
    df: float
    p: float


def welch(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Run Welch's t test, which does not take the variances for equal.

    Where neither sample varies, equal means give p = 1 and different ones p = 0.

    Raises:
        ValueError: a sample has fewer than two values, or one that is not finite.
    Source: Welch (1947), Biometrika 34.
    """
    a, b = finite(first), finite(second)
    if min(len(a), len(b)) < 2:
        raise ValueError("a test needs two seeds or more on either side")
    estimate_a, estimate_b = estimate(first), estimate(second)
    difference = estimate_a.mean - estimate_b.mean
    error_a = (estimate_a.deviation or 0.0) ** 2 / estimate_a.n
    error_b = (estimate_b.deviation or 0.0) ** 2 / estimate_b.n
    error = error_a + error_b
    if error == 0:
        same = difference == 0
        df = float(estimate_a.n + estimate_b.n - 2)
        return Difference(
            difference, 0.0 if same else math.copysign(math.inf, difference), df, float(same)
        )
    t = difference / math.sqrt(error)
    # In parts of the whole, so that tiny variances don't underflow when squared.
    df = 1 / (
        (error_a / error) ** 2 / (estimate_a.n - 1) + (error_b / error) ** 2 / (estimate_b.n - 1)
    )
    return Difference(difference, t, df, float(two_sided(t, df)))


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Run Student's paired t test: is the mean of the differences, pair by pair, other than 0?

    Where the differences do not vary, 0 gives p = 1 and any other p = 0, as in `welch`.

    Raises:
        ValueError: the samples differ in length, are of one value, or are not finite.
    Source: Student (1908), Biometrika 6.
    """
    a, b = _as_pairs(first, second)
    difference = estimate([float(d) for d in a - b])
    if not difference.deviation:
        same = difference.mean == 0
        t = 0.0 if same else math.copysign(math.inf, difference.mean)
        return Difference(difference.mean, t, float(difference.n - 1), float(same))
    t = difference.mean / (difference.deviation / math.sqrt(difference.n))
    return Difference(
        difference.mean, t, float(difference.n - 1), float(two_sided(t, difference.n - 1))
    )


def permuted(
    first: Sequence[float], second: Sequence[float], method: Method = STANDARD
) -> Difference:
    """Run the permutation test of the difference of the centres: labels are dealt out anew.

    Exact where there are up to 9,999 ways to deal them.

    Raises:
        ValueError: a sample has fewer than two values, or one that is not finite.
    Source: Fisher (1935), The Design of Experiments, section 21; by `scipy.stats`.
    """
    a, b = finite(first), finite(second)
    if min(len(a), len(b)) < 2:
        raise ValueError("a test needs two seeds or more on either side")
    return _permutation_test(a, b, "independent", method)


def sign_flipped(
    first: Sequence[float], second: Sequence[float], method: Method = STANDARD
) -> Difference:
    """Run the paired permutation test: within each pair the labels may be exchanged.

    Raises:
        ValueError: the samples differ in length, are of one value, or are not finite.
    Source: as `permuted`.
    """
    return _permutation_test(*_as_pairs(first, second), "samples", method)


def _permutation_test(a: np.ndarray, b: np.ndarray, kind: Any, method: Method) -> Difference:
    centre: Any = np.mean if method.centre == "mean" else np.median
    p = permutation_p(a[None, :], b[None, :], kind, method)
    return Difference(float(centre(a) - centre(b)), math.nan, math.nan, float(p[0]))


def permutation_p(a_PN: np.ndarray, b_PM: np.ndarray, kind: Any, method: Method) -> np.ndarray:
    """Return (P,): the p of P pairs of samples of equal sizes.

    Args:
        kind: "independent", or "samples" for values in pairs; see `scipy.stats.permutation_test`.
    """
    from scipy import stats  # a second to import, and few boards need it

    centre: Any = np.mean if method.centre == "mean" else np.median
    result = stats.permutation_test(
        (a_PN, b_PM),
        lambda x, y, axis: centre(x, axis=axis) - centre(y, axis=axis),
        permutation_type=kind,
        vectorized=True,
        axis=-1,
        batch=max(1, AT_ONCE // a_PN.size),
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(SEED),
    )
    return np.asarray(result.pvalue)


def compare(
    first: Sequence[float], second: Sequence[float], method: Method = STANDARD
) -> Difference:
    """Run the test of two independent samples that a method asks for."""
    return welch(first, second) if method.test == "t" else permuted(first, second, method)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for being looked at together, so that one false alarm stays rare.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, (len(p_values) - place) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


def least_p(first: int, second: int, *, pairs: bool = False) -> float:
    """Return the smallest p that a permutation test of so many seeds can reach, unadjusted."""
    ways = 2**first if pairs else math.comb(first + second, first)
    return min(1.0, 2 / ways)


def seeds_needed(comparisons: int = 1, *, pairs: bool = False) -> int | None:
    """Return the least number of seeds a side with which a permutation test can reach p < 0.05.

    Args:
        comparisons: that Holm's correction is made for; the smallest p counts so many times.
    Returns:
        None where 50 are too few.
    """
    enough = (
        n for n in range(2, MOST_SEEDS + 1) if comparisons * least_p(n, n, pairs=pairs) < ALPHA
    )
    return next(enough, None)


def hedges_g(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the difference of the means in standard deviations; None where neither sample varies,
    or one seed stands on either side.

    Source: Hedges (1981), J. Educational Statistics 6: Cohen's d of the pooled deviation, times
    1 - 3 / (4 df - 1), for few seeds overstate it.
    """
    a, b = finite(first), finite(second)
    df = len(a) + len(b) - 2
    if min(len(a), len(b)) < 2:
        return None
    pooled = ((len(a) - 1) * np.var(a, ddof=1) + (len(b) - 1) * np.var(b, ddof=1)) / df
    if pooled == 0:
        return None
    return float((a.mean() - b.mean()) / math.sqrt(pooled) * (1 - 3 / (4 * df - 1)))


def superiority(first: Sequence[float], second: Sequence[float], higher_is_better: bool) -> float:
    """Return the probability that a seed of the first beats one of the second; ties count half.

    Source: Vargha & Delaney (2000), J. Educational and Behavioral Statistics 25; it is the
    Mann-Whitney statistic over the number of pairs.
    """
    a, b = finite(first), finite(second)
    signs = np.sign(a[:, None] - b[None, :]) * (1 if higher_is_better else -1)
    return float((signs.mean() + 1) / 2)


def _as_pairs(first: Sequence[float], second: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    a, b = finite(first), finite(second)
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"a paired test needs two pairs or more, got {len(a)} and {len(b)} values")
    return a, b
