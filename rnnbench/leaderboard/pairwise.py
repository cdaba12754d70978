"""Judges the pairs of rows of a board: who beats whom, by how much, at which effort. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnnbench.errors import RunError
from rnnbench.leaderboard.best_of_n import searched_alike
from rnnbench.leaderboard.types import Board, Row
from rnnbench.registry.registry import did_you_mean
from rnnbench.stats import (
    ALPHA,
    LEVEL,
    Estimate,
    best_of_n,
    compare,
    estimate,
    hedges_g,
    holm,
    least_p,
    paired,
    pairwise,
    seeds_needed,
    superiority,
    welch,
)
from rnnbench.stats.intervals import RESAMPLES, SEED, Method, centre
from rnnbench.stats.item_bootstrap import ItemTable, ItemTest, compare_items
from rnnbench.stats.student_t import quantile

ReadItems = Callable[[str], ItemTable | None]  # of a run, by its id

Outcome = Literal["beats", "loses", "ties", "cannot tell"]


@dataclass(frozen=True)
class Pair:
    """A row against another, or against a trivial baseline.

    Attributes:
        row, other: `other` is the reference.
        difference: of the headline on test, in its unit; positive: `row` is better. Its interval
            is not adjusted for the number of pairs.
        p: Holm-adjusted, see `judge`; None where no test is possible.
        verdict: from the view of `row`. "ties": the seeds show no difference, which is not that
            there is none. "cannot tell": no test of so few seeds could.
        effect: Hedges' g; positive: `row` is better. None where neither side varies, of a single
            seed and of a baseline.
        superiority: the probability that a seed of `row` beats one of `other`.
        failed, other_failed: shares of the final runs that failed.
        trials_from, trials_clear: from so many trials on the expected best on validation of
            `better` is better than that of `worse`, and clearly so (`leaderboard.best_of_n`); None:
            not at the end, or the search of one is not known.
        trials: how many both were searched with.
        seeds: on either side; 0 of a baseline.
        items: the same question asked of the items of the test split, where runs keep them.
        note: what a reader must know beside it.
    """

    row: str
    other: str
    difference: Estimate
    p: float | None
    verdict: Outcome
    effect: float | None = None
    superiority: float | None = None
    failed: float = 0.0
    other_failed: float = 0.0
    trials_from: int | None = None
    trials_clear: int | None = None
    trials: int = 0
    seeds: tuple[int, int] = (0, 0)
    items: ItemTest | None = None
    note: str = ""

    @property
    def better(self) -> str:
        return self.row if self.difference.mean >= 0 else self.other

    @property
    def worse(self) -> str:
        return self.other if self.difference.mean >= 0 else self.row


def judge(
    board: Board,
    against: str | None = None,
    items: ReadItems | None = None,
    only: str | None = None,
) -> tuple[Pair, ...]:
    """Compare every ranked row with one row or baseline of the board.

    Args:
        against: its name; p is then adjusted over these pairs. None: the best row of several seeds,
            which the figures chose: p is adjusted over all pairs of the board, as its ranks are.
        items: reads what each item of a run's test split added to its headline.
        only: the pair of this row alone, with the p that it has among all; None: all pairs.

    Raises:
        RunError: the board has no such row, or it has no test results.
    """
    rows = board.ranked
    if against is None:
        if not rows:
            return ()
        pairs = len([r for r in rows if len(r.values) > 1])
        best = leader(board)
        others = [row for row in rows if row is not best and only in (None, row.name)]
        pairs_made = [_compare_rows(board, row, best, items) for row in others]
        p_values = [row.p for row in others]
        return tuple(
            _with_verdict(pair, p, pairs * (pairs - 1) // 2, board.method)
            for pair, p in zip(pairs_made, p_values, strict=True)
        )
    other = next((r for r in board.rows if r.name == against), None)
    if other is None or other.test is None:
        names = [r.name for r in board.rows if r.test is not None]
        lacks = "has no test results yet" if other is not None else "is no row of the board"
        raise RunError(
            f"{against!r} {lacks} of {board.task}{did_you_mean(against, names)}\n"
            f"  Rows: {', '.join(names) or 'none'}"
        )
    pairs_made = [_compare_rows(board, row, other, items) for row in rows if row is not other]
    judged = _adjust(pairs_made, board.method)
    return tuple(pair for pair in judged if only in (None, pair.row))


def leader(board: Board) -> Row:
    """Return the best ranked row of several seeds, from which ranks are measured, or else the best.

    Raises:
        IndexError: no row is ranked.
    """
    rows = board.ranked
    return next((row for row in rows if len(row.values) > 1), rows[0])


def judge_all(board: Board) -> dict[tuple[str, str], Outcome]:
    """Return the outcome of each ordered pair of ranked rows, Holm-adjusted over all pairs."""
    rows = board.ranked
    several = [row for row in rows if len(row.values) > 1]
    p_values = pairwise([row.values for row in several], board.method) if several else None
    place = {row.name: i for i, row in enumerate(several)}
    sign = 1.0 if board.higher_is_better else -1.0
    outcomes: dict[tuple[str, str], Outcome] = {}
    for row in rows:
        for other in rows:
            if row is other:
                continue
            outcome: Outcome = "cannot tell"
            if row.name in place and other.name in place and p_values is not None:
                outcome = "ties"
                if p_values[place[row.name], place[other.name]] < ALPHA:
                    assert row.test is not None
                    assert other.test is not None
                    ahead = sign * (row.test.mean - other.test.mean) > 0
                    outcome = "beats" if ahead else "loses"
            outcomes[row.name, other.name] = outcome
    return outcomes


def _adjust(pairs: Sequence[Pair], method: Method) -> list[Pair]:
    """Return the pairs with p adjusted for their number, and with verdicts."""
    tested = [pair.p for pair in pairs if pair.p is not None]
    adjusted = iter(holm(tested))
    return [
        pair if pair.p is None else _with_verdict(pair, next(adjusted), len(tested), method)
        for pair in pairs
    ]


def _with_verdict(pair: Pair, p: float | None, comparisons: int, method: Method) -> Pair:
    """Return the pair with its adjusted p and the verdict that follows."""
    if p is None or pair.p is None:
        return dataclasses.replace(pair, p=None)
    verdict: Outcome = "ties"
    if p < ALPHA:
        verdict = "beats" if pair.difference.mean > 0 else "loses"
    elif _is_powerless(pair, comparisons, method):
        verdict = "cannot tell"
        needed = seeds_needed(comparisons)
        take = f"take {needed}" if needed else "compare fewer rows"
        note = f"{min(pair.seeds)} seeds cannot tell by a permutation test: {take}"
        pair = dataclasses.replace(pair, note="; ".join(filter(None, (pair.note, note))))
    return dataclasses.replace(pair, p=p, verdict=verdict)


def _is_powerless(pair: Pair, comparisons: int, method: Method) -> bool:
    """Tell whether no figures of so few seeds could have passed the test."""
    if method.test != "permutation" or 0 in pair.seeds:
        return False
    return least_p(*pair.seeds) * comparisons >= ALPHA


def _compare_rows(board: Board, row: Row, other: Row, items: ReadItems | None) -> Pair:
    """Compare two rows; p is not adjusted yet."""
    assert row.test is not None
    assert other.test is not None
    higher, sign = board.higher_is_better, 1.0 if board.higher_is_better else -1.0
    pair = Pair(
        row=row.name,
        other=other.name,
        difference=Estimate(sign * (row.test.mean - other.test.mean), row.test.n),
        p=None,
        verdict="cannot tell",
        failed=_failure_rate(row),
        other_failed=_failure_rate(other),
        seeds=(len(row.values), len(other.values)),
    )
    if other.kind == "baseline":
        return _compare_with_baseline(pair, row, other.test.mean, sign)
    if min(pair.seeds) < 2:
        fewer = row.name if pair.seeds[0] < 2 else other.name
        return dataclasses.replace(
            pair,
            superiority=superiority(row.values, other.values, higher),
            note=f"one seed of {fewer} says nothing about spread: take three or more",
        )
    gains, other_gains = ([sign * v for v in r.values] for r in (row, other))
    test = compare(gains, other_gains, board.method)
    pair = dataclasses.replace(
        pair,
        difference=_estimate_difference(gains, other_gains, board.method),
        p=test.p,
        effect=hedges_g(gains, other_gains),
        superiority=superiority(gains, other_gains, higher_is_better=True),
    )
    if board.selection and searched_alike(row, other):
        selection_higher = bool(board.selection.get("higher_is_better"))
        first, second = (row, other) if pair.difference.mean >= 0 else (other, row)
        pair = dataclasses.replace(
            pair,
            trials_from=best_of_n.better_from(first.trials, second.trials, selection_higher),
            trials_clear=best_of_n.clearly_better_from(
                first.trials, second.trials, selection_higher
            ),
            trials=min(len(row.trials), len(other.trials)),
        )
    if items is None:
        return pair
    tables, other_tables = (
        [table for run in r.run_ids if (table := items(run)) is not None] for r in (row, other)
    )
    if (len(tables), len(other_tables)) != pair.seeds:  # runs of an older rnnbench kept none
        return pair
    return dataclasses.replace(pair, items=compare_items(tables, other_tables, higher))


def _compare_with_baseline(pair: Pair, row: Row, value: float, sign: float) -> Pair:
    """Test the row's seeds against a baseline, which has one value and no seeds."""
    if len(row.values) < 2:
        return dataclasses.replace(
            pair, note=f"one seed of {row.name} says nothing about spread: take three or more"
        )
    gains = [sign * (v - value) for v in row.values]
    return dataclasses.replace(
        pair,
        difference=estimate(gains),
        p=paired(gains, [0.0] * len(gains)).p,
        superiority=superiority(gains, [0.0], higher_is_better=True),
        note="a baseline has one value: the row's seeds are tested against it by Student's t",
    )


def _estimate_difference(
    gains: Sequence[float], other_gains: Sequence[float], method: Method
) -> Estimate:
    """Return the difference of the centres with its 95% interval: Welch's, or a bootstrap."""
    difference = centre(gains, method) - centre(other_gains, method)
    if method.interval == "bootstrap":
        if np.ptp(gains) == 0 and np.ptp(other_gains) == 0:
            return Estimate(difference, len(gains), None, difference, difference)
        rng = np.random.default_rng(SEED)
        centre_of = np.mean if method.centre == "mean" else np.median
        centres, other_centres = (
            centre_of(np.asarray(s)[rng.integers(0, len(s), (RESAMPLES, len(s)))], axis=1)
            for s in (gains, other_gains)
        )
        low, high = np.quantile(centres - other_centres, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(difference, len(gains), None, float(low), float(high))
    half = float(quantile((1 + LEVEL) / 2, welch(gains, other_gains).df)) * _standard_error(
        gains, other_gains
    )
    return Estimate(difference, len(gains), None, difference - half, difference + half)


def _standard_error(gains: Sequence[float], other_gains: Sequence[float]) -> float:
    return math.sqrt(sum(float(np.var(s, ddof=1)) / len(s) for s in (gains, other_gains)))


def _failure_rate(row: Row) -> float:
    return row.final_failed / row.final_runs if row.final_runs else 0.0
