"""Computes a mean or a median over seeds, with the 95% interval that boards and pages show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from rnnbench.errors import SpecError
from rnnbench.stats.student_t import quantile

LEVEL = 0.95  # of the intervals
RESAMPLES = 9_999  # of a bootstrap or of a permutation test that is not exact
SEED = 0  # of resampling: the same records give the same board


@dataclass(frozen=True)
class Method:
    """The centre, interval and test by which a board treats its seeds.

    Attributes:
        centre: what stands for a row, and orders rows.
        interval: "t": Student's; "bootstrap": BCa of a mean (DiCiccio & Efron, 1996), percentile of
            a median. Of three to eight seeds a bootstrap holds the truth less often than it says.
        test: "t": Welch's t test; "permutation": of the difference of the centres, exact where
            there are few seeds.

    Raises:
        SpecError: a median is asked for with a t interval or a t test, which are about means.
    """

    centre: Literal["mean", "median"] = "mean"
    interval: Literal["t", "bootstrap"] = "t"
    test: Literal["t", "permutation"] = "t"

    def __post_init__(self) -> None:
        if self.centre == "median" and "t" in (self.interval, self.test):
            raise SpecError(
                "Student's t is about means: a median takes a bootstrap interval and a permutation "
                "test (--interval bootstrap --test permutation)"
            )


STANDARD = Method()


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its confidence interval.

    Attributes:
        mean: the centre: a mean, or the median where the method asked for it.
        n: number of seeds.
        deviation: sample standard deviation; None from one seed.
        low, high: the 95% interval of the centre; None from one seed, which says nothing about
            spread.
    """

    mean: float
    n: int
    deviation: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def estimate(sample: Sequence[float], method: Method = STANDARD) -> Estimate:
    """Return the centre of a sample and its 95% interval.

    A sample that does not vary has an interval of width 0: the seeds agree.

    Raises:
        ValueError: the sample is empty or not finite.
    """
    values = finite(sample)
    n, mean = len(values), centre(sample, method)
    if n == 1:
        return Estimate(mean, 1)
    if np.ptp(values) == 0:
        return Estimate(float(values[0]), n, 0.0, float(values[0]), float(values[0]))
    deviation = float(np.std(values, ddof=1))
    if method.interval == "bootstrap":
        return Estimate(mean, n, deviation, *bootstrap(values, method.centre))
    half = t_quantile(n - 1) * deviation / math.sqrt(n)
    return Estimate(mean, n, deviation, mean - half, mean + half)


def centre(sample: Sequence[float], method: Method = STANDARD) -> float:
    """Return the mean or the median.

    Raises:
        ValueError: the sample is empty or not finite.
    """
    values = finite(sample)
    if method.centre == "median":
        return float(np.median(values))
    return math.fsum(values) / len(values)


def bootstrap(values: np.ndarray, centre_kind: str = "mean") -> tuple[float, float]:
    """Return the 95% interval by resampling seeds: BCa of a mean, percentile of a median.

    The median's jackknife takes two values at most, so BCa has nothing to go by there.
    """
    from scipy import stats

    result = stats.bootstrap(
        (values,),
        np.mean if centre_kind == "mean" else np.median,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="BCa" if centre_kind == "mean" else "percentile",
        vectorized=True,
        rng=np.random.default_rng(SEED),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


@cache
def t_quantile(df: int) -> float:
    """Return the quantile of Student's t at `df` degrees of freedom, for a two-sided interval."""
    return float(quantile((1 + LEVEL) / 2, df))


def finite(sample: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the sample as an array.

    Raises:
        ValueError: it is empty or not finite.
    """
    values = np.asarray(sample, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"a sample is one or more finite numbers, got {list(sample)!r}")
    return values
