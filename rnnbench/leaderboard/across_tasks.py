"""Compares rows over all tasks, from one board a task: a pure function.

One board a task, each data set being one, and rows that all of these have (`compared_tasks`). Two
questions are asked. Over these very tasks, would other seeds say the same? That is judged as the
rows of a board are, by each row's mean skill (`skill`): better, equal or open. And would other
tasks say the same? Ranks ask in how many places a row stands before others, whatever the distances
(Demšar 2006). Pooled scores say how far a row gets (Agarwal et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnbench.leaderboard.compared_tasks import choose_boards, rows_with_result, without_gaps
from rnnbench.leaderboard.pairwise import judge_all
from rnnbench.leaderboard.skill import skills
from rnnbench.leaderboard.types import Board
from rnnbench.leaderboard.verdicts.equality import SKILL, EqualWithin
from rnnbench.leaderboard.verdicts.method import BoardMethod
from rnnbench.leaderboard.verdicts.of_board import judge_samples
from rnnbench.leaderboard.verdicts.pairs import BoardVerdicts, Relation
from rnnbench.stats import Estimate
from rnnbench.stats.normalised_scores import Scores, improvement, interquartile_estimate, profile
from rnnbench.stats.ranks_over_tasks import cliques, critical_difference, friedman, rank_methods

TAUS = 101  # points of a profile
LEAST_TAU, MOST_TAU = 0.0, 1.25
PLACES: tuple[Relation, ...] = ("better", "equal", "open", "worse")  # in `Across.outcomes`
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
        verdicts: on the rows' mean skill over these tasks, over seeds.
        scores: [row][task][seed]: skill: 0 is the best trivial baseline of the task, 1 is perfect;
            a seed that failed has the worst of the task, and 0 at the most.
        skill: mean over tasks, each counting the same, with its 95% interval.
        iqm: interquartile mean of the scores.
        improvement: [row][other]: the probability that a run of the row beats one of the other,
            averaged over tasks; None on the diagonal.
        outcomes: [row][other]: tasks on which the row is better, equal, open and worse, by the
            boards' verdicts; None on the diagonal.
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
    verdicts: BoardVerdicts
    scores: tuple[tuple[tuple[float, ...], ...], ...]
    skill: tuple[Estimate, ...]
    iqm: tuple[Estimate, ...]
    profiles: tuple[Profile, ...]
    improvement: tuple[tuple[Estimate | None, ...], ...]
    outcomes: tuple[tuple[tuple[int, int, int, int] | None, ...], ...]
    notes: tuple[str, ...]


def across(boards: Sequence[Board], margin: EqualWithin | None = None) -> Across | None:
    """Compare rows over tasks; None where no two rows meet on two tasks.

    Args:
        margin: of skill, within which rows are equal; a share of 2% is 0.02 of what there is to
            gain. By default 0.01.
    """
    notes: list[str] = []
    chosen = choose_boards(boards, notes)
    names, tasks = without_gaps({t: rows_with_result(b) for t, b in chosen.items()}, notes)
    if len(names) < 2 or len(tasks) < 2:
        return None
    picked = [chosen[task] for task in tasks]
    means = np.array([[_centre_of_row(b, name) for b in picked] for name in names])
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
    by_task = [skills(b, names, notes, t) for t, b in zip(tasks, picked, strict=True)]
    scores: list[Scores] = [[column[i] for column in by_task] for i in range(len(names))]
    method = picked[0].method
    verdicts = _judge_skill(dict(zip(names, scores, strict=True)), margin, method, notes)
    if len(tasks) < 5:
        notes.append(f"{len(tasks)} tasks are few to tell by ranks what other tasks would say.")
    if test.p >= 0.05:
        bars: tuple[tuple[str, ...], ...] = (tuple(names),)
        notes.append(
            "Friedman's test finds no difference in ranks: what other tasks would say is open."
        )
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
        verdicts=verdicts,
        skill=tuple(verdicts.centres[name] for name in names),
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


def _centre_of_row(board: Board, name: str) -> float:
    row = rows_with_result(board)[name]
    return math.nan if row.centre is None else row.centre.mean


def _judge_skill(
    scores: Mapping[str, Scores], margin: EqualWithin | None, method: BoardMethod, notes: list[str]
) -> BoardVerdicts:
    """Judge the rows' mean skill over the tasks; the k-th seed of a row is that of each task."""
    counts = {len(of_task) for of_row in scores.values() for of_task in of_row}
    if len(counts) > 1:
        notes.append(
            "Rows have different numbers of seeds on different tasks: of a row so many count on "
            "each as it has on all."
        )
    samples = {}
    for name, of_row in scores.items():
        least = min(map(len, of_row))
        samples[name] = [float(v) for v in np.mean([s[:least] for s in of_row], axis=0)]
    asked = margin and EqualWithin(margin.size, origin="asked for")
    headline = {"name": "skill", "higher_is_better": True, "scale": "linear"}
    return judge_samples(samples, {}, headline, method, asked or SKILL)


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
) -> tuple[tuple[tuple[int, int, int, int] | None, ...], ...]:
    """Count the tasks on which each row is better, equal, open and worse against each other row."""
    count = len(names)
    table = np.zeros((count, count, len(PLACES)), dtype=int)
    for board in boards:
        outcomes, rows = judge_all(board), rows_with_result(board)
        for i, name in enumerate(names):
            for j, other in enumerate(names):
                if i == j:
                    continue
                failed = rows[name].kind == "failed", rows[other].kind == "failed"
                relation: Relation
                if any(failed):  # a row without any result stands behind those that have one
                    relation = "open" if all(failed) else "worse" if failed[0] else "better"
                else:
                    relation = outcomes[name, other]
                table[i, j, PLACES.index(relation)] += 1
    return tuple(
        tuple(
            None if i == j else (int(line[0]), int(line[1]), int(line[2]), int(line[3]))
            for j, line in enumerate(lines)
        )
        for i, lines in enumerate(table)
    )
