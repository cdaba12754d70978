"""Chooses which rows get more seeds: those whose comparisons are open, and matter.

After each round all rows are judged, at the strict level that a look on the way takes. Rows that
may be the best come first; where every pair was asked for, the others follow. A pair gets no more
seeds once it is settled, nor where they are unlikely to settle it (`rnnbench.stats.futility`).

All rivals are compared with the row that is ahead, so its seeds count in each of these comparisons.
It has the square root of their number times as many seeds as each rival, and gets them first: a
row that was ahead by luck falls back before its rivals have cost anything.

Pure functions of the results so far: who asks again gets the same answer.

Source: Paulson (1964), Annals of Mathematical Statistics 35, for dropping rows that are shown not
    to be the best; Dunnett (1955), JASA 50, section 6, for the seeds of the row that all are
    compared with.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from rnnbench.stats.futility import worth_for_best, worth_for_pairs
from rnnbench.stats.intervals import LEVEL
from rnnbench.stats.repeated_looks import (
    LookLevels,
    levels_for_best,
    levels_for_pairs,
    looks_between,
)
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
        return self.levels(rows).at_the_end

    def levels(self, rows: int) -> LookLevels:
        """Return the levels on the way and at the end, of so many rows."""
        of = levels_for_best if self.until == "best" else levels_for_pairs
        return of(self.looks, rows)

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
    judged = board(level=plan.levels(len(samples)).on_the_way)
    contenders = [i for i in judged.contenders if len(samples[i])]
    wanted = _open_pairs(judged, contenders[:1], contenders)
    worth = _of_rows_with_room(worth_for_best(left, wanted, plan.at_most), have, plan)
    of_best, what = True, "may be the best"
    if plan.until == "pairs" and not worth:
        rows = [i for i in judged.order if len(samples[i])]
        wanted = _open_pairs(judged, rows, rows)
        worth = _of_rows_with_room(worth_for_pairs(left, wanted, plan.at_most), have, plan)
        of_best, what = False, "cannot be told from another"
    if not worth:
        return SeedDecision(tuple(have), True, _why(left, have, plan), left)
    seeds = _for_best(contenders[0], worth, have, plan) if of_best else _for_all(worth, have, plan)
    number = len({i for pair in wanted for i in pair})
    more = sum(now > before for now, before in zip(seeds, have, strict=True))
    if not more:
        raise RuntimeError(f"no row gets more seeds, though {worth} are to have some of {plan}")
    reason = f"{number} rows of {len(have)} {what}, {more} of them get more seeds"
    return SeedDecision(tuple(seeds), False, reason, left)


def _for_best(
    first: int, worth: Sequence[tuple[int, int]], have: Sequence[int], plan: SeedPlan
) -> list[int]:
    """Return the seeds of each row after the next round: of the first row alone, or of its rivals.

    Args:
        first: the row that is ahead.
        worth: pairs of it with a rival.
    """
    seeds = list(have)
    rivals = [i for pair in worth for i in pair if i != first and have[i] < plan.at_most]
    if not rivals:
        seeds[first] = _next_look(have[first], plan)
        return seeds
    share = round(min(have[i] for i in rivals) * math.sqrt(len(rivals)))
    if have[first] < min(share, plan.at_most):
        seeds[first] = _next_look(min(share, plan.at_most) - 1, plan)
        return seeds
    for i in rivals:
        seeds[i] = _next_look(have[i], plan)
    seeds[first] = max(have[first], *(seeds[i] for i in rivals))
    return seeds


def _for_all(worth: Sequence[tuple[int, int]], have: Sequence[int], plan: SeedPlan) -> list[int]:
    """Return the seeds of each row after the next round: all rows of the pairs get more."""
    rows = {i for pair in worth for i in pair if have[i] < plan.at_most}
    return [_next_look(n, plan) if i in rows else n for i, n in enumerate(have)]


def _open_pairs(
    judged: Judgement, firsts: Sequence[int], rows: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the pairs of one of `firsts` with one of the rows that are open, each once."""
    pairs = {(min(i, j), max(i, j)) for i, j in itertools.product(firsts, rows) if i != j}
    return [p for p in sorted(pairs) if judged.relation(*p) == "open"]


def _of_rows_with_room(
    pairs: Sequence[tuple[int, int]], have: Sequence[int], plan: SeedPlan
) -> list[tuple[int, int]]:
    """Return the pairs of which a row may have more seeds."""
    return [(i, j) for i, j in pairs if min(have[i], have[j]) < plan.at_most]


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
