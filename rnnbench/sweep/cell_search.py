"""The search of one cell: which trial is next, and what follows when a trial ends.

`CellSearch` joins the study, which proposes, with the ledger, which is the truth. How far it
has come stands in `cell_state`, how rows are made in `rows`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rnnbench.results.record import FINAL, Record, Status
from rnnbench.results.sharing.origin import stands_in
from rnnbench.sweep.cell_state import CellState
from rnnbench.sweep.engines.protocol import Ending
from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.ledger import Ledger, LostSweepError, TrialRow
from rnnbench.sweep.plan import CellPlan, PluginAccess
from rnnbench.sweep.rows import TELLS, TrialRows, trial_from_rows
from rnnbench.sweep.search.earlier_sweep import past_rows
from rnnbench.sweep.search.objectives import MissingValueError, objective_values
from rnnbench.sweep.search.study import CellStudy, KnownTrial, StudyCopies

PUT_OFF_SECONDS = 0.5  # until a trial that could not be claimed is tried again


class CellSearch(CellState):
    """The search and the final runs of a cell that is not refused.

    Args:
        rows: all rows of this cell in the ledger.
        at: called with a name at each step of a trial's way.

    Attributes:
        in_flight: keys of the rows that this driver's workers run.
        held: keys of the rows that this driver runs no more, although they have not ended.
        started: number of runs that this driver started, for fairness between cells.

    Raises:
        SweepError: the earlier sweep that `search.start` names cannot be used.
    """

    def __init__(
        self,
        plan: CellPlan,
        sweep: Sweep,
        rows: Sequence[TrialRow],
        *,
        ledger: Ledger,
        plugins: PluginAccess,
        copies: StudyCopies,
        at: Callable[[str], None],
    ) -> None:
        super().__init__(plan, sweep)
        self._ledger, self._at = ledger, at
        self._maker = TrialRows(plan, sweep, plugins)
        self._retry_at: dict[str, float] = {}  # key -> time before which it is not claimed again
        self.in_flight: set[str] = set()
        self.held: set[str] = set()
        self.started = 0
        searched_rows: dict[int, list[TrialRow]] = {}
        for row in sorted(rows, key=lambda r: (r.number, self._maker.seed_index(r))):
            if row.stage == "search":
                searched_rows.setdefault(row.number, []).append(row)
            # An earlier start of the sweep may have asked for more trials.
            if row.stage == "final" or row.number < plan.trials:
                self._counted.add(row)
        self._proposed = len(searched_rows)
        known = [self._trial_of(trial_rows) for trial_rows in searched_rows.values()]
        self.study = self._open_study(known, copies)
        for number in self._counted.trial_numbers():
            self._weigh(number)
        for number in self._counted.trial_numbers():  # a driver died between two seeds of a trial
            last = self._counted.trial_rows(number)[-1]
            if last.state == "done" and not self._counted.trial_ended(number):
                self._plan_next_seed(last)
        for row in rows:
            row.curve = []
            _slim(row)

    def _open_study(self, known: Sequence[KnownTrial], copies: StudyCopies) -> CellStudy:
        """Return the study of this cell, with its trials and those of the earlier sweep."""
        search, plan = self.sweep.search, self.plan
        past: dict[int, list[TrialRow]] = {}
        for row in past_rows(self.sweep, plan, self._ledger.engine):
            past.setdefault(row.number, []).append(row)
        past_trials = [self._trial_of(trial_rows) for trial_rows in past.values()]
        return CellStudy(
            f"{self.sweep.name}/{plan.study}",
            plan.space,
            sampler=search.sampler,
            pruner=search.pruner,
            seed=search.seed,
            higher_is_better=[plan.higher_is_better, *([False] * (len(search.objectives) - 1))],
            known=known,
            start=plan.start,
            history=[trial for trial in past_trials if trial.state in TELLS],
            copies=copies,
        )

    # ------------------------------------------------------------------------- what is next

    def next(self) -> TrialRow | None:
        """Return a trial to start, a waiting one or a new one; None where there is none for now.

        A new one can have ended already, where its configuration is refused or infeasible.
        """
        if self.rounds is not None:
            self.rounds.advance()
        if self.searched and not self._finals_planned:
            self._plan_finals()
        now = time.monotonic()
        for row in self._counted.waiting.values():
            if self._wanted(row) and self._retry_at.get(row.key, 0.0) <= now:
                return row
        if self._proposed < self.trials:
            return self._propose()
        return None

    def _wanted(self, row: TrialRow) -> bool:
        """Tell whether a waiting row may be started by this driver."""
        return (row.stage == "search" or self._finals_planned) and row.key not in self.held

    @property
    def stuck(self) -> bool:
        """Tell whether this driver can do no more, since all that is left is held, or awaits it."""
        idle = not self.in_flight and self._proposed >= self.trials
        waits = bool(self.held) or self._awaits_a_decision
        return waits and idle and not any(map(self._wanted, self._counted.waiting.values()))

    def put_off(self, key: str, seconds: float) -> None:
        """Start a row again only after so many seconds."""
        self._retry_at[key] = time.monotonic() + seconds

    def hold(self, key: str) -> None:
        """Start a row no more; the next driver does."""
        self.held.add(key)

    def forget_waits(self) -> None:
        """Start the rows that were put off or held as soon as there is a worker."""
        self._retry_at.clear()
        self.held.clear()

    def claim(self, row: TrialRow, owner: str, above: int = 0) -> bool:
        """Claim a trial for a worker, with an attempt above that of an existing record.

        Returns:
            False where it cannot be claimed now: its folder is in use, or its last owner may still
            be alive. It is tried again after `PUT_OFF_SECONDS`.
        """
        if not self._ledger.claim(row, owner, above):
            self._retry_at[row.key] = time.monotonic() + PUT_OFF_SECONDS
            return False
        self._retry_at.pop(row.key, None)
        self.in_flight.add(row.key)
        self._counted.update(row, in_flight=True)
        self.started += 1
        self._at("claimed")
        return True

    def take_over(self, key: str) -> TrialRow:
        """Return the row of a trial that a worker was running before this object was made."""
        row = self.rows[key]
        self.in_flight.add(key)
        self._counted.update(row, in_flight=True)
        return row

    def accepts(self, record: Record, row: TrialRow) -> bool:
        """Tell whether an existing record is the result of this trial, so that none is run.

        A run that another search pruned might have been let go on by this one; an imported run
        counts once it was verified.
        """
        if not stands_in(record):
            return False
        if record.status is Status.PRUNED:
            ours = record.sweep == self.sweep.name and record.study == self.plan.study
            return ours and row.stage == "search"
        return record.status in FINAL

    def report(self, row: TrialRow, step: int, value: float) -> bool:
        """Note a validation of a running trial; return whether it is to be stopped."""
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
        state, status, reason = self._judge(row, ending)
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
        self._leave(row, written)
        self._at("committed")
        if row.stage == "search":
            if self._counted.trial_ended(row.number):
                self._tell_study(row.number)
            else:
                self._plan_next_seed(row)
        _slim(row)

    def give_back(self, row: TrialRow, reason: str, *, died: bool = False) -> None:
        """Plan a run again that did not come to its end.

        Args:
            died: whether its worker died of it.

        Raises:
            LostSweepError: the trial is no longer this driver's.
        """
        status = Status.CRASHED if died else Status.INTERRUPTED
        self._leave(row, self._ledger.give_back(row, status=status, reason=reason, died=died))

    def _judge(self, row: TrialRow, ending: Ending) -> tuple[str, str, str | None]:
        """Return (state, status, reason) of a run that came to its end."""
        state = ending.status if ending.status in (Status.DONE, Status.PRUNED) else "failed"
        if state != "done":
            return state, ending.status, ending.reason
        try:
            objective_values(self.sweep.search.objectives, ending.value, ending.costs)
        except MissingValueError as error:
            return "failed", "nan", str(error)
        if row.stage == "search" and len(self._seeds) > 1:
            index = self._maker.seed_index(row)
            assert ending.value is not None
            if self.study.report(row.number, index, ending.value) and index + 1 < len(self._seeds):
                seeds = ", ".join(map(str, self._seeds[: index + 1]))
                pruned = Status.PRUNED.value
                why = f"by the search: worse than the best configuration on seeds {seeds}"
                return pruned, pruned, why
        return state, ending.status, ending.reason

    def _leave(self, row: TrialRow, written: bool) -> None:
        """Note that no worker runs a row any more; raise where another attempt holds it."""
        self.in_flight.discard(row.key)
        if not written:
            raise LostSweepError(f"trial {row.key} is held by another attempt than {row.attempt}")
        self._counted.update(row)

    def _tell_study(self, number: int) -> None:
        """Tell the study how a trial ended."""
        trial = self._trial_of(self._counted.trial_rows(number))
        self.study.tell(
            number, trial.state, trial.values, trial.curve, trial.run_id, trial.violations
        )
        self._at("told")
        self._weigh(number)

    def _trial_of(self, rows: Sequence[TrialRow]) -> KnownTrial:
        return trial_from_rows(rows, self.sweep.search)

    # ------------------------------------------------------------------------- new rows

    def _propose(self) -> TrialRow:
        """Ask the study for a new trial, and plan its first seed."""
        number, params = self.study.propose()
        self._proposed += 1
        self._at("asked")
        row = self._maker.proposed(number, params, self.study.notes(number))
        self._plan(row)
        if row.ended:
            self._tell_study(number)
        return row

    def _plan_next_seed(self, before: TrialRow) -> None:
        self._plan(self._maker.next_seed(before, len(self._counted.trial_rows(before.number))))

    def _plan(self, row: TrialRow) -> None:
        """Enter a new row into the ledger, and count it."""
        self._ledger.plan([row])
        self._counted.add(row)
        self._at("planned")

    def _plan_finals(self) -> None:
        """Plan the fresh seeds of the best configurations, or of the only one."""
        chosen = self.front() if self.plan.trials else [None]
        rows = self._maker.finals(chosen, self.final_seeds)
        if not rows:
            return
        planned = {row.key: row.run_id for row in self.final_rows()}
        new = [r for r in rows if planned.get(r.key) != r.run_id]  # another one is best now
        kept = {row.key for row in rows} - {row.key for row in new}
        self._counted.remove(r for r in self.final_rows() if r.key not in kept)
        self._ledger.plan(new)
        for row in new:
            self._counted.add(row)
        self._finals_planned = True
        self._at("finals planned")

    def ask_for_seeds(self, count: int) -> None:
        """Have so many final runs in all, or as many as there are already."""
        if count > len(self.final_seeds):
            self.final_seeds = self.sweep.first_seeds(count)
            self._finals_planned = False


def next_row(
    cells: Sequence[CellSearch],
) -> tuple[CellSearch, TrialRow] | tuple[None, None]:
    """Return a trial to start and its cell; (None, None) where there is none for now.

    Final runs come first, since they complete a row of the leaderboard; then the cell that has the
    fewest trials under way, so that each proposal knows the results of those before.
    """
    for cell in sorted(cells, key=lambda c: (not c.searched, len(c.in_flight), c.started)):
        row = cell.next()
        if row is not None:
            return cell, row
    return None, None


def _slim(row: TrialRow) -> None:
    """Forget those parts of a finished trial that only the ledger and the study need."""
    if row.stage == "search" and row.state in ("done", "pruned"):
        row.spec, row.curve, row.notes = "", [], {}
