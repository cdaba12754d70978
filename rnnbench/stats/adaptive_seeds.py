"""Chooses which rows get more seeds: those whose comparisons are open, and matter.

After each round all rows are judged, at the strict level that a look on the way takes. Rows that
may be the best come first; where every pair was asked for, the others follow. A pair gets no more
seeds once it is settled, or so close that even a difference larger by one standard error would not
be shown with the seeds that there may be. Giving up early can make no verdict wrong.

Pure functions of the results so far: who asks again gets the same answer.

Source: Paulson (1964), Annals of Mathematical Statistics 35, for dropping rows that are shown not
    to be the best; Lan, Simon & Halperin (1982), Sequential Analysis 1, for giving up by what could
    still be shown.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from rnnbench.stats.intervals import LEVEL
from rnnbench.stats.repeated_looks import STRICT, level_at_the_end, looks_between
from rnnbench.stats.verdicts import DEFAULT_MARGIN, EqualityMargin, Judgement, judge_rows

Until = Literal["best", "pairs"]
UNTIL: dict[Until, str] = {
    "best": "one row is shown to be the best, or the contenders to be equal",
    "pairs": "every pair of rows is shown to be better, worse or equal",
}


@dataclass(frozen=True)
class SeedPlan:
    """The plan of adaptive seeds, as a sweep file asks for it.

    Attributes:
        at_least, at_most: seeds of each row.
        until: see `UNTIL`.
    """

    at_least: int = 3
    at_most: int = 12
    until: Until = "best"

    def __post_init__(self) -> None:
        if not 2 <= self.at_least <= self.at_most:
            raise ValueError(
                f"seeds are at least 2, and at most as many or more; got {self.at_least} to "
                f"{self.at_most}"
            )

    @property
    def looks(self) -> tuple[int, ...]:
        """Return the numbers of seeds of a row at which results are looked at."""
        return looks_between(self.at_least, self.at_most)

    def level(self, rows: int) -> float:
        """Return the level at which the board of so many rows that is left is to be judged."""
        return level_at_the_end(self.looks, rows)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as records keep them; `of_dict` reads them back."""
        return {"at_least": self.at_least, "at_most": self.at_most, "until": self.until}

    @classmethod
    def of_dict(cls, d: Mapping[str, Any]) -> SeedPlan:
        """Return the plan from which `as_dict` was taken."""
        return cls(int(d["at_least"]), int(d["at_most"]), d["until"])


@dataclass(frozen=True)
class SeedDecision:
    """The answer to how to go on after a round.

    Attributes:
        seeds: how many seeds each row is to have now, failed ones included.
        done: nothing more is to be run.
        reason: why, in words.
        judgement: of the results so far, at the level for the board.
    """

    seeds: tuple[int, ...]
    done: bool
    reason: str
    judgement: Judgement


def board_level(plans: Iterable[Mapping[str, Any] | None], rows: int) -> float:
    """Return the level at which a board is to be judged, given what its rows' records keep.

    Args:
        plans: `SeedPlan.as_dict` of each row; None of a row whose seeds were chosen beforehand.
        rows: number of rows of the board.
    Returns:
        95% where no row's seeds were chosen by results; else the strictest of the levels.
    """
    known = {SeedPlan.of_dict(plan) for plan in plans if plan}
    return max((plan.level(rows) for plan in known), default=LEVEL)


def next_seeds(
    samples: Sequence[Sequence[float] | np.ndarray],
    higher_is_better: bool,
    plan: SeedPlan,
    *,
    margin: EqualityMargin | None = DEFAULT_MARGIN,
    scale: Literal["auto", "linear", "log"] = "auto",
    failures: Sequence[int] | None = None,
) -> SeedDecision:
    """Decide which rows get how many seeds next, or that what was asked is settled.

    Args:
        samples, margin, scale, failures: see `judge_rows`.
    """
    failed = [0] * len(samples) if failures is None else list(failures)
    have = [len(s) + f for s, f in zip(samples, failed, strict=True)]
    board = partial(
        judge_rows, samples, higher_is_better, margin=margin, scale=scale, failures=failed
    )
    left = board(level=plan.level(len(samples)))
    if short := [i for i, n in enumerate(have) if n < plan.at_least]:
        seeds = [plan.at_least if i in short else n for i, n in enumerate(have)]
        return SeedDecision(tuple(seeds), False, "the first seeds of all rows", left)
    judged = board(level=STRICT)
    contenders = [i for i in judged.contenders if len(samples[i])]
    wanted = _open_pairs(judged, contenders[:1], contenders)
    worth = _worth(left, wanted, have, plan)
    what = "may be the best"
    if plan.until == "pairs" and not worth:
        rows = [i for i in judged.order if len(samples[i])]
        wanted = _open_pairs(judged, rows, rows)
        worth = _worth(left, wanted, have, plan)
        what = "cannot be told from another"
    if not worth:
        return SeedDecision(tuple(have), True, _why(left, have, plan), left)
    rows_next = {i for pair in worth for i in pair if have[i] < plan.at_most}
    seeds = [_next_look(n, plan) if i in rows_next else n for i, n in enumerate(have)]
    number = len({i for pair in wanted for i in pair})
    reason = f"{number} rows of {len(have)} {what}, {len(rows_next)} of them get more seeds"
    return SeedDecision(tuple(seeds), False, reason, left)


def _open_pairs(
    judged: Judgement, firsts: Sequence[int], rows: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the pairs of one of `firsts` with one of the rows that are open, each once."""
    pairs = {(min(i, j), max(i, j)) for i, j in itertools.product(firsts, rows) if i != j}
    return [p for p in sorted(pairs) if judged.relation(*p) == "open"]


def _worth(
    left: Judgement,
    pairs: Sequence[tuple[int, int]],
    have: Sequence[int],
    plan: SeedPlan,
) -> list[tuple[int, int]]:
    """Return the pairs that more seeds may settle."""
    return [
        (i, j)
        for i, j in pairs
        if min(have[i], have[j]) < plan.at_most and _can_be_settled(left, i, j, plan)
    ]


def _can_be_settled(left: Judgement, i: int, j: int, plan: SeedPlan) -> bool:
    """Tell whether a difference larger, or smaller, by one standard error would be settled."""
    known, spread = left.comparisons, left.comparisons.spread
    error = float(known.errors_KK[i, j])
    variance = float(spread.variances[i] + spread.variances[j])
    if not math.isfinite(error):
        return True  # too little is known
    difference = abs(float(known.means[i] - known.means[j]))
    reach = difference + error
    if left.margin_of_scores is not None:
        reach = max(reach, left.margin_of_scores - max(0.0, difference - error))
    limits = known.limits.best_at if left.contenders[0] in (i, j) else known.limits.pairs_at
    limit = limits(spread.prior_df + plan.at_most - 1)
    return reach > limit * math.sqrt(variance / plan.at_most)


def _next_look(seeds: int, plan: SeedPlan) -> int:
    return next((n for n in plan.looks if n > seeds), plan.at_most)


def _why(left: Judgement, have: Sequence[int], plan: SeedPlan) -> str:
    """Say why no row gets more seeds."""
    seen = [i for i in left.order if left.centres[i] is not None]
    if plan.until == "best":
        contenders = [i for i in left.contenders if i in seen]
        if len(contenders) == 1:
            return "settled: one row is the best"
        pairs = _open_pairs(left, contenders[:1], contenders)
        if not pairs:
            return f"settled: the best {len(contenders)} rows are equal"
        rows = {i for pair in pairs for i in pair}
        open_now = f"any of {len(rows)} rows may be the best"
    else:
        pairs = _open_pairs(left, seen, seen)
        if not pairs:
            return "settled: no pair is open"
        open_now = f"{len(pairs)} pairs are open"
    if all(min(have[i], have[j]) >= plan.at_most for i, j in pairs):
        return f"{open_now} after {plan.at_most} seeds each"
    return f"{open_now}: too close for {plan.at_most} seeds each"
