"""Compares rows over all tasks, from one board a task: a pure function.

One board a task, each data set being one, and rows that all of these have (`compared_tasks`).
Ranks ask in how many places a row stands before others, whatever the distances (Demšar 2006);
normalised scores ask how far it gets (Agarwal et al. 2021). A row all of whose runs failed on a
task stands last there, and scores 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnbench.leaderboard.compared_tasks import choose_boards, rows_with_result, without_gaps
from rnnbench.leaderboard.pairwise import judge_all
from rnnbench.leaderboard.types import Board
from rnnbench.stats import Estimate
from rnnbench.stats.normalised_scores import Scores, improvement, interquartile_estimate, profile
from rnnbench.stats.ranks_over_tasks import cliques, critical_difference, friedman, rank_methods

TAUS = 101  # points of a profile
LEAST_TAU, MOST_TAU = 0.0, 1.25
MOST_ROWS = 30  # that are compared; of more the best on average rank stay


@dataclass(frozen=True)
class Profile:
    """The share of a row's runs whose normalised score is above each of `taus`.

    Attributes:
        low, high: 95% interval, pointwise, by a stratified bootstrap.
    """

    row: str
    taus: tuple[float, ...]
    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Across:
    """Rows compared over tasks. Sequences by row are in the order of `rows`: by average rank.

    Attributes:
        ranks: [row][task], 1 for the best; ties share the mean of their ranks.
        friedman: chi-squared, corrected for ties. friedman_f, p: Iman and Davenport's F; infinite
            where all tasks rank alike.
        critical_difference: Nemenyi's at 0.05, in ranks.
        cliques: the bars of a critical-difference diagram; rows on one bar cannot be told apart.
            () where p is 0.05 or more covers all rows with one bar.
        scores: [row][task][seed]: 0 is the best trivial baseline of the task (without one the
            worst row's mean), 1 the best row's mean.
        iqm: interquartile mean of the scores.
        improvement: [row][other]: the probability that a run of the row beats one of the other,
            averaged over tasks; None on the diagonal.
        outcomes: [row][other]: tasks won, tied and lost, each by the board's test, Holm-adjusted
            over the board's pairs; None on the diagonal.
        notes: what was left out, and what limits the comparison.
    """

    tasks: tuple[str, ...]
    rows: tuple[str, ...]
    ranks: tuple[tuple[float, ...], ...]
    average_ranks: tuple[float, ...]
    friedman: float
    friedman_f: float
    p: float
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]
    scores: tuple[tuple[tuple[float, ...], ...], ...]
    iqm: tuple[Estimate, ...]
    profiles: tuple[Profile, ...]
    improvement: tuple[tuple[Estimate | None, ...], ...]
    outcomes: tuple[tuple[tuple[int, int, int] | None, ...], ...]
    notes: tuple[str, ...]


def across(boards: Sequence[Board]) -> Across | None:
    """Compare rows over tasks; None where no two rows meet on two tasks."""
    notes: list[str] = []
    chosen = choose_boards(boards, notes)
    names, tasks = without_gaps({t: rows_with_result(b) for t, b in chosen.items()}, notes)
    if len(names) < 2 or len(tasks) < 2:
        return None
    picked = [chosen[task] for task in tasks]
    means = np.array([[_mean_of_row(b, name) for b in picked] for name in names])
    signs = np.array([1.0 if b.higher_is_better else -1.0 for b in picked])
    ranks = rank_methods(means * signs, higher_is_better=True)
    order = sorted(range(len(names)), key=lambda i: (ranks[i].mean(), names[i]))
    if len(order) > MOST_ROWS:
        notes.append(f"Only the {MOST_ROWS} rows with the best average ranks are compared.")
        order = order[:MOST_ROWS]
        ranks = rank_methods((means * signs)[order], higher_is_better=True)
    else:
        ranks = ranks[order]
    names = [names[i] for i in order]
    test = friedman(ranks)
    average = [float(r) for r in ranks.mean(1)]
    difference = critical_difference(len(names), len(tasks))
    scores = _normalise(dict(zip(tasks, picked, strict=True)), names, notes)
    if len(tasks) < 5:
        notes.append(f"{len(tasks)} tasks are few for Friedman's test: it can miss differences.")
    if test.p >= 0.05:
        bars: tuple[tuple[str, ...], ...] = (tuple(names),)
        notes.append("Friedman's test finds no difference in ranks, so all rows share one bar.")
    else:
        bars = tuple(tuple(names[i] for i in c) for c in cliques(average, difference))
    taus = np.linspace(LEAST_TAU, MOST_TAU, TAUS)
    return Across(
        tasks=tuple(tasks),
        rows=tuple(names),
        ranks=tuple(tuple(float(v) for v in r) for r in ranks),
        average_ranks=tuple(average),
        friedman=test.chi2,
        friedman_f=test.f,
        p=test.p,
        critical_difference=difference,
        cliques=bars,
        scores=tuple(
            tuple(tuple(float(v) for v in s) for s in row_scores) for row_scores in scores
        ),
        iqm=tuple(interquartile_estimate(row_scores) for row_scores in scores),
        profiles=tuple(
            _make_profile(name, row_scores, taus)
            for name, row_scores in zip(names, scores, strict=True)
        ),
        improvement=_improvement_table(scores),
        outcomes=_count_outcomes(picked, names),
        notes=tuple(notes),
    )


def _mean_of_row(board: Board, name: str) -> float:
    row = rows_with_result(board)[name]
    return math.nan if row.test is None else row.test.mean


def _normalise(boards: Mapping[str, Board], names: Sequence[str], notes: list[str]) -> list[Scores]:
    """Return [row][task]: the seeds' normalised scores."""
    columns = []
    without = []
    for task, board in boards.items():
        sign = 1.0 if board.higher_is_better else -1.0
        rows = rows_with_result(board)
        means = [sign * r.test.mean for r in rows.values() if r.test is not None]
        floors = [sign * r.test.mean for r in board.rows if r.kind == "baseline" and r.test]
        if not floors:
            without.append(task)
        at_zero, at_one = max(floors) if floors else min(means), max(means)
        if (
            at_one <= at_zero
        ):  # nothing beats the baseline: the distance to the worst row is the unit
            at_zero, at_one = min(means), at_zero
        unit = (at_one - at_zero) or 1.0
        columns.append(
            [
                np.array([(sign * v - at_zero) / unit for v in rows[n].values])
                if rows[n].values
                else np.zeros(1)
                for n in names
            ]
        )
    if without:
        notes.append(
            f"No trivial baseline is recorded for {', '.join(without)}: the worst row is 0 there."
        )
    if len({len(c) for column in columns for c in column}) > 1:
        notes.append("Rows have different numbers of seeds; every task counts the same.")
    return [[column[i] for column in columns] for i in range(len(names))]


def _make_profile(name: str, scores: Scores, taus: np.ndarray) -> Profile:
    share, low, high = profile(scores, taus)
    return Profile(name, *(tuple(float(v) for v in a) for a in (taus, share, low, high)))


def _improvement_table(scores: Sequence[Scores]) -> tuple[tuple[Estimate | None, ...], ...]:
    """Return the chance of improvement of each pair; each is computed once, and turned."""
    count = len(scores)
    table: list[list[Estimate | None]] = [[None] * count for _ in range(count)]
    for i in range(count):
        for j in range(i + 1, count):
            estimate = improvement(scores[i], scores[j])
            low, high = estimate.low or 0.0, 1.0 if estimate.high is None else estimate.high
            table[i][j] = estimate
            table[j][i] = Estimate(1 - estimate.mean, estimate.n, None, 1 - high, 1 - low)
    return tuple(tuple(line) for line in table)


def _count_outcomes(
    boards: Sequence[Board], names: Sequence[str]
) -> tuple[tuple[tuple[int, int, int] | None, ...], ...]:
    """Count the tasks that each row won, tied and lost against each other row."""
    count = len(names)
    table = np.zeros((count, count, 3), dtype=int)
    for board in boards:
        outcomes, rows = judge_all(board), rows_with_result(board)
        for i, name in enumerate(names):
            for j, other in enumerate(names):
                if i == j:
                    continue
                failed = rows[name].kind == "failed", rows[other].kind == "failed"
                if any(failed):
                    place = 1 if all(failed) else 2 if failed[0] else 0
                else:
                    place = {"beats": 0, "loses": 2}.get(outcomes[name, other], 1)
                table[i, j, place] += 1
    return tuple(
        tuple(None if i == j else (int(w), int(t), int(x)) for j, (w, t, x) in enumerate(line))
        for i, line in enumerate(table)
    )
