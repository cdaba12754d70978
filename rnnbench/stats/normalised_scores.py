"""Pools scores of several runs on several tasks: interquartile means, profiles, improvement.

Scores are normalised, higher is better, as arrays of runs for each task. Intervals are percentiles
of a stratified bootstrap: runs are drawn anew within each task.

Source: Agarwal et al. (2021), Deep RL at the edge of the statistical precipice, arXiv:2108.13264,
sections 4.1 to 4.3 and appendix A.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnbench.stats.intervals import LEVEL, SEED, Estimate

RESAMPLES = 2_000  # of a stratified bootstrap

Scores = Sequence[np.ndarray]  # of a method: for each task its runs


def interquartile_mean(scores: Scores) -> float:
    """Return the mean of the middle half of all runs on all tasks.

    Where tasks have different numbers of runs, each task still counts the same.
    """
    values, weights = _pool(scores)
    return float(_weighted_iqm(values[None, :], weights[None, :])[0])


def interquartile_estimate(scores: Scores, resamples: int = RESAMPLES) -> Estimate:
    """Return `interquartile_mean` with its interval; `n` counts runs."""
    drawn = _resample(scores, resamples)
    _, weights = _pool(scores)
    means = _weighted_iqm(
        np.concatenate(drawn, axis=1), np.broadcast_to(weights, (resamples, len(weights)))
    )
    return Estimate(
        interquartile_mean(scores), sum(map(len, scores)), None, *_percentiles(scores, means)
    )


def profile(
    scores: Scores, taus: np.ndarray, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the share of runs above each of the taus, mean over tasks, and its interval's ends."""
    share = _shares_above([s[None, :] for s in scores], taus)[0]
    drawn = _shares_above(_resample(scores, resamples), taus)
    low, high = np.quantile(drawn, _ENDS, axis=0)
    return share, low, high


def improvement(first: Scores, second: Scores, resamples: int = RESAMPLES) -> Estimate:
    """Return the probability that a run of the first beats one of the second, averaged over tasks.

    Ties count half. `n` counts tasks.
    """
    exact = _win_shares([s[None, :] for s in first], [s[None, :] for s in second])[0]
    drawn = _win_shares(_resample(first, resamples), _resample(second, resamples, SEED + 1))
    low, high = np.quantile(drawn, _ENDS)
    return Estimate(float(exact), len(first), None, float(low), float(high))


_ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


def _pool(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Return all runs, with weights that sum to 1 over each task."""
    weights = [np.full(len(s), 1 / len(s)) for s in scores]
    return np.concatenate(list(scores)), np.concatenate(weights)


def _weighted_iqm(values_RN: np.ndarray, weights_RN: np.ndarray) -> np.ndarray:
    """Return the mean between the quartiles of weighted values. It is scipy's `trim_mean` where
    all weigh the same and their number divides by four."""
    if np.ptp(weights_RN) == 0:
        from scipy import stats

        return np.asarray(stats.trim_mean(values_RN, 0.25, axis=1))
    order = np.argsort(values_RN, axis=1)
    values = np.take_along_axis(values_RN, order, 1)
    weights = np.take_along_axis(weights_RN, order, 1)
    ends = np.cumsum(weights, 1)
    total = ends[:, -1:]
    inside = np.minimum(ends, 0.75 * total) - np.maximum(ends - weights, 0.25 * total)
    inside = np.maximum(inside, 0.0)
    return (values * inside).sum(1) / inside.sum(1)


def _resample(scores: Scores, resamples: int, seed: int = SEED) -> list[np.ndarray]:
    """Draw runs with replacement; return (resamples, runs) for each task."""
    rng = np.random.default_rng(seed)
    return [s[rng.integers(0, len(s), (resamples, len(s)))] for s in scores]


def _percentiles(scores: Scores, drawn: np.ndarray) -> tuple[float | None, float | None]:
    if all(len(s) < 2 for s in scores):
        return None, None  # one seed a task says nothing about spread
    low, high = np.quantile(drawn, _ENDS)
    return float(low), float(high)


def _shares_above(drawn: Sequence[np.ndarray], taus: np.ndarray) -> np.ndarray:
    """Return (resamples, taus): the share of runs above each tau."""
    shares_by_task = [(d[:, :, None] > taus).mean(1) for d in drawn]
    return np.mean(shares_by_task, axis=0)


def _win_shares(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Return (resamples,): the mean over tasks of P(first > second) + P(first = second) / 2."""
    wins_by_task = [
        (np.sign(a[:, :, None] - b[:, None, :]).mean((1, 2)) + 1) / 2
        for a, b in zip(first, second, strict=True)
    ]
    return np.mean(wins_by_task, axis=0)
