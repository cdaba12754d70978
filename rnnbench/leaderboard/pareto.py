"""Finds the rows of a board that nobody beats for their cost: a pure function."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rnnbench.leaderboard.machine_notes import MACHINE_TIME
from rnnbench.leaderboard.types import Board, Row
from rnnbench.leaderboard.verdicts.pairs import Relation
from rnnbench.stats import Estimate

# Cost of a record: what a reader calls it, and its unit.
COST_NAMES = {
    "train_seconds": ("training time", "s"),
    MACHINE_TIME: ("training time in products", "operations"),
    "tokens": ("training tokens", "target elements"),
    "steps": ("optimiser steps", "steps"),
    "parameters": ("parameters", ""),
    "flops": ("training FLOPs", "FLOP"),
    "peak_memory_bytes": ("peak memory", "bytes"),
    "latency_seconds": ("latency of a sequence", "s"),
    "step_latency_seconds": ("latency of a step", "s"),
    "device_seconds": ("device time", "s"),
}
TIMES = frozenset(name for name in COST_NAMES if name.endswith("_seconds")) | {MACHINE_TIME}
"""Costs that depend on the code path and the machine that a row ran on."""

ALIKE = 1e-3  # costs that differ by a smaller share are the same


@dataclass(frozen=True)
class FrontPoint:
    """A row at its cost.

    Attributes:
        quality: the headline on test.
        on_front: no other row is at least as good at no more cost and better in one of the two.
        dominated_by: the best of the rows that are.
        verdict: the board's on that row against this one: "better", or "equal" or "open", where it
            is cheaper all the same.
        path: the code that ran the row's recurrences, see `Row.path`.
        other_machine: the row was not, or not only, run on the machine of most rows.
    """

    row: str
    cost: float
    quality: Estimate
    on_front: bool
    dominated_by: str | None = None
    verdict: Relation | None = None
    path: str = ""
    other_machine: bool = False


@dataclass(frozen=True)
class ParetoFront:
    """Quality against one cost, for all ranked rows.

    Attributes:
        cost: of `record.COSTS`; a mean over the seeds of each row.
        label, unit: in words.
        points: by rising cost.
    """

    cost: str
    label: str
    unit: str
    points: tuple[FrontPoint, ...]


def fronts(board: Board) -> tuple[ParetoFront, ...]:
    """Set quality against each cost that two rows or more know and that is not the same for all."""
    all_fronts = []
    for cost, (label, unit) in COST_NAMES.items():
        rows = [row for row in board.ranked if cost in row.costs]
        values = [row.costs[cost] for row in rows]
        if cost == "device_seconds" and values == [r.costs.get("train_seconds") for r in rows]:
            continue  # every run had one device
        if len(rows) < 2 or max(values) - min(values) <= ALIKE * max(values):
            continue
        machines = Counter(row.machines for row in rows)
        usual = min(machines, key=lambda m: (-machines[m], m))
        points = [_place_row(row, rows, cost, board, usual) for row in rows]
        all_fronts.append(
            ParetoFront(cost, label, unit, tuple(sorted(points, key=lambda p: (p.cost, p.row))))
        )
    return tuple(all_fronts)


def _place_row(
    row: Row, rows: list[Row], cost: str, board: Board, usual: tuple[str, ...]
) -> FrontPoint:
    sign = 1.0 if board.higher_is_better else -1.0
    quality = row.centre
    assert quality is not None

    def gain(other: Row) -> float:
        assert other.centre is not None
        return sign * (other.centre.mean - quality.mean)

    better = [
        other
        for other in rows
        if other is not row
        and board.verdicts.between(other.name, row.name).relation != "worse"  # for its failures
        and gain(other) >= 0
        and other.costs[cost] <= row.costs[cost]
        and (gain(other) > 0 or other.costs[cost] < row.costs[cost])
    ]
    best = max(better, key=lambda other: (gain(other), -other.costs[cost]), default=None)
    return FrontPoint(
        row=row.name,
        cost=row.costs[cost],
        quality=quality,
        on_front=best is None,
        dominated_by=None if best is None else best.name,
        verdict=None if best is None else board.verdicts.between(best.name, row.name).relation,
        path=row.path,
        other_machine=row.machines != usual,
    )
