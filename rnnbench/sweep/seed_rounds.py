"""Rounds of final runs: after each, rows whose comparisons are open, and matter, get more seeds.

What was decided is kept nowhere: it follows from the results of the first seeds, round by round,
so that a driver that starts again decides the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rnnbench.errors import SweepError
from rnnbench.leaderboard.verdicts.equality import equal_within
from rnnbench.results.record import Record
from rnnbench.spec.run_spec import RunSpec
from rnnbench.stats.adaptive_seeds import SeedDecision, SeedPlan, next_seeds
from rnnbench.stats.verdicts import EqualityMargin
from rnnbench.sweep.file.sweep import Sweep, title_of_entry
from rnnbench.sweep.ledger.ledger import TrialRow
from rnnbench.sweep.plan import CellPlan


class CellOfRounds(Protocol):
    """A cell, as far as rounds of seeds need to know it."""

    plan: CellPlan
    rounds: SeedRounds | None

    @property
    def searched(self) -> bool:
        """Tell whether its search is over."""
        ...

    @property
    def lacks_best(self) -> bool:
        """Tell whether it can have no final runs."""
        ...

    def final_rows(self) -> list[TrialRow]:
        """Return its final runs."""
        ...

    def ask_for_seeds(self, count: int) -> None:
        """Have so many final runs in all."""
        ...


@dataclass(frozen=True)
class Figure:
    """The figure of a final run, for its row.

    Attributes:
        value: the headline on test; None of a run that failed.
        headline: name, unit, direction and margin of the metric.
    """

    value: float | None = None
    headline: Mapping[str, Any] = field(default_factory=dict)


class SeedRounds:
    """The rounds of the cells of one task.

    Args:
        name: of the task, for a reader.
        seeds: all seeds that there may be, in their order.
        read: gives the record of a run.
        say: told of each decision, once.

    Attributes:
        done: nothing more is to be run.
        state: how far it is, in words.
    """

    def __init__(
        self,
        name: str,
        plan: SeedPlan,
        seeds: Sequence[int],
        *,
        read: Callable[[str], Record | None],
        say: Callable[[str], None],
    ) -> None:
        self.name, self.plan = name, plan
        self.done, self.state = False, ""
        self._place = {seed: i for i, seed in enumerate(seeds)}
        self._read, self._say = read, say
        self._cells: list[CellOfRounds] = []
        self._figures: dict[str, Figure] = {}
        self._seen: object = None

    def add(self, cell: CellOfRounds) -> None:
        """Let a cell take part, with the seeds that an earlier driver planned for it."""
        self._cells.append(cell)
        cell.rounds = self
        places = [self._place[r.number] for r in cell.final_rows() if r.number in self._place]
        cell.ask_for_seeds(1 + max(places, default=-1))

    def advance(self) -> None:
        """Decide anew, where a run has ended since."""
        if self.done or not all(cell.searched for cell in self._cells):
            return
        rows = [
            {self._place[r.number]: r for r in c.final_rows() if r.number in self._place}
            for c in self._cells
            if not c.lacks_best
        ]
        cells = [c for c in self._cells if not c.lacks_best]
        seen = [sum(r.ended for r in own.values()) for own in rows]
        if seen == self._seen:
            return
        self._seen = seen
        if any(len(own) < self.plan.at_least for own in rows):
            return  # their first seeds are not planned yet
        boards: dict[str, list[int]] = {}
        for i, own in enumerate(rows):
            boards.setdefault(RunSpec.from_dict(json.loads(own[0].spec)).protocol_id, []).append(i)
        decisions = [self._go_through([rows[i] for i in members]) for members in boards.values()]
        for members, (counts, _) in zip(boards.values(), decisions, strict=True):
            for i, count in zip(members, counts, strict=True):
                cells[i].ask_for_seeds(count)
        self.done = all(decision is not None and decision.done for _, decision in decisions)
        self._tell([decision for _, decision in decisions])

    def _go_through(
        self, rows: Sequence[dict[int, TrialRow]]
    ) -> tuple[list[int], SeedDecision | None]:
        """Return how many seeds each row is to have, and the last decision, None before any."""
        counts, decision = [self.plan.at_least] * len(rows), None
        for _ in range(len(rows) * self.plan.at_most):  # each decision gives a seed, or ends it
            wanted = [
                [own.get(place) for place in range(count)]
                for own, count in zip(rows, counts, strict=True)
            ]
            if any(row is None or not row.ended for own in wanted for row in own):
                return counts, decision
            decision = self._decide([[r for r in own if r is not None] for own in wanted])
            if decision.done:
                return counts, decision
            counts = list(decision.seeds)
        raise RuntimeError(f"seeds of {self.name} are given without end: {counts} of {self.plan}")

    def _decide(self, rows: Sequence[Sequence[TrialRow]]) -> SeedDecision:
        figures = [[self._figure(row) for row in own] for own in rows]
        samples = [[f.value for f in own if f.value is not None] for own in figures]
        headline = next((f.headline for own in figures for f in own if f.headline), {})
        margin = equal_within(headline, (v for sample in samples for v in sample))
        return next_seeds(
            samples,
            bool(headline.get("higher_is_better")),
            self.plan,
            margin=EqualityMargin(margin.size, margin.relative) if margin.size else None,
            scale=headline.get("scale", "auto"),
            failures=[sum(f.value is None for f in own) for own in figures],
        )

    def _figure(self, row: TrialRow) -> Figure:
        if row.state != "done":
            return Figure()
        if row.run_id not in self._figures:
            record = self._read(row.run_id)
            value = None if record is None else record.value("test")
            if record is None or value is None:
                raise SweepError(
                    f"the record of {row.run_id} is gone, or has no figure on test, although "
                    f"{row.key} is done: which rows need more seeds cannot be told; put its folder "
                    "back, or list the seeds under final"
                )
            self._figures[row.run_id] = Figure(value, record.headline)
        return self._figures[row.run_id]

    def _tell(self, decisions: Sequence[SeedDecision | None]) -> None:
        reasons = dict.fromkeys(d.reason for d in decisions if d is not None)
        if not reasons:
            return
        planned = sum(sum(d.seeds) for d in decisions if d is not None)
        most = sum(len(d.seeds) for d in decisions if d is not None) * self.plan.at_most
        state = f"{'; '.join(reasons)} ({planned} of {most} runs)"
        if state != self.state:
            self.state = state
            self._say(self.told())

    def told(self) -> str:
        """Return how far it is, in a line for a reader."""
        state = self.state or f"the first {self.plan.at_least} of each row"
        return f"seeds of {self.name}: {state}"


def add_rounds(
    sweep: Sweep,
    cells: Iterable[CellOfRounds],
    read: Callable[[str], Record | None],
    say: Callable[[str], None],
) -> None:
    """Let results decide on the seeds of the cells, task by task, where the sweep asks for it."""
    if sweep.seed_plan is None:
        return
    seeds = sweep.first_seeds(sweep.seed_plan.at_most)
    rounds: dict[str, SeedRounds] = {}
    for cell in cells:
        task = cell.plan.cell.task
        key = json.dumps(task, sort_keys=True)
        if key not in rounds:
            rounds[key] = SeedRounds(
                title_of_entry(task), sweep.seed_plan, seeds, read=read, say=say
            )
        rounds[key].add(cell)
