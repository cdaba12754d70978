"""Looks at pairs of rows of a board: who is better, by how much, at which effort. Pure.

What is said of a pair is the board's verdict (`rnnbench.leaderboard.verdicts`), whichever way it is
looked at; here stands what else is known of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from rnnbench.errors import RunError
from rnnbench.leaderboard.best_of_n import searched_alike
from rnnbench.leaderboard.types import Board, Row
from rnnbench.leaderboard.verdicts.pairs import Relation
from rnnbench.registry.registry import did_you_mean
from rnnbench.stats import LEVEL, Estimate, best_of_n, hedges_g, superiority
from rnnbench.stats.item_bootstrap import ItemTable, ItemTest, compare_items

ReadItems = Callable[[str], ItemTable | None]  # of a run, by its id


@dataclass(frozen=True)
class Pair:
    """A row against another, or against a trivial baseline.

    Attributes:
        row, other: `other` is the reference.
        verdict: the board's, of `row` to `other`.
        difference: of the centres on test, in the headline's unit; positive: `row` is better. Its
            interval holds for all pairs of the board together; None on the log scale.
        ratio: `row`'s centre over `other`'s with such an interval, on the log scale.
        p: adjusted for all pairs of the board; None where no test is possible.
        within_margin, more_seeds: see `RowPair`.
        effect: Hedges' g; positive: `row` is better. None where neither side varies, of a single
            seed and of a baseline.
        superiority: the probability that a seed of `row` beats one of `other`.
        failed, other_failed: shares of the final runs that failed.
        trials_from, trials_clear: from so many trials on the expected best on validation of
            `better` is better than that of `worse`, and clearly so (`leaderboard.best_of_n`); None:
            not at the end, or the search of one is not known.
        trials: how many both were searched with.
        seeds: on either side; 0 of a baseline.
        took_seconds: what the verdict cost: training of the seeds on either side; None unknown.
        items: the same question asked of the items of the test split, where runs keep them.
        item_verdict: what other items would say, for this pair alone; None without items.
        seeds_share: the part of the doubt about the difference that training again would change;
            the rest is that of the test split. None where one of the two is not known.
        note: what a reader must know beside it.
    """

    row: str
    other: str
    difference: Estimate
    p: float | None
    verdict: Relation
    ratio: Estimate | None = None
    within_margin: bool = False
    more_seeds: int | None = None
    effect: float | None = None
    superiority: float | None = None
    failed: float = 0.0
    other_failed: float = 0.0
    trials_from: int | None = None
    trials_clear: int | None = None
    trials: int = 0
    seeds: tuple[int, int] = (0, 0)
    took_seconds: float | None = None
    items: ItemTest | None = None
    item_verdict: Relation | None = None
    seeds_share: float | None = None
    note: str = ""

    @property
    def better(self) -> str:
        """The row that is better, or where that is open the one that is ahead."""
        return self.row if self._row_leads else self.other

    @property
    def worse(self) -> str:
        return self.other if self._row_leads else self.row

    @property
    def _row_leads(self) -> bool:
        if self.verdict in ("better", "worse"):
            return self.verdict == "better"
        return self.difference.mean >= 0


def judge(
    board: Board,
    against: str | None = None,
    items: ReadItems | None = None,
    only: str | None = None,
) -> tuple[Pair, ...]:
    """Tell what is known of every ranked row against one row or baseline of the board.

    Args:
        against: its name; None: the board's leader.
        items: reads what each item of a run's test split added to its headline.
        only: the pair of this row alone; None: all pairs.

    Raises:
        RunError: the board has no such row, or it has no test results.
    """
    rows = board.ranked
    if against is None and not rows:
        return ()
    name = board.verdicts.leader if against is None else against
    other = next((r for r in board.rows if r.name == name), None)
    if other is None or other.test is None:
        names = [r.name for r in board.rows if r.test is not None]
        lacks = "has no test results yet" if other is not None else "is no row of the board"
        raise RunError(
            f"{against!r} {lacks} of {board.task}{did_you_mean(name, names)}\n"
            f"  Rows: {', '.join(names) or 'none'}"
        )
    others = [row for row in rows if row is not other and only in (None, row.name)]
    return tuple(_look_at(board, row, other, items) for row in others)


def leader(board: Board) -> Row:
    """Return the row from which the others are looked at.

    Raises:
        StopIteration: no row is ranked.
    """
    return next(row for row in board.ranked if row.name == board.verdicts.leader)


def judge_all(board: Board) -> dict[tuple[str, str], Relation]:
    """Return the verdict on each ordered pair of ranked rows."""
    return {
        (a.name, b.name): board.verdicts.between(a.name, b.name).relation
        for a in board.ranked
        for b in board.ranked
        if a is not b
    }


def _look_at(board: Board, row: Row, other: Row, items: ReadItems | None) -> Pair:
    verdicts, higher = board.verdicts, board.higher_is_better
    look_up = verdicts.against_baseline if other.kind == "baseline" else verdicts.between
    found = look_up(row.name, other.name)
    pair = Pair(
        row=row.name,
        other=other.name,
        difference=found.difference,
        p=found.p,
        verdict=found.relation,
        ratio=found.ratio,
        within_margin=found.within_margin,
        more_seeds=found.more_seeds,
        failed=_failure_rate(row),
        other_failed=_failure_rate(other),
        seeds=(len(row.values), len(other.values)),
        took_seconds=_took_seconds(row, other),
        note=found.note,
    )
    if other.kind == "baseline":
        assert other.test is not None
        note = "a baseline has one value: the row's seeds are set against it"
        return dataclasses.replace(
            pair,
            superiority=superiority(row.values, [other.test.mean], higher),
            note=pair.note or note,
        )
    sign = 1.0 if higher else -1.0
    gains, other_gains = ([sign * v for v in r.values] for r in (row, other))
    pair = dataclasses.replace(
        pair,
        effect=hedges_g(gains, other_gains),
        superiority=superiority(gains, other_gains, higher_is_better=True),
    )
    if board.selection and searched_alike(row, other):
        selection_higher = bool(board.selection.get("higher_is_better"))
        first, second = (row, other) if pair.better == row.name else (other, row)
        trials = first.trials, second.trials, selection_higher
        pair = dataclasses.replace(
            pair,
            trials_from=best_of_n.better_from(*trials),
            trials_clear=best_of_n.clearly_better_from(*trials),
            trials=min(len(row.trials), len(other.trials)),
        )
    return pair if items is None else _ask_items(pair, board, row, other, items)


def _ask_items(pair: Pair, board: Board, row: Row, other: Row, items: ReadItems) -> Pair:
    """Return the pair with what other items of the test split would say, where runs keep them."""
    tables, other_tables = (
        [table for run in r.run_ids if (table := items(run)) is not None] for r in (row, other)
    )
    if (len(tables), len(other_tables)) != pair.seeds:  # runs of an older rnnbench kept none
        return pair
    test = compare_items(tables, other_tables, board.higher_is_better)
    if test is None or row.test is None or other.test is None:
        return pair
    best = (max if board.higher_is_better else min)(row.test.mean, other.test.mean)
    margin = board.verdicts.equal_within.around(best)
    verdict: Relation = "open"
    if test.low > 0 or test.high < 0:
        verdict = "better" if test.low > 0 else "worse"
    elif -margin <= test.low and test.high <= margin:
        verdict = "equal"
    return dataclasses.replace(
        pair, items=test, item_verdict=verdict, seeds_share=_share_of_seeds(row, other, test)
    )


def _share_of_seeds(row: Row, other: Row, test: ItemTest) -> float | None:
    """Return which part of the variance of a difference comes of training anew.

    The other part comes of the test split's items; both are of means over the seeds.
    """
    if min(len(row.values), len(other.values)) < 2:
        return None
    of_seeds = math.fsum(float(np.var(r.values, ddof=1)) / len(r.values) for r in (row, other))
    of_items = ((test.high - test.low) / (2 * float(ndtri((1 + LEVEL) / 2)))) ** 2
    return of_seeds / (of_seeds + of_items) if of_seeds + of_items > 0 else None


def _took_seconds(row: Row, other: Row) -> float | None:
    """Return the seconds of training of the seeds of two rows; a baseline took none."""
    trained = [r for r in (row, other) if r.kind != "baseline"]
    if any("train_seconds" not in r.costs for r in trained):
        return None
    return math.fsum(len(r.values) * r.costs["train_seconds"] for r in trained)


def _failure_rate(row: Row) -> float:
    return row.final_failed / row.final_runs if row.final_runs else 0.0
