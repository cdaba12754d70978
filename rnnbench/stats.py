"""What a few seeds allow one to say: intervals, differences, ties. Pure functions on numbers.

Samples are finite figures of one metric, one a seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

LEVEL = 0.95  # of the intervals
ALPHA = 0.05  # of the tests


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its confidence interval.

    Attributes:
        n: number of seeds.
        deviation: sample standard deviation; None from one seed.
        low, high: the 95% interval of the mean by Student's t; None from one seed, which says
            nothing about spread.
    """

    mean: float
    n: int
    deviation: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class Difference:
    """Welch's two-sided t test of two means.

    Attributes:
        difference: first mean minus second.
        t: infinite where the means differ and neither sample varies.
        df: degrees of freedom, by Welch and Satterthwaite.
        p: probability of a difference at least as large between equal means.
    """

    difference: float
    t: float
    df: float
    p: float


def estimate(sample: Sequence[float]) -> Estimate:
    """Mean and 95% t interval.

    A sample that does not vary has an interval of width 0: the seeds agree.

    Raises:
        ValueError: the sample is empty or not finite.
    """
    values = _finite(sample)
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Estimate(mean, 1)
    if np.ptp(values) == 0:
        return Estimate(float(values[0]), n, 0.0, float(values[0]), float(values[0]))
    deviation = float(np.std(values, ddof=1))
    half = float(distributions.t.ppf((1 + LEVEL) / 2, n - 1)) * deviation / math.sqrt(n)
    return Estimate(mean, n, deviation, mean - half, mean + half)


def welch(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Welch's t test, which does not take the variances for equal.

    Where neither sample varies, equal means give p = 1 and different ones p = 0.

    Raises:
        ValueError: a sample has fewer than two values, or one that is not finite.
    Source: Welch (1947), Biometrika 34.
    """
    a, b = _finite(first), _finite(second)
    if min(len(a), len(b)) < 2:
        raise ValueError("a test needs two seeds or more on either side")
    one, two = estimate(first), estimate(second)
    difference = one.mean - two.mean
    error_a = (one.deviation or 0.0) ** 2 / one.n
    error_b = (two.deviation or 0.0) ** 2 / two.n
    error = error_a + error_b
    if error == 0:
        same = difference == 0
        df = float(one.n + two.n - 2)
        return Difference(
            difference, 0.0 if same else math.copysign(math.inf, difference), df, float(same)
        )
    t = difference / math.sqrt(error)
    # In parts of the whole, so that tiny variances don't underflow when squared.
    df = 1 / ((error_a / error) ** 2 / (one.n - 1) + (error_b / error) ** 2 / (two.n - 1))
    return Difference(difference, t, df, float(2 * distributions.t.sf(abs(t), df)))


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Student's paired t test: is the mean of the differences, pair by pair, other than 0?

    Where the differences do not vary, 0 gives p = 1 and any other p = 0, as in `welch`.

    Raises:
        ValueError: the samples differ in length, are of one value, or are not finite.
    Source: Student (1908), Biometrika 6.
    """
    a, b = _finite(first), _finite(second)
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"a paired test needs two pairs or more, got {len(a)} and {len(b)} values")
    found = estimate([float(d) for d in a - b])
    if not found.deviation:
        same = found.mean == 0
        t = 0.0 if same else math.copysign(math.inf, found.mean)
        return Difference(found.mean, t, float(found.n - 1), float(same))
    t = found.mean / (found.deviation / math.sqrt(found.n))
    return Difference(
        found.mean, t, float(found.n - 1), float(2 * distributions.t.sf(abs(t), found.n - 1))
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for being looked at together, so that one false alarm stays rare.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, (len(p_values) - place) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


@dataclass(frozen=True)
class Placing:
    """Where a sample stands among others.

    Attributes:
        tier: 0 for those that tie with the best, 1 for those that tie with the best of the
            rest, and so on.
        p: of the difference from the best of all, Holm-adjusted over all comparisons with it;
            None for the best itself and for single seeds.
    """

    tier: int
    p: float | None = None


def tiers(samples: Sequence[Sequence[float]], higher_is_better: bool) -> list[Placing]:
    """Part samples into tiers of ties.

    The best mean leads, and in the order of means a tier ends before the first sample that is
    worse than its leader with p < 0.05 by Welch's test, Holm-adjusted over all comparisons with
    that leader. So a noisy sample cannot stand above one with a better mean for being noisy;
    its `p` still says where it cannot be told from the best. A sample of one seed cannot be
    told apart at all: it stands in the tier of its neighbour, the next better sample of several
    seeds (or where there is none, the next worse).

    Raises:
        ValueError: a sample is empty or not finite.
    """
    means = [estimate(sample).mean for sample in samples]
    order = sorted(range(len(samples)), key=lambda i: -means[i] if higher_is_better else means[i])
    several = [i for i in order if len(samples[i]) > 1]
    placed: dict[int, Placing] = {}
    against_best: dict[int, float] = {}
    rest, tier = several, 0
    while rest:
        leader, others = rest[0], rest[1:]
        p_values = holm([welch(samples[leader], samples[i]).p for i in others])
        if tier == 0:
            against_best = dict(zip(others, p_values, strict=True))
        size = next((k for k, p in enumerate(p_values, 1) if p < ALPHA), len(rest))
        placed.update((i, Placing(tier, against_best.get(i))) for i in rest[:size])
        rest = rest[size:]
        tier += 1
    current = placed[several[0]] if several else Placing(0)
    for i in order:
        current = placed.get(i, Placing(current.tier))
        placed[i] = current
    return [placed[i] for i in range(len(samples))]


def _finite(sample: Sequence[float]) -> np.ndarray:
    values = np.asarray(sample, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"a sample is one or more finite numbers, got {list(sample)!r}")
    return values
