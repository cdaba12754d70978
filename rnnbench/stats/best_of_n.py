"""Estimates the best of n trials of a search.

A trial that failed has no value and is never the best, so where all n of a draw failed the best is
the worst value that any trial had: a lower bound of the harm, and no figure is invented.

The trials are taken for independent draws, as of a random search; those of a sampler that learns
are not, and the curve is then one of what it proposed on the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln

from rnnbench.stats.intervals import LEVEL, SEED

RESAMPLES = 1_000

Trials = Sequence[float | None]  # a search's values on validation; None: the trial failed


def expected_best(trials: Trials, higher_is_better: bool, unbiased: bool = True) -> list[float]:
    """Return the expected best of n of the trials, for n = 1 ... N.

    Args:
        unbiased: draws without replacement, whose mean over searches is that of a fresh search of
            n trials; else with replacement, which is too pessimistic beyond a few trials.

    Raises:
        ValueError: no trial has a value.
    Source: with replacement: Dodge et al. (2019), Show your work, arXiv:1909.03004, section 3.1;
    without: Tang et al. (2020), arXiv:2004.13705, eq. 3.
    """
    gains = _as_gains(trials, higher_is_better)
    best = _weights(len(gains), unbiased) @ np.sort(gains)
    return [float(v) for v in (best if higher_is_better else -best)]


def expected_best_interval(
    trials: Trials, higher_is_better: bool, resamples: int = RESAMPLES
) -> tuple[list[float], list[float]]:
    """Return the ends of the 95% interval of `expected_best`, by resampling trials."""
    drawn = _resample(trials, higher_is_better, resamples, SEED)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    if not higher_is_better:
        low, high = -high, -low
    return [float(v) for v in low], [float(v) for v in high]


def chance(first: Trials, second: Trials, higher_is_better: bool) -> list[float]:
    """Return the probability that the best of n trials of the first beats that of n of the second.

    For n up to the smaller number of trials, drawn without replacement; ties count half.
    """
    a, b = (np.sort(_as_gains(t, higher_is_better)) for t in (first, second))
    wins = (np.sign(a[:, None] - b[None, :]) + 1) / 2
    weights_a, weights_b = (_weights(len(x), unbiased=True) for x in (a, b))
    count = min(len(a), len(b))
    return [float(weights_a[n] @ wins @ weights_b[n]) for n in range(count)]


def better_from(first: Trials, second: Trials, higher_is_better: bool) -> int | None:
    """Return the number of trials from which on the first's expected best is better.

    None: it is not, at the end.
    """
    first_best, second_best = (expected_best(t, higher_is_better) for t in (first, second))
    ahead = [
        (a > b) if higher_is_better else (a < b)
        for a, b in zip(first_best, second_best, strict=False)
    ]
    return _start_of_last_run(ahead)


def clearly_better_from(
    first: Trials, second: Trials, higher_is_better: bool, resamples: int = RESAMPLES
) -> int | None:
    """Return the number of trials from which on the 95% interval of the difference is beyond 0."""
    first_drawn = _resample(first, higher_is_better, resamples, SEED)
    second_drawn = _resample(second, higher_is_better, resamples, SEED + 1)
    count = min(first_drawn.shape[1], second_drawn.shape[1])
    low = np.quantile(first_drawn[:, :count] - second_drawn[:, :count], (1 - LEVEL) / 2, axis=0)
    return _start_of_last_run([bool(v > 0) for v in low])


def _start_of_last_run(ahead: Sequence[bool]) -> int | None:
    """Return where the unbroken run of True at the end begins, counted from 1; None without one."""
    if not ahead or not ahead[-1]:
        return None
    behind = [n for n, is_ahead in enumerate(ahead, 1) if not is_ahead]
    return behind[-1] + 1 if behind else 1


def _as_gains(trials: Trials, higher_is_better: bool) -> np.ndarray:
    """Return values of which higher is better; a failed trial has the worst of them."""
    known = [v if higher_is_better else -v for v in trials if v is not None]
    if not known:
        raise ValueError("no trial has a value")
    return np.array(known + [min(known)] * (len(trials) - len(known)))


def _resample(trials: Trials, higher_is_better: bool, resamples: int, seed: int) -> np.ndarray:
    """Return (resamples, N): the expected best gains of trials drawn anew."""
    gains = _as_gains(trials, higher_is_better)
    rng = np.random.default_rng(seed)
    drawn = np.sort(gains[rng.integers(0, len(gains), (resamples, len(gains)))], axis=1)
    return drawn @ _weights(len(gains), unbiased=True).T


def _weights(count: int, unbiased: bool) -> np.ndarray:
    """Return (N, N): for each n, how likely each of the sorted values is the best of n."""
    n, i = np.arange(1, count + 1)[:, None], np.arange(1, count + 1)[None, :]
    if not unbiased:
        return (i / count) ** n - ((i - 1) / count) ** n
    # C(i - 1, n - 1) / C(N, n), in logarithms: binomials overflow from a thousand trials on.
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = (
            gammaln(i) - gammaln(n) - gammaln(np.maximum(i - n, 0) + 1)
            - gammaln(count + 1) + gammaln(n + 1) + gammaln(count - n + 1)
        )  # fmt: skip
    return np.where(i >= n, np.exp(logs), 0.0)
