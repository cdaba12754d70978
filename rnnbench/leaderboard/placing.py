"""Puts the rows of a board in their places: by their centres, with what was judged of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.leaderboard.types import Margin, Row
from rnnbench.leaderboard.verdicts.equality import EqualWithin
from rnnbench.leaderboard.verdicts.method import BoardMethod
from rnnbench.leaderboard.verdicts.of_board import judge_samples
from rnnbench.leaderboard.verdicts.pairs import BoardVerdicts, Relation
from rnnbench.stats import LEVEL

AGAINST: Mapping[Relation, str] = {
    "better": "better than", "worse": "worse than", "equal": "equal to", "open": "open against",
}  # fmt: skip
"""A relation in words, before the name of the other."""


def place_rows(
    rows: Sequence[Row],
    baselines: Mapping[str, float],
    headline: Mapping[str, Any],
    method: BoardMethod,
    asked: EqualWithin | None = None,
    look: float = LEVEL,
) -> tuple[list[Row], BoardVerdicts]:
    """Return the ranked rows in their places, and the verdicts on all pairs of them.

    Args:
        baselines: value of each on test.
        asked: the reader's own margin of equality.
        look: see `BoardVerdicts.look`.
    """
    rows = _names_apart(rows)
    samples = {row.name: row.values for row in rows}
    failures = {row.name: row.final_failed for row in rows}
    verdicts = judge_samples(samples, baselines, headline, method, asked, failures, look)
    by_name = {row.name: row for row in rows}
    order = list(verdicts.places)
    placed = []
    for name in order:
        row, (best, worst) = by_name[name], verdicts.places[name]
        row = dataclasses.replace(
            row,
            rank=best,
            worst_rank=worst,
            contender=name in verdicts.contenders,
            centre=verdicts.centres.get(name, row.test),
            p=None if name == verdicts.leader else verdicts.between(name, verdicts.leader).p,
        )
        placed.append(_set_beside_baselines(row, verdicts, baselines, headline))
    return placed, verdicts


def _names_apart(rows: Sequence[Row]) -> list[Row]:
    """Return the rows, numbered where plugins of odd names give two of them the same."""
    seen: Counter[str] = Counter()
    apart = []
    for row in rows:
        seen[row.name] += 1
        number = f" ({seen[row.name]})" if seen[row.name] > 1 else ""
        apart.append(dataclasses.replace(row, name=row.name + number))
    return apart


def _set_beside_baselines(
    row: Row,
    verdicts: BoardVerdicts,
    baselines: Mapping[str, float],
    headline: Mapping[str, Any],
) -> Row:
    """Return the row with its distance from the best baseline, marked where it is not better."""
    if not baselines or row.centre is None:
        return row
    sign = 1.0 if headline.get("higher_is_better") else -1.0
    name, value = max(sorted(baselines.items()), key=lambda item: sign * item[1])
    gain = sign * (row.centre.mean - value)
    relation = verdicts.against_baseline(row.name, name).relation
    percent = 100 * gain / abs(value) if value else None
    marks = () if relation == "better" else (f"{AGAINST[relation]} the baseline {name}",)
    return dataclasses.replace(
        row, margin=Margin(name, gain, percent, relation), marks=row.marks + marks
    )
