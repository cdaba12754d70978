"""Check verdicts on simulated leaderboards with planted ties and differences.

Boards of equal rows must be parted in at most one of twenty, whatever the noise; a planted row that
is better by a few standard deviations must be found. Intervals must hold the truth 95 of 100 times.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable

import numpy as np

from rnnbench.stats import ALPHA, Method, estimate, tiers

# (generator, number of seeds) -> results of a row's seeds, with mean 0 and deviation 1
Draw = Callable[[np.random.Generator, int], np.ndarray]

NOISE: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    # Like an error rate of which a few seeds come out badly.
    "skewed": lambda rng, n: rng.exponential(size=n) - 1.0,
    # Rows differ in how much their seeds vary, by up to a factor of four.
    "unequal": lambda rng, n: rng.normal(size=n) * float(rng.choice([0.5, 1.0, 2.0])),
    "heavy tails": lambda rng, n: rng.standard_t(3, size=n) / np.sqrt(3),
}
METHODS = {
    "t": Method(),
    "permutation": Method(test="permutation"),
    "bootstrap": Method(interval="bootstrap"),
}


@dataclasses.dataclass(frozen=True)
class Rates:
    """Rates of right and wrong verdicts over many simulated boards.

    Attributes:
        parted: share of boards of equal rows in which some row was said to be worse.
        found: share of boards with one better row in which it stood alone on top.
        covered: share of intervals of a row's centre that held its truth.
    """

    parted: float
    found: float
    covered: float


def simulate(
    boards: int, seeds: int, rows: int, noise: str, method: Method, gain: float, seed: int = 0
) -> Rates:
    """Simulate so many boards of either kind, and return the rates.

    Args:
        gain: by how much the planted row is better, in standard deviations of a seed.
    """
    rng = np.random.default_rng(seed)
    parted = found = covered = 0
    for _ in range(boards):
        samples = [NOISE[noise](rng, seeds) for _ in range(rows)]
        placed = tiers([list(s) for s in samples], True, method)
        parted += any(p.tier for p in placed)
        interval = estimate(list(samples[0]), method)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 0 <= interval.high
        samples[0] = samples[0] + gain
        placed = tiers([list(s) for s in samples], True, method)
        found += placed[0].tier == 0 and all(p.tier for p in placed[1:])
    return Rates(parted / boards, found / boards, covered / boards)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--boards", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 8])
    parser.add_argument("--gain", type=float, default=3.0, help="of the planted row, in deviations")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    print(
        f"{arguments.boards} boards of {arguments.rows} rows; parted: equal rows said to differ "
        f"(at most {ALPHA:.0%}); found: a row better by {arguments.gain:g} deviations alone on "
        "top; covered: 95% intervals that hold the truth"
    )
    print(f"{'method':<13}{'noise':<13}{'seeds':>5}{'parted':>9}{'found':>9}{'covered':>9}{'s':>7}")
    for name in arguments.methods:
        for noise in NOISE:
            for seeds in arguments.seeds:
                began = time.perf_counter()
                rates = simulate(
                    arguments.boards, seeds, arguments.rows, noise, METHODS[name], arguments.gain
                )
                seconds = time.perf_counter() - began
                print(
                    f"{name:<13}{noise:<13}{seeds:>5}{rates.parted:>9.1%}{rates.found:>9.1%}"
                    f"{rates.covered:>9.1%}{seconds:>7.1f}"
                )
