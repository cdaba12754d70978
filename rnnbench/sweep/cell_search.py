"""One cell on its way: which trial is next, what is known of each, and which was best."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence

from rnnbench.results.record import FINAL, Record, Status
from rnnbench.results.sharing.origin import stands_in
from rnnbench.sweep.engines.protocol import Ending
from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.ledger import Ledger, LostSweepError, TrialRow
from rnnbench.sweep.plan import CellPlan, PluginAccess
from rnnbench.sweep.row_counts import Accounts
from rnnbench.sweep.rows import INFEASIBLE, TELLS, TrialRows, known_trial
from rnnbench.sweep.search.earlier_sweep import past_rows
from rnnbench.sweep.search.objectives import (
    BestTrials,
    Gain,
    TrialPoint,
    complaints,
    objective_values,
)
from rnnbench.sweep.search.study import CellStudy, Copies, Known

PUT_OFF_SECONDS = 0.5  # until a trial that was not to be had is tried again


class CellSearch:
    """A cell that is not refused.

    Args:
        rows: what the ledger holds of it.
        at: called with a name at each step of a trial's way.

    Attributes:
        trials: that are wanted now; fewer than planned where the search was ended early.
        ended_early: why, where it was.

    Raises:
        SweepError: the trials of the earlier sweep that it is to start from are not to be had.
    """

    def __init__(
        self,
        plan: CellPlan,
        sweep: Sweep,
        rows: Sequence[TrialRow],
        *,
        ledger: Ledger,
        bench: PluginAccess,
        copies: Copies,
        at: Callable[[str], None],
    ) -> None:
        self.plan, self.sweep = plan, sweep
        self._ledger, self._bench, self._at = ledger, bench, at
        self.trials = plan.trials
        self.ended_early: str | None = None
        self._seeds = sweep.search.seeds or (sweep.search.seed,)
        self._maker = TrialRows(plan, sweep, bench)
        self._accounts = Accounts(len(self._seeds))
        self._front, self._gain = BestTrials(), Gain(sweep.search.stop)
        self._put_off: dict[str, float] = {}
        self._finals_planned = False
        self.in_flight: set[str] = set()  # keys that this driver's workers run
        self.started = 0  # by this driver; for fairness between cells
        all_of: dict[int, list[TrialRow]] = {}
        for row in sorted(rows, key=lambda r: (r.number, self._maker.place(r))):
            if row.stage == "search":
                all_of.setdefault(row.number, []).append(row)
            # An earlier start of the sweep may have asked for more trials.
            if row.stage == "final" or row.number < plan.trials:
                self._accounts.enter(row)
        self._proposed = len(all_of)
        past: dict[int, list[TrialRow]] = {}
        for row in past_rows(sweep, plan, ledger.engine):
            past.setdefault(row.number, []).append(row)
        self.study = CellStudy(
            f"{sweep.name}/{plan.study}",
            plan.space,
            sampler=sweep.search.sampler,
            pruner=sweep.search.pruner,
            seed=sweep.search.seed,
            higher_is_better=[plan.higher_is_better, *([False] * (len(self._objectives) - 1))],
            known=[self._known(of) for of in all_of.values()],
            start=plan.start,
            history=[k for of in past.values() if (k := self._known(of)).state in TELLS],
            copies=copies,
        )
        for number in self._accounts.numbers():
            self._settle(number)
        for number in self._accounts.numbers():  # a driver died between two seeds of a trial
            last = self._accounts.of(number)[-1]
            if last.state == "done" and not self._ended(number):
                self._plan_seed(last)
        for row in rows:
            row.curve = []
            self._slim(row)

    @property
    def _objectives(self) -> tuple[str, ...]:
        return self.sweep.search.objectives

    # ------------------------------------------------------------------------- what there is

    @property
    def rows(self) -> dict[str, TrialRow]:
        """By key, those that the sweep asks for."""
        return self._accounts.rows

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How many there are by (stage, state): trials of the search, and final runs."""
        return self._accounts.counts

    @property
    def failed_rows(self) -> list[TrialRow]:
        return list(self._accounts.failed.values())

    def search_rows(self) -> list[TrialRow]:
        return [r for r in self.rows.values() if r.stage == "search"]

    def counted_rows(self) -> list[TrialRow]:
        """The trials within the budget."""
        return self.search_rows()

    def final_rows(self) -> list[TrialRow]:
        return [r for r in self.rows.values() if r.stage == "final"]

    @property
    def searched(self) -> bool:
        """All trials of the search have ended."""
        return self._accounts.ended("search") >= self.trials

    @property
    def saved(self) -> int:
        """Trials that were not needed, since the search was ended early."""
        return self.plan.trials - self.trials

    @property
    def finals(self) -> int:
        """Final runs that are wanted, as far as that is known."""
        if self._finals_planned:
            return self._accounts.total("final")
        return len(self.sweep.seeds)

    @property
    def lacks_best(self) -> bool:
        """Nothing can be reported: the search is over, and no trial of it is fit to be chosen."""
        return bool(self.searched and self.plan.trials and not self._front.points)

    @property
    def complete(self) -> bool:
        """Nothing of this cell is left to do."""
        if not self.searched:
            return False
        if not self.sweep.seeds or self.lacks_best:
            return True
        return self._finals_planned and self._accounts.ended("final") == self.finals

    def best(self) -> TrialRow | None:
        """The finished trial with the best value, of those that break no constraint.

        Of equal ones the first; its value is the mean over the seeds of the search.
        """
        best = self._front.best
        return None if best is None else self._summary(best.number)

    def front(self) -> list[TrialRow]:
        """The best, and, with several objectives, the other compromises that get final runs."""
        count = self.sweep.front if len(self._objectives) > 1 else 1
        return [self._summary(point.number) for point in self._front.spread(count)]

    @property
    def left(self) -> int:
        """Trials and final runs that have not ended."""
        if self.complete:
            return 0
        ended = self._accounts.ended("search") + self._accounts.ended("final")
        return self.trials + self.finals - ended

    # ------------------------------------------------------------------------- what is next

    def next(self) -> TrialRow | None:
        """A trial to start: one that waits, or a new one; None: there is none for now.

        A new one can have ended already, where its configuration is refused or infeasible.
        """
        if self.searched and not self._finals_planned:
            self._plan_finals()
        now = time.monotonic()
        for row in self._accounts.waiting.values():
            if self._put_off.get(row.key, 0.0) <= now and self._asked_for(row):
                return row
        if self._proposed < self.trials:
            return self._propose()
        return None

    def end_search(self, reason: str) -> None:
        """Take the cell for searched once what runs has ended; trials that wait are not run."""
        if self.searched or self.ended_early:
            return
        idle = [
            row
            for row in self._accounts.waiting.values()
            if row.stage == "search" and row.state == "planned" and not row.attempt
            and len(self._accounts.of(row.number)) == 1
        ]  # fmt: skip
        self._accounts.leave(idle)
        self.trials, self.ended_early = self._accounts.total("search"), reason

    def put_off(self, row: TrialRow) -> None:
        """It is not to be had now: its folder is in use, or its last owner may still live."""
        self._put_off[row.key] = time.monotonic() + PUT_OFF_SECONDS

    def claim(self, row: TrialRow, owner: str, above: int = 0) -> bool:
        """Take a trial for a worker, with an attempt above that of a record which is there."""
        if not self._ledger.claim(row, owner, above):
            self.put_off(row)
            return False
        self._put_off.pop(row.key, None)
        self.in_flight.add(row.key)
        self._accounts.changed(row, flying=True)
        self.started += 1
        self._at("claimed")
        return True

    def take_over(self, key: str) -> TrialRow:
        """The row of a trial that a worker runs already, since before this object was made."""
        row = self.rows[key]
        self.in_flight.add(key)
        self._accounts.changed(row, flying=True)
        return row

    def takes(self, record: Record, row: TrialRow) -> bool:
        """Whether the record that is there is the result of this trial, so that none is run.

        A run that another search pruned might have been let go on by this one; one that was
        imported counts once it was verified.
        """
        if not stands_in(record):
            return False
        if record.status is Status.PRUNED:
            ours = record.sweep == self.sweep.name and record.study == self.plan.study
            return ours and row.stage == "search"
        return record.status in FINAL

    def report(self, row: TrialRow, step: int, value: float) -> bool:
        """A validation of a running trial; True: it is to be stopped."""
        if row.stage != "search" or len(self._seeds) > 1:
            return False
        return self.study.report(row.number, step, value)

    # ------------------------------------------------------------------------- how it ended

    def end(self, row: TrialRow, ending: Ending) -> None:
        """Commit how a run ended, and only then tell the study.

        Raises:
            LostSweepError: the trial is no longer this driver's.
        """
        if ending.status == Status.INTERRUPTED:
            self.give_back(row, ending.reason or "interrupted")
            return
        state = ending.status if ending.status in (Status.DONE, Status.PRUNED) else "failed"
        status, reason = ending.status, ending.reason
        if state == "done":
            try:
                objective_values(self._objectives, ending.value, ending.costs)
            except ValueError as error:
                state, status, reason = "failed", "nan", str(error)
        if state == "done" and row.stage == "search" and len(self._seeds) > 1:
            place = self._maker.place(row)
            assert ending.value is not None
            if self.study.report(row.number, place, ending.value) and place + 1 < len(self._seeds):
                state = status = Status.PRUNED.value
                seeds = ", ".join(map(str, self._seeds[: place + 1]))
                reason = f"by the search: worse than the best configuration on seeds {seeds}"
        written = self._ledger.finish(
            row,
            state=state,
            status=status,
            reason=reason,
            value=ending.value,
            curve=ending.curve,
            costs=ending.costs,
            notes=self.study.notes(row.number) if row.stage == "search" else None,
        )
        self.in_flight.discard(row.key)
        if not written:
            raise LostSweepError(f"trial {row.key} is held by another attempt than {row.attempt}")
        self._accounts.changed(row)
        self._at("committed")
        if row.stage == "search":
            if self._ended(row.number):
                self._tell(row.number)
            else:
                self._plan_seed(row)
        self._slim(row)

    def give_back(self, row: TrialRow, reason: str, died: bool = False) -> None:
        """The run did not end: it waits to be started again."""
        status = Status.CRASHED if died else Status.INTERRUPTED
        written = self._ledger.give_back(row, status=status, reason=reason, died=died)
        self.in_flight.discard(row.key)
        if not written:
            raise LostSweepError(f"trial {row.key} is held by another attempt than {row.attempt}")
        self._accounts.changed(row)

    def _ended(self, number: int) -> bool:
        return self._accounts.state(number) in ("done", "pruned", "failed")

    def _tell(self, number: int) -> None:
        """Tell the study of a trial that has ended."""
        known = self._known(self._accounts.of(number))
        self.study.tell(
            number, known.state, known.values, known.curve, known.run_id, known.violations
        )
        self._at("told")
        self._settle(number)

    def _settle(self, number: int) -> None:
        """Weigh a trial that has ended; perhaps the search has come to its end with it."""
        if not self._ended(number):
            return
        known = self._known(self._accounts.of(number))
        loss = math.inf
        if known.state == "done" and not any(v > 0 for v in known.violations.values()):
            first, *others = known.values
            losses = (-first if self.plan.higher_is_better else first, *others)
            self._front.add(TrialPoint(number, losses))
            loss = losses[0]
        self._gain.end(number, loss)
        if self._gain.verdict is not None:
            self.end_search(self._gain.verdict)

    def _known(self, rows: Sequence[TrialRow]) -> Known:
        return known_trial(rows, self.sweep.search)

    def _summary(self, number: int) -> TrialRow:
        rows = self._accounts.of(number)
        if len(rows) == 1:
            return rows[0]
        return dataclasses.replace(rows[0], value=self._known(rows).values[0])

    def _slim(self, row: TrialRow) -> None:
        """Forget of a finished trial what only the ledger and the study need."""
        if row.stage == "search" and row.state in ("done", "pruned"):
            row.spec, row.curve, row.notes = "", [], {}

    def _asked_for(self, row: TrialRow) -> bool:
        return row.stage == "search" or self._finals_planned

    # ------------------------------------------------------------------------- new rows

    def _propose(self) -> TrialRow:
        number, params = self.study.propose()
        self._proposed += 1
        self._at("asked")
        last = self._maker.last(number, self._seeds[0])
        try:
            spec = self._maker.spec(params, self._seeds[0], test=False)
            row = self._maker.row(last, number, params, spec, notes=self.study.notes(number))
            row.costs = self._maker.costs_beforehand(spec)
            if broken := complaints(self.sweep.search.constraints, row.costs):
                row.state, row.status, row.reason = "failed", INFEASIBLE, broken
        except self._bench.refusal as error:  # this configuration, not the cell
            row = self._maker.row(last, number, params, None, notes=self.study.notes(number))
            row.state, row.status, row.reason = "failed", "refused", str(error)
        self._ledger.plan([row])
        self._accounts.enter(row)
        self._at("planned")
        if row.ended:
            self._tell(number)
        return row

    def _plan_seed(self, before: TrialRow) -> None:
        """The next seed of a trial."""
        seed = self._seeds[len(self._accounts.of(before.number))]
        spec = self._maker.spec(before.params, seed, test=False)
        last = self._maker.last(before.number, seed)
        row = self._maker.row(last, before.number, before.params, spec, notes=before.notes)
        self._ledger.plan([row])
        self._accounts.enter(row)
        self._at("planned")

    def _plan_finals(self) -> None:
        """Plan the fresh seeds of the best configurations, or of the only one."""
        rows = self._maker.finals(self.front() if self.plan.trials else [None])
        if not rows:
            return
        known = {row.key: row.run_id for row in self.final_rows()}
        wanted = [r for r in rows if known.get(r.key) != r.run_id]  # another one is best now
        kept = {row.key for row in rows} - {row.key for row in wanted}
        self._accounts.leave(r for r in self.final_rows() if r.key not in kept)
        self._ledger.plan(wanted)
        for row in wanted:
            self._accounts.enter(row)
        self._finals_planned = True
        self._at("finals planned")
