"""The rows of one cell, counted as they change, so that no question walks over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rnnbench.sweep.ledger.ledger import TrialRow


class Accounts:
    """Rows by key, trials by number, and how many stand how.

    A trial of a search over several seeds has a row for each seed that was begun; it is done when
    all are, and failed or pruned with the first that is.

    Args:
        seeds: of a trial.

    Attributes:
        counts: of trials and final runs, by (stage, state).
        waiting: rows that have not ended and that no worker of this driver runs.
    """

    def __init__(self, seeds: int) -> None:
        self.seeds = seeds
        self.rows: dict[str, TrialRow] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.waiting: dict[str, TrialRow] = {}
        self.failed: dict[str, TrialRow] = {}
        self._trials: dict[int, list[TrialRow]] = {}
        self._states: dict[tuple[str, str | int], str] = {}

    def enter(self, row: TrialRow) -> None:
        """A row that is new here."""
        self.rows[row.key] = row
        if row.stage == "search":
            self._trials.setdefault(row.number, []).append(row)
        self.changed(row)

    def changed(self, row: TrialRow, *, flying: bool = False) -> None:
        """The state of a row may be another than it was."""
        if row.ended or flying:
            self.waiting.pop(row.key, None)
        else:
            self.waiting[row.key] = row
        if row.state == "failed":
            self.failed[row.key] = row
        else:
            self.failed.pop(row.key, None)
        unit = row.number if row.stage == "search" else row.key
        state = self.state(row.number) if row.stage == "search" else row.state
        self._count(row.stage, unit, state)

    def leave(self, rows: Iterable[TrialRow]) -> None:
        """Rows that the sweep does not ask for any more."""
        for row in list(rows):
            self.rows.pop(row.key)
            self.waiting.pop(row.key, None)
            self.failed.pop(row.key, None)
            if row.stage == "search":
                self._trials.pop(row.number, None)
            self._count(row.stage, row.number if row.stage == "search" else row.key, None)

    def of(self, number: int) -> list[TrialRow]:
        """The rows of a trial, in the order of its seeds."""
        return self._trials.get(number, [])

    def state(self, number: int) -> str:
        """How a trial stands: planned, running, done, pruned or failed."""
        states = [r.state for r in self._trials[number]]
        for state in ("failed", "pruned", "running"):
            if state in states:
                return state
        return "done" if states == ["done"] * self.seeds else "planned"

    def numbers(self) -> list[int]:
        """Of all trials, ascending."""
        return sorted(self._trials)

    def total(self, stage: str) -> int:
        """Trials, or final runs, that there are."""
        return sum(n for (s, _), n in self.counts.items() if s == stage)

    def ended(self, stage: str) -> int:
        """Trials, or final runs, that have ended."""
        return sum(self.counts[stage, state] for state in ("done", "pruned", "failed"))

    def _count(self, stage: str, unit: str | int, state: str | None) -> None:
        before = self._states.pop((stage, unit), None)
        if before is not None:
            self.counts[stage, before] -= 1
        if state is not None:
            self._states[stage, unit] = state
            self.counts[stage, state] += 1
