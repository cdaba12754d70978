"""The rows of one cell, counted as they change, so that no question walks over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rnnbench.sweep.ledger.ledger import TrialRow


class CountedRows:
    """The rows that a cell wants by key, its trials by number, and how many are in which state.

    A trial of a search over several seeds has a row for each seed that was begun. It is done when
    all seeds are, and failed or pruned as soon as one seed is.

    Args:
        seeds: number of seeds that each trial of the search runs on.

    Attributes:
        counts: number of trials and final runs, by (stage, state).
        waiting: rows that have not ended and that no worker of this driver runs.
        failed: rows that failed.
    """

    def __init__(self, seeds: int) -> None:
        self.seeds = seeds
        self.rows: dict[str, TrialRow] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.waiting: dict[str, TrialRow] = {}
        self.failed: dict[str, TrialRow] = {}
        self._trials: dict[int, list[TrialRow]] = {}
        self._states: dict[tuple[str, str | int], str] = {}

    def add(self, row: TrialRow) -> None:
        """Count a row that is new here."""
        self.rows[row.key] = row
        if row.stage == "search":
            self._trials.setdefault(row.number, []).append(row)
        self.update(row)

    def update(self, row: TrialRow, *, in_flight: bool = False) -> None:
        """Count a row again after its state may have changed.

        Args:
            in_flight: whether a worker of this driver runs it.
        """
        if row.ended or in_flight:
            self.waiting.pop(row.key, None)
        else:
            self.waiting[row.key] = row
        if row.state == "failed":
            self.failed[row.key] = row
        else:
            self.failed.pop(row.key, None)
        unit = row.number if row.stage == "search" else row.key
        state = self.trial_state(row.number) if row.stage == "search" else row.state
        self._count(row.stage, unit, state)

    def remove(self, rows: Iterable[TrialRow]) -> None:
        """Forget rows that the sweep no longer asks for."""
        for row in list(rows):
            self.rows.pop(row.key)
            self.waiting.pop(row.key, None)
            self.failed.pop(row.key, None)
            if row.stage == "search":
                self._trials.pop(row.number, None)
            self._count(row.stage, row.number if row.stage == "search" else row.key, None)

    def trial_rows(self, number: int) -> list[TrialRow]:
        """Return the rows of a trial, in the order of its seeds."""
        return self._trials.get(number, [])

    def trial_state(self, number: int) -> str:
        """Return the state of a trial: planned, running, done, pruned or failed."""
        states = [r.state for r in self._trials[number]]
        for state in ("failed", "pruned", "running"):
            if state in states:
                return state
        return "done" if states == ["done"] * self.seeds else "planned"

    def trial_ended(self, number: int) -> bool:
        """Tell whether a trial is done, pruned or failed."""
        return self.trial_state(number) in ("done", "pruned", "failed")

    def trial_numbers(self) -> list[int]:
        """Return the numbers of all trials, ascending."""
        return sorted(self._trials)

    def count_all(self, stage: str) -> int:
        """Return how many trials (stage "search") or final runs (stage "final") there are."""
        return sum(n for (s, _), n in self.counts.items() if s == stage)

    def count_ended(self, stage: str) -> int:
        """Return how many trials (stage "search") or final runs (stage "final") have ended."""
        return sum(self.counts[stage, state] for state in ("done", "pruned", "failed"))

    def _count(self, stage: str, unit: str | int, state: str | None) -> None:
        """Count a trial or final run under its new state; None where it is no longer wanted."""
        before = self._states.pop((stage, unit), None)
        if before is not None:
            self.counts[stage, before] -= 1
        if state is not None:
            self._states[stage, unit] = state
            self.counts[stage, state] += 1
