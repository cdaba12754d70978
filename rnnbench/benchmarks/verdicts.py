"""Count false verdicts and power on simulated boards whose truth is known.

Boards of equal rows, and boards with one row that is ahead by a few deviations of a seed. Columns:

  false     boards on which a row is called better than one that is as good, by each method
  found     other rows that the row ahead is told from
  missed    boards whose contenders leave out the best row, one of equal rows named beforehand
  unequal   boards on which two rows are called equal that differ by the whole margin

Then boards whose seeds are given by results, beside the same boards with all of their seeds.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from rnnbench.benchmarks.simulated_boards import (
    NOISE,
    SimulatedBoard,
    bootstrap,
    highest_mean,
    simulate_board,
    tukey,
    welch_holm,
)
from rnnbench.stats import ALPHA, EqualityMargin, judge_rows
from rnnbench.stats.adaptive_seeds import UNTIL, SeedDecision, SeedPlan, next_seeds

OTHERS: dict[str, Callable[[SimulatedBoard, np.random.Generator], np.ndarray]] = {
    "Welch-Holm": lambda board, rng: welch_holm(board),
    "Tukey": lambda board, rng: tukey(board),
    "bootstrap": bootstrap,
    "mean": lambda board, rng: highest_mean(board),
}
METHODS = ("rnnbench", *OTHERS)
TRUTHS: dict[str, Callable[[int], np.ndarray]] = {
    "all equal": lambda rows: np.zeros(rows),
    "one ahead by 2": lambda rows: 2.0 * (np.arange(rows) == 0),
    "one ahead by 3": lambda rows: 3.0 * (np.arange(rows) == 0),
    "steps of 2": lambda rows: 2.0 * np.arange(rows),
}
PLAN = SeedPlan(3, 12)
LARGE = 40  # rows from which on half of the boards are simulated, since each takes longest


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--boards", type=int, default=100, help="of each kind and setting")
    parser.add_argument("--rows", type=int, nargs="+", default=[4, 10, 20, 40])
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 8])
    parser.add_argument("--settings", nargs="+", default=list(NOISE), choices=list(NOISE))
    parser.add_argument("--gain", type=float, default=3.0, help="of the row ahead, in deviations")
    parser.add_argument("--adaptive-boards", type=int, default=30, help="of each kind; 0: none")


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    began = time.perf_counter()
    print(
        f"{arguments.boards} boards of a kind (half of them of 40 rows and more): a false rate of "
        f"{ALPHA:.0%} comes out up to {_worst(arguments.boards):.1%} by chance. The row ahead is "
        f"ahead by {arguments.gain:g} deviations of a seed."
    )
    names = "".join(f"{name:>11}" for name in METHODS)
    print(f"{'':<24}{'false':<55}{'found':<55}{'rnnbench':>8}")
    print(f"{'setting':<14}{'rows':>4}{'seeds':>6}{names}{names}{'missed':>8}{'unequal':>8}")
    for setting in arguments.settings:
        for rows in arguments.rows:
            for seeds in arguments.seeds:
                boards = arguments.boards // (2 if rows >= LARGE else 1)
                rates = measure(setting, rows, seeds, max(1, boards), arguments.gain)
                false = "".join(f"{rates['false', m]:>11.1%}" for m in METHODS)
                found = "".join(f"{rates['found', m]:>11.1%}" for m in METHODS)
                print(
                    f"{setting:<14}{rows:>4}{seeds:>6}{false}{found}"
                    f"{rates['missed', '']:>8.1%}{rates['unequal', '']:>8.1%}",
                    flush=True,
                )
    if arguments.adaptive_boards:
        print(
            f"\nSeeds by results, {PLAN.at_least} to {PLAN.at_most} a row, against {PLAN.at_most} "
            f"of every row; {arguments.adaptive_boards} boards of a kind, until {UNTIL[PLAN.until]}"
        )
        print(
            f"{'truth':<16}{'setting':<10}{'rows':>4}{'runs':>8}{'false':>8}"
            f"{'best known':>12}{'with all seeds':>16}"
        )
        for truth in TRUTHS:
            for setting in ("equal", "unequal"):
                for rows in (4, 10, 20):
                    got = measure_adaptive(truth, setting, rows, arguments.adaptive_boards)
                    print(
                        f"{truth:<16}{setting:<10}{rows:>4}{got['runs']:>8.0%}"
                        f"{got['false']:>8.1%}{got['known']:>12.0%}{got['fixed']:>16.0%}",
                        flush=True,
                    )
    print(f"{time.perf_counter() - began:.0f} s")


def measure(
    setting: str, rows: int, seeds: int, boards: int, gain: float, seed: int = 0
) -> dict[tuple[str, str], float]:
    """Return the rates of verdicts, by ("false", "found", "missed" or "unequal", method)."""
    rng = np.random.default_rng(seed)
    counts: defaultdict[tuple[str, str], float] = defaultdict(float)
    for place in range(boards):
        board = simulate_board(rng, setting, rows, seeds)
        judged = judge_rows(board.samples, True, failures=list(board.failed))
        counts["false", "rnnbench"] += board.wrong(judged.comparisons.better_KK)
        for name, method in OTHERS.items():
            counts["false", name] += board.wrong(method(board, rng))
        # A row that is named beforehand; of the multiplicative setting one of the best pair.
        counts["missed", ""] += int(np.argmax(board.truth)) not in judged.contenders
        board = simulate_board(rng, setting, rows, seeds, gain if place % 2 else -gain)
        # Half of the boards have a row behind. It differs by the whole margin from the others.
        margin = None if setting == "multiplicative" else EqualityMargin(gain)
        judged = judge_rows(board.samples, True, failures=list(board.failed), margin=margin)
        counts["found", "rnnbench"] += board.found(judged.comparisons.better_KK, 0)
        for name, method in OTHERS.items():
            counts["found", name] += board.found(method(board, rng), 0)
        counts["unequal", ""] += any(judged.relation(0, i) == "equal" for i in range(1, rows))
    return {key: count / boards for key, count in counts.items()}


def measure_adaptive(
    truth: str, setting: str, rows: int, boards: int, seed: int = 0
) -> dict[str, float]:
    """Return the rates of boards whose seeds were given by results, and of those with all seeds."""
    rng = np.random.default_rng(seed)
    counts: defaultdict[str, float] = defaultdict(float)
    centres = TRUTHS[truth](rows)
    for _ in range(boards):
        figures = centres[:, None] + NOISE[setting](rng, rows, PLAN.at_most)
        board = SimulatedBoard(list(figures), np.zeros(rows, dtype=int), centres)
        decision = _give_seeds(figures)
        given = np.array(decision.seeds)
        fixed = judge_rows(board.samples, True, margin=None)
        counts["runs"] += given.sum() / figures.size
        counts["false"] += board.wrong(decision.judgement.comparisons.better_KK)
        counts["known"] += decision.judgement.contenders == (int(centres.argmax()),)
        counts["fixed"] += fixed.contenders == (int(centres.argmax()),)
    return {key: counts[key] / boards for key in ("runs", "false", "known", "fixed")}


def _give_seeds(figures_KN: np.ndarray) -> SeedDecision:
    """Give seeds round by round, and return the last decision."""
    given: tuple[int, ...] = (PLAN.at_least,) * len(figures_KN)
    for _ in range(figures_KN.size):  # each round gives a seed at least
        decision = next_seeds(
            [f[:n] for f, n in zip(figures_KN, given, strict=True)], True, PLAN, margin=None
        )
        if decision.done:
            return decision
        given = decision.seeds
    raise RuntimeError("seeds are given without end")


def _worst(boards: int) -> float:
    """Return the largest share of false boards that 5% come to in 97.5% of simulations."""
    return ALPHA + 1.96 * math.sqrt(ALPHA * (1 - ALPHA) / boards)
