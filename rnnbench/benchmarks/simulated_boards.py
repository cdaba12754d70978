"""Boards with a truth that is known, and the verdicts of usual methods on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnbench.stats import ALPHA, pairwise
from rnnbench.stats.critical_values import range_limit

# (generator, rows, seeds) -> noise of each seed of each row
Noise = Callable[[np.random.Generator, int, int], np.ndarray]

FAILING = 0.1  # share of seeds that fail, in the setting "failures"
RESAMPLES = 400
STEP = 2.0  # of logarithms between pairs of equal rows, in the setting "multiplicative"


def _unequal(rng: np.random.Generator, rows: int, seeds: int) -> np.ndarray:
    """Return noise of rows whose deviations differ by a factor e up or down (one deviation)."""
    deviation_K1 = np.exp(rng.normal(size=(rows, 1)))
    return rng.normal(size=(rows, seeds)) * deviation_K1 / np.sqrt((deviation_K1**2).mean())


NOISE: dict[str, Noise] = {
    "equal": lambda rng, rows, seeds: rng.normal(size=(rows, seeds)),
    "unequal": _unequal,
    "skewed": lambda rng, rows, seeds: rng.exponential(size=(rows, seeds)) - 1,
    "heavy tails": lambda rng, rows, seeds: rng.standard_t(3, (rows, seeds)) / math.sqrt(3),
    "failures": lambda rng, rows, seeds: rng.normal(size=(rows, seeds)),
    "multiplicative": lambda rng, rows, seeds: rng.normal(size=(rows, seeds)),
}


@dataclass(frozen=True)
class SimulatedBoard:
    """A board with its truth; more is better.

    Attributes:
        samples: the figures of each row that came through.
        failed: number of seeds of each row that did not.
        truth: the rows' centres, in deviations of a seed.
    """

    samples: list[np.ndarray]
    failed: np.ndarray
    truth: np.ndarray

    def wrong(self, better_KK: np.ndarray) -> bool:
        """Tell whether any row is called better than one that is as good."""
        return bool((better_KK & (self.truth[:, None] <= self.truth[None, :])).any())

    def found(self, better_KK: np.ndarray, row: int) -> float:
        """Return the share of the other rows that are rightly told from a row."""
        true_KK = self.truth[:, None] > self.truth[None, :]
        return float(((better_KK | better_KK.T) & (true_KK | true_KK.T))[row].sum()) / max(
            1, int((true_KK | true_KK.T)[row].sum())
        )


def simulate_board(
    rng: np.random.Generator, setting: str, rows: int, seeds: int, gain: float = 0.0
) -> SimulatedBoard:
    """Return a board of equal rows, the first of which is ahead by `gain` deviations."""
    truth = np.zeros(rows)
    if setting == "multiplicative":
        truth += STEP * (np.arange(rows) // 2)
    truth[0] += gain
    figures_KN = truth[:, None] + NOISE[setting](rng, rows, seeds)
    failed_KN = np.zeros((rows, seeds), dtype=bool)
    if setting == "failures":
        failed_KN = rng.random((rows, seeds)) < FAILING
    if setting == "multiplicative":
        figures_KN = np.exp(figures_KN / 2)
    samples = [f[~gone] for f, gone in zip(figures_KN, failed_KN, strict=True)]
    return SimulatedBoard(samples, failed_KN.sum(1), truth)


def welch_holm(board: SimulatedBoard) -> np.ndarray:
    """Return which row is better than which by Welch's test, adjusted after Holm."""
    means, several = _means(board), [i for i, s in enumerate(board.samples) if len(s) > 1]
    better_KK = np.zeros((len(means), len(means)), dtype=bool)
    apart = pairwise([list(board.samples[i]) for i in several]) < ALPHA
    better_KK[np.ix_(several, several)] = apart
    return better_KK & _ahead(means)


def tukey(board: SimulatedBoard) -> np.ndarray:
    """Return which row is better than which by Tukey and Kramer's test, with one spread for all."""
    count = np.array([len(s) for s in board.samples])
    df = float(np.maximum(count - 1, 0).sum())
    squares = sum(float(((s - s.mean()) ** 2).sum()) for s in board.samples if len(s))
    with np.errstate(divide="ignore"):
        error_KK = np.sqrt(squares / df * (1 / count[:, None] + 1 / count[None, :]))
    means = _means(board)
    limit = range_limit(len(means), math.inf, df)
    return np.nan_to_num(means[:, None] - means[None, :]) > limit * error_KK


def bootstrap(board: SimulatedBoard, rng: np.random.Generator) -> np.ndarray:
    """Return which row is better by bootstrap intervals of the means that do not overlap.

    Source: Agarwal et al. (2021), NeurIPS, section 4, whose plots are read like this.
    """
    low, high = np.full(len(board.samples), np.nan), np.full(len(board.samples), np.nan)
    for i, sample in enumerate(board.samples):
        if len(sample) > 1:
            drawn = rng.integers(len(sample), size=(RESAMPLES, len(sample)))
            low[i], high[i] = np.quantile(sample[drawn].mean(1), [ALPHA / 2, 1 - ALPHA / 2])
    return low[:, None] > high[None, :]


def highest_mean(board: SimulatedBoard) -> np.ndarray:
    """Return which row is better where whatever has the higher mean is called better."""
    return _ahead(_means(board))


def _means(board: SimulatedBoard) -> np.ndarray:
    return np.array([s.mean() if len(s) else np.nan for s in board.samples])


def _ahead(means: np.ndarray) -> np.ndarray:
    return means[:, None] > means[None, :]
