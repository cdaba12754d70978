"""The state of one cell: which rows it wants, how many have ended, and which were best."""

from __future__ import annotations

from collections import Counter

from rnnbench.sweep.cell_results import CellResults
from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.ledger import TrialRow
from rnnbench.sweep.plan import CellPlan
from rnnbench.sweep.row_counts import CountedRows
from rnnbench.sweep.seed_rounds import SeedRounds


class CellState:
    """A cell that is not refused, as far as it has come.

    Attributes:
        trials: number of trials wanted now; fewer than planned where the search ended early.
        ended_early: why the search ended early; None where it did not.
        final_seeds: seeds of its final runs, as far as they are known.
        rounds: decides on further ones by results; None where the file lists the seeds.
    """

    def __init__(self, plan: CellPlan, sweep: Sweep) -> None:
        self.plan, self.sweep = plan, sweep
        self.trials = plan.trials
        self.ended_early: str | None = None
        self._seeds = sweep.search.seeds or (sweep.search.seed,)
        self._counted = CountedRows(len(self._seeds))
        self._results = CellResults(sweep.search, higher_is_better=plan.higher_is_better)
        self._finals_planned = False
        self.final_seeds = sweep.seeds
        self.rounds: SeedRounds | None = None

    @property
    def rows(self) -> dict[str, TrialRow]:
        """Return the ledger rows that this sweep currently wants, by trial key."""
        return self._counted.rows

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Return the numbers of trials of the search and of final runs, by (stage, state)."""
        return self._counted.counts

    @property
    def failed_rows(self) -> list[TrialRow]:
        """Return the rows that failed."""
        return list(self._counted.failed.values())

    def search_rows(self) -> list[TrialRow]:
        """Return the rows of the search."""
        return [r for r in self.rows.values() if r.stage == "search"]

    def final_rows(self) -> list[TrialRow]:
        """Return the rows of the final runs."""
        return [r for r in self.rows.values() if r.stage == "final"]

    @property
    def searched(self) -> bool:
        """Tell whether all trials of the search have ended."""
        return self._counted.count_ended("search") >= self.trials

    @property
    def saved(self) -> int:
        """Return the number of planned trials not needed, since the search ended early."""
        return self.plan.trials - self.trials

    @property
    def finals(self) -> int:
        """Return the number of final runs that are wanted, as far as it is known."""
        if self._finals_planned:
            planned = self._counted.count_all("final")
            undecided = self._awaits_a_decision and self._counted.count_ended("final") == planned
            return planned + undecided
        return len(self.final_seeds)

    @property
    def lacks_best(self) -> bool:
        """Tell whether the search is over and none of its trials is fit to be chosen."""
        return bool(self.searched and self.plan.trials and self._results.empty)

    @property
    def complete(self) -> bool:
        """Tell whether nothing of this cell is left to do."""
        if not self.searched:
            return False
        if not self.sweep.seeds or self.lacks_best:
            return True
        return self._finals_planned and self._counted.count_ended("final") == self.finals

    @property
    def _awaits_a_decision(self) -> bool:
        """Tell whether results may still ask for more seeds of any row of the task."""
        return self.rounds is not None and not self.rounds.done and not self.lacks_best

    @property
    def left(self) -> int:
        """Return the number of trials and final runs that have not ended."""
        if self.complete:
            return 0
        ended = self._counted.count_ended("search") + self._counted.count_ended("final")
        return self.trials + self.finals - ended

    def best(self) -> TrialRow | None:
        """Return the finished trial with the best value that breaks no constraint.

        Of equal trials it is the first. Its value is the mean over the seeds of the search.
        """
        number = self._results.best_number()
        return None if number is None else self._summarise(number)

    def front(self) -> list[TrialRow]:
        """Return the trials that get final runs: the best, and compromises between objectives."""
        count = self.sweep.front if len(self.sweep.search.objectives) > 1 else 1
        return [self._summarise(number) for number in self._results.front_numbers(count)]

    def end_search(self, reason: str) -> None:
        """Start no more trials; the search is over once the running ones have ended."""
        if self.searched or self.ended_early:
            return
        idle = [
            row
            for row in self._counted.waiting.values()
            if row.stage == "search" and row.state == "planned" and not row.attempt
            and len(self._counted.trial_rows(row.number)) == 1
        ]  # fmt: skip
        self._counted.remove(idle)
        self.trials, self.ended_early = self._counted.count_all("search"), reason

    def _weigh(self, number: int) -> None:
        """Compare a trial that has ended with the others; perhaps the search ends with it."""
        if not self._counted.trial_ended(number):
            return
        self._results.add(self._counted.trial_rows(number))
        if self._results.reason_to_end is not None:
            self.end_search(self._results.reason_to_end)

    def _summarise(self, number: int) -> TrialRow:
        return self._results.summarise(self._counted.trial_rows(number))
