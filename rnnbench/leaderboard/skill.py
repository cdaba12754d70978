"""Turns figures of a board into skill scores, which can be put together over tasks.

The skill of a run is the share of what there is to gain over the task's best trivial baseline: 0 is
the baseline, 1 is perfect (Murphy, 1988, Monthly Weather Review 116). A perfect figure
is 0 for errors, 1 for shares and correlations, 100 for percentages; of a perplexity the logarithm
counts, as everywhere. Where nobody knows what is perfect, the best row stands for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.leaderboard.compared_tasks import rows_with_result
from rnnbench.leaderboard.types import Board, Row

LEAST = -1.0  # skill below which nobody asks how bad it is: one such run would decide a mean
PERFECT = {"0-100": 100.0, "%": 100.0, "share": 1.0, "r": 1.0, "rho": 1.0}  # where higher is better
OPTIMUM = "of the optimum"  # the unit of a ratio of which 1 is the least


@dataclass(frozen=True)
class SkillScale:
    """Where 0 and 1 of a board's skill scores lie.

    Attributes:
        baseline: name of the best trivial baseline; "" where none is recorded: the worst row's
            centre is 0 then.
        perfect_known: False where the best row stands for what is perfect.
        log: figures count by their logarithm.
    """

    zero: float
    one: float
    baseline: str
    perfect_known: bool
    log: bool

    def of(self, figure: float) -> float:
        """Return the skill of a figure, -1 at the least."""
        if self.zero == self.one:  # the baseline is perfect, and nothing is left to gain
            return 0.0 if self._counted(figure) == self.zero else LEAST
        score = (self._counted(figure) - self.zero) / (self.one - self.zero)
        return max(LEAST, score)

    def _counted(self, figure: float) -> float:
        return math.log(max(figure, 1e-300)) if self.log else figure


def skill_scale(board: Board) -> SkillScale:
    """Return the scale of a board's skill scores; it has a ranked row."""
    headline, higher = board.headline, board.higher_is_better
    log = headline.get("name") == "perplexity" and not higher
    rows = [row.centre.mean for row in board.ranked if row.centre is not None]
    floors = {r.name: r.test.mean for r in board.rows if r.kind == "baseline" and r.test}
    best_of, worst_of = (max, min) if higher else (min, max)
    baseline = best_of(sorted(floors), key=lambda name: floors[name]) if floors else ""
    zero = floors[baseline] if floors else worst_of(rows)
    one = _perfect(headline, higher, [*rows, *floors.values()])
    known = one is not None and (one >= zero if higher else one <= zero)
    if not known or one is None:
        one = best_of(rows)
        if (one <= zero) if higher else (one >= zero):  # nothing beats the baseline
            zero, one, baseline = worst_of(rows), zero, ""
    if log:
        zero, one = math.log(max(zero, 1e-300)), math.log(max(one, 1e-300))
    return SkillScale(zero, one, baseline, known, log)


def _perfect(headline: Mapping[str, Any], higher: bool, seen: Sequence[float]) -> float | None:
    unit = str(headline.get("unit", ""))
    if not higher:
        lowest = 1.0 if unit == OPTIMUM or headline.get("name") == "perplexity" else 0.0
        return lowest if all(v >= lowest for v in seen) else None
    if unit in PERFECT:
        return PERFECT[unit]
    return 1.0 if not unit and all(0 <= v <= 1 for v in seen) else None


def skills(board: Board, names: Sequence[str], notes: list[str], task: str) -> list[np.ndarray]:
    """Return the skill of each seed of some rows of a board; a failed seed has the worst there is.

    Args:
        notes: gets what limits the scores.
        task: what the board is called.
    """
    scale, rows = skill_scale(board), rows_with_result(board)
    if not scale.baseline:
        notes.append(f"No trivial baseline sets the 0 of {task}: its worst row does.")
    if not scale.perfect_known:
        notes.append(f"What is perfect on {task} is not known: its best row has skill 1.")
    finished = {name: [scale.of(value) for value in rows[name].values] for name in names}
    worst = min([0.0, *(score for scores in finished.values() for score in scores)])
    return [np.array(finished[n] + [worst] * _failures(rows[n])) for n in names]


def _failures(row: Row) -> int:
    """Return how many seeds of a row failed on test; one at least of a row that only failed."""
    return row.final_failed or (0 if row.values else 1)
