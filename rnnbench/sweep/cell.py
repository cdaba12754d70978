"""One cell on its way: which trial is next, what is known of each, and which was best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rnnbench.record import FINAL, Record, Status
from rnnbench.spec import RunSpec
from rnnbench.sweep.engine import Ending
from rnnbench.sweep.file import Sweep
from rnnbench.sweep.ledger import Ledger, LostSweepError, Row
from rnnbench.sweep.plan import Bench, CellPlan
from rnnbench.sweep.space import Params
from rnnbench.sweep.study import CellStudy, Copies, Known

PUT_OFF_SECONDS = 0.5  # until a trial that was not to be had is tried again


class CellRun:
    """A cell that is not refused.

    Args:
        rows: what the ledger holds of it.
        at: called with a name at each step of a trial's way.
    """

    def __init__(
        self,
        plan: CellPlan,
        sweep: Sweep,
        rows: Sequence[Row],
        *,
        ledger: Ledger,
        bench: Bench,
        copies: Copies,
        at: Callable[[str], None],
    ) -> None:
        self.plan, self.sweep = plan, sweep
        self._ledger, self._bench, self._at = ledger, bench, at
        self.rows: dict[str, Row] = {r.key: r for r in rows}
        self._put_off: dict[str, float] = {}
        self._searched = self._finals_planned = self._complete = False
        self.in_flight: set[str] = set()  # keys that this driver's workers run
        self.started = 0  # by this driver; for fairness between cells
        self.study = CellStudy(
            f"{sweep.name}/{plan.study}",
            plan.space,
            sampler=sweep.search.sampler,
            pruner=sweep.search.pruner,
            seed=sweep.search.seed,
            higher_is_better=plan.higher_is_better,
            known=[
                Known(r.number, r.params, r.state, r.value, r.curve, r.notes, r.run_id)
                for r in self.search_rows()
            ],
            copies=copies,
        )

    def search_rows(self) -> list[Row]:
        return [r for r in self.rows.values() if r.stage == "search"]

    def counted_rows(self) -> list[Row]:
        """The trials within the budget; an earlier start of the sweep may have asked for more."""
        return [r for r in self.search_rows() if r.number < self.plan.trials]

    def final_rows(self) -> list[Row]:
        return [r for r in self.rows.values() if r.stage == "final"]

    @property
    def searched(self) -> bool:
        """All trials of the search have ended."""
        if not self._searched:
            rows = self.counted_rows()
            self._searched = len(rows) == self.plan.trials and all(r.ended for r in rows)
        return self._searched

    @property
    def complete(self) -> bool:
        """Nothing of this cell is left to do."""
        if not self._complete and self.searched:
            lacking = not self.sweep.seeds or (self.plan.trials and self.best() is None)
            self._complete = bool(lacking) or (
                self._finals_planned and all(r.ended for r in self.final_rows())
            )
        return self._complete

    def best(self) -> Row | None:
        """The finished trial with the best value; of equal ones the first."""
        done = [r for r in self.counted_rows() if r.state == "done" and r.value is not None]
        sign = -1 if self.plan.higher_is_better else 1
        return min(done, key=lambda r: (sign * (r.value or 0.0), r.number), default=None)

    @property
    def left(self) -> int:
        """Trials and final runs that have not ended."""
        if self.complete:
            return 0
        ended = [r for r in self._wanted() if r.ended]
        return self.plan.trials + len(self.sweep.seeds) - len(ended)

    def next(self) -> Row | None:
        """A trial to start: one that waits, or a new one; None: there is none for now.

        A new one can have ended already, where its configuration is refused.
        """
        if self.searched and not self._finals_planned:
            self._plan_finals()
        now = time.monotonic()
        for row in self._wanted():
            waits = not row.ended and row.key not in self.in_flight
            if waits and self._put_off.get(row.key, 0.0) <= now:
                return row
        if len(self.search_rows()) < self.plan.trials:
            return self._propose()
        return None

    def put_off(self, row: Row) -> None:
        """It is not to be had now: its folder is in use, or its last owner may still live."""
        self._put_off[row.key] = time.monotonic() + PUT_OFF_SECONDS

    def claim(self, row: Row, owner: str, above: int = 0) -> bool:
        """Take a trial for a worker, with an attempt above that of a record which is there."""
        if not self._ledger.claim(row, owner, above):
            self.put_off(row)
            return False
        self.in_flight.add(row.key)
        self.started += 1
        self._at("claimed")
        return True

    def takes(self, record: Record, row: Row) -> bool:
        """Whether the record that is there is the result of this trial, so that none is run.

        A run that another search pruned might have been let go on by this one.
        """
        if record.status is Status.PRUNED:
            ours = record.sweep == self.sweep.name and record.study == self.plan.study
            return ours and row.stage == "search"
        return record.status in FINAL

    def report(self, row: Row, step: int, value: float) -> bool:
        """A validation of a running trial; True: it is to be stopped."""
        return row.stage == "search" and self.study.report(row.number, step, value)

    def end(self, row: Row, ending: Ending) -> None:
        """Commit how a run ended, and only then tell the study.

        Raises:
            LostSweepError: the trial is no longer this driver's.
        """
        if ending.status == Status.INTERRUPTED:
            self.give_back(row, ending.reason or "interrupted")
            return
        state = ending.status if ending.status in (Status.DONE, Status.PRUNED) else "failed"
        status, reason = ending.status, ending.reason
        if state == "done" and ending.value is None:
            state, status, reason = "failed", "nan", "its record has no finite value"
        written = self._ledger.finish(
            row,
            state=state,
            status=status,
            reason=reason,
            value=ending.value,
            curve=ending.curve,
            notes=self.study.notes(row.number) if row.stage == "search" else None,
        )
        self.in_flight.discard(row.key)
        if not written:
            raise LostSweepError(f"trial {row.key} is held by another attempt than {row.attempt}")
        self._at("committed")
        if row.stage == "search":
            self.study.tell(row.number, state, ending.value, list(ending.curve), row.run_id)
            self._at("told")

    def give_back(self, row: Row, reason: str, died: bool = False) -> None:
        """The run did not end: it waits to be started again."""
        status = Status.CRASHED if died else Status.INTERRUPTED
        written = self._ledger.give_back(row, status=status, reason=reason, died=died)
        self.in_flight.discard(row.key)
        if not written:
            raise LostSweepError(f"trial {row.key} is held by another attempt than {row.attempt}")

    def _wanted(self) -> list[Row]:
        """Rows of trials and seeds that the sweep asks for (it may ask for fewer than before)."""
        return [
            r
            for r in self.rows.values()
            if (r.number < self.plan.trials if r.stage == "search" else self._finals_planned)
        ]

    def _propose(self) -> Row:
        number, params = self.study.propose()
        self._at("asked")
        try:
            spec = self._spec(params, self.sweep.search.seed, test=False)
            row = self._row(f"{number}", number, params, spec)
        except self._bench.refusal as error:  # this configuration, not the cell
            row = self._row(f"{number}", number, params, None)
            row.state, row.status, row.reason = "failed", "refused", str(error)
        self._ledger.plan([row])
        self.rows[row.key] = row
        self._at("planned")
        if row.ended:
            self.study.tell(number, row.state, None, [])
        return row

    def _plan_finals(self) -> None:
        """Plan the fresh seeds of the best configuration, or of the only one."""
        best = self.best()
        if self.plan.trials and best is None:
            return
        params = {} if best is None else best.params
        wanted = []
        for seed in self.sweep.seeds:
            spec = self._spec(params, seed, test=True)
            row = self._row(f"final/{seed}", seed, params, spec, stage="final")
            known = self.rows.get(row.key)
            if known is None or known.run_id != row.run_id:  # another configuration is best now
                wanted.append(row)
        keys = {self._key(f"final/{seed}") for seed in self.sweep.seeds}
        self.rows = {k: r for k, r in self.rows.items() if r.stage == "search" or k in keys}
        self._ledger.plan(wanted)
        self.rows |= {row.key: row for row in wanted}
        self._finals_planned = True
        self._at("finals planned")

    def _spec(self, params: Params, seed: int, *, test: bool) -> RunSpec:
        plan = self.plan
        return self._bench.compose(plan.cell, plan.fixed | params, plan.places, seed, test)

    def _key(self, last: str) -> str:
        return f"{self.sweep.name}/{self.plan.study}/{last}"

    def _row(
        self, last: str, number: int, params: Params, spec: RunSpec | None, stage: str = "search"
    ) -> Row:
        return Row(
            key=self._key(last),
            sweep=self.sweep.name,
            study=self.plan.study,
            stage=stage,
            number=number,
            spec="null" if spec is None else spec.canonical(),
            run_id="" if spec is None else spec.run_id,
            params=params,
        )
