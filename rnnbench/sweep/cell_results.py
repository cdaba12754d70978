"""Weighs the ended trials of a cell: which are best, and whether its search can end early."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from rnnbench.sweep.file.search_options import Search
from rnnbench.sweep.ledger.ledger import TrialRow
from rnnbench.sweep.rows import trial_from_rows
from rnnbench.sweep.search.objectives import BestTrials, GainRule, TrialPoint


class CellResults:
    """The best trials of a cell so far, and the rule that ends its search early.

    Args:
        search: what the sweep file says of the search.
        higher_is_better: whether the value on validation is to be large.
    """

    def __init__(self, search: Search, *, higher_is_better: bool) -> None:
        self._search, self._higher_is_better = search, higher_is_better
        self._front, self._gain = BestTrials(), GainRule(search.stop)

    @property
    def reason_to_end(self) -> str | None:
        """Say why the search can end early; None while it goes on."""
        return self._gain.verdict

    @property
    def empty(self) -> bool:
        """Tell whether no trial so far is fit to be chosen."""
        return not self._front.points

    def add(self, rows: Sequence[TrialRow]) -> None:
        """Weigh a trial that has ended, given its rows, one for each seed."""
        trial = trial_from_rows(rows, self._search)
        loss = math.inf
        if trial.state == "done" and not any(v > 0 for v in trial.violations.values()):
            first, *others = trial.values
            losses = (-first if self._higher_is_better else first, *others)
            self._front.add(TrialPoint(trial.number, losses))
            loss = losses[0]
        self._gain.end(trial.number, loss)

    def best_number(self) -> int | None:
        """Return the number of the best trial that breaks no constraint; of equals the first."""
        best = self._front.best
        return None if best is None else best.number

    def front_numbers(self, count: int) -> list[int]:
        """Return the numbers of at most `count` of the best compromises, the best first."""
        return [point.number for point in self._front.spread(count)]

    def summarise(self, rows: Sequence[TrialRow]) -> TrialRow:
        """Return the first row of a trial, with the mean value over the seeds of the search."""
        if len(rows) == 1:
            return rows[0]
        return dataclasses.replace(rows[0], value=trial_from_rows(rows, self._search).values[0])
