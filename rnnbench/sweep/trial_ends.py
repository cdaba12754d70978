"""Ends a trial that a worker runs no more, or gives it back to be run again, at once or later."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from rnnbench.results.folder_watch import FolderWatch
from rnnbench.results.outages import Fault, fault_named, is_here
from rnnbench.results.reconnect import Patience
from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.sweep.breaker import TRIES, Breaker
from rnnbench.sweep.cell_search import CellSearch
from rnnbench.sweep.engines.protocol import Died, Ending
from rnnbench.sweep.ledger.ledger import TrialRow
from rnnbench.sweep.ledger.process_identity import host_of
from rnnbench.sweep.lost_workers import index_record, judge, write_failure
from rnnbench.sweep.progress import Pace, Progress
from rnnbench.sweep.running_trials import RunningTrial

SAY_SECONDS = 60.0  # between lines that are passed on from workers


class TrialEnds:
    """Ends trials, or gives them back to be run again.

    Args:
        folder: the results, which must still be there.
        retries: how many of its workers a trial may kill and still be run again.
        lease: seconds without a sign of life after which a worker is given up.
        at: called with the name of each step on a trial's way.

    Attributes:
        ran: number of runs that came to an end.
        lost: number of workers that died with a trial.
        shunned: key -> nodes on which the trial killed its worker.
    """

    def __init__(
        self,
        store: Store,
        folder: FolderWatch,
        progress: Progress,
        pace: Pace,
        breaker: Breaker,
        patience: Patience,
        *,
        retries: int,
        lease: float,
        at: Callable[[str], None],
    ) -> None:
        self._store, self._folder, self._progress, self._pace = store, folder, progress, pace
        self._breaker, self._patience = breaker, patience
        self._retries, self._lease, self._at = retries, lease, at
        self._quiet_until = 0.0
        self.ran = self.lost = 0
        self.shunned: dict[str, set[str]] = {}

    def end(self, cell: CellSearch, row: TrialRow, ending: Ending) -> None:
        """Commit how a run ended."""
        cell.end(row, ending)
        if row.ended:
            self._pace.note_end()
        if row.state == "failed":
            self.note_failure(row)

    def note_failure(self, row: TrialRow) -> None:
        """Tell the user that a trial failed."""
        self._progress.note(f"{row.status}: {row.key}: {row.reason}")

    def pass_on(self, row: TrialRow, text: str) -> None:
        """Tell the user what a worker says; where many say it, what the first says in a minute."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + SAY_SECONDS
            self._progress.note(f"{row.key}: {text}")

    def after_run(
        self, trial: RunningTrial, ending: Ending, nodes: Collection[str], *, stopping: bool
    ) -> bool:
        """End a trial whose run has ended, or put it off where infrastructure was at fault.

        Args:
            nodes: all nodes that have workers.
            stopping: whether the driver is about to end.

        Returns:
            Whether all trials that were put off may be tried again now.
        """
        cell, row = trial.cell, trial.row
        self._at("finished")
        self._folder.raise_if_gone()
        if ending.fault:
            if self._is_sure(ending):
                self._put_off(trial, fault_named(ending.fault), ending, nodes, stopping=stopping)
                return False
            if self._may_differ(ending) and row.deaths < self._retries:
                self._try_elsewhere(trial, ending)
                return False
            if ending.status == Status.INTERRUPTED:  # it was killed once more
                ending = write_failure(self._store, row, Status.CRASHED, ending.reason or "killed")
        self.ran += 1
        if not self._patience.run(lambda again: index_record(self._store, row, ending)):
            self._progress.note(
                f"the record of {row.key} has not come yet from {_place_of(trial)}, where it is "
                "safe; it counts, and is entered when it is here"
            )
        self.end(cell, row, ending)
        if ending.status == Status.INTERRUPTED:
            self._breaker.note_gone(row.key)
            return False
        return self._breaker.note_end()

    def after_death(self, trial: RunningTrial, event: Died, *, stopping: bool) -> None:
        """Plan a trial again whose worker is gone, or fail it: `lost_workers.judge` decides."""
        cell, row, reason = trial.cell, trial.row, event.reason
        self._breaker.note_gone(row.key)
        if trial.frozen:
            reason = f"gave no sign of life for {self._lease:g} s, and {reason}"
        if stopping:
            cell.give_back(row, f"stopped: its worker {reason}")
            return
        self.lost += 1
        self._folder.raise_if_gone()
        record = self._store.read(row.run_id)
        if record is not None and record.attempt == row.attempt and cell.accepts(record, row):
            self._patience.run(lambda again: self._store.index(row.run_id))
            self.end(cell, row, Ending.of(record))  # it died after its work was done
            return
        verdict = judge(row, event, reason, self._retries)
        if verdict.status is None:
            if not event.lost:
                self.shunned.setdefault(row.key, set()).add(event.node)
            cell.give_back(row, f"its worker {reason}", died=not event.lost)
            if verdict.held:
                cell.hold(row.key)
            self._progress.note(verdict.text)
            return
        ending = write_failure(self._store, row, verdict.status, verdict.text)
        self.ran += 1
        self.end(cell, row, ending)

    # -------------------------------------------------------------------- faults of others

    @staticmethod
    def _is_sure(ending: Ending) -> bool:
        """Tell whether a fault is surely not the run's: a worker lacks what the driver has."""
        if ending.status == Status.INTERRUPTED:
            return ending.fault != "worker"  # which the run itself may have killed
        return ending.fault == "image" and bool(ending.missing) and is_here(ending.missing)

    @staticmethod
    def _may_differ(ending: Ending) -> bool:
        """Tell whether a fault may be the run's or not: a GPU that failed, a killed process."""
        return not ending.missing  # what the driver lacks too is the plugin's to mend

    def _put_off(
        self, trial: RunningTrial, fault: Fault, ending: Ending, nodes: Collection[str],
        *, stopping: bool,
    ) -> None:  # fmt: skip
        cell, row, reason = trial.cell, trial.row, ending.reason or fault.what
        if ending.status == "crashed":  # so says the record, written where nobody could tell
            write_failure(self._store, row, Status.INTERRUPTED, reason)
        cell.give_back(row, reason)
        if stopping:
            return
        was_open, tried = self._breaker.is_open, self._breaker.tries_with(row.key)
        wait = self._breaker.note_fault(row.key, fault, reason, _place_of(trial), nodes)
        if wait is None:
            cell.hold(row.key)
            then = f"this was try {TRIES}, and it waits until the sweep is started again"
        else:
            cell.put_off(row.key, wait)
            then = f"it is tried again in {wait:.0f} s"
        if was_open and tried:
            self._progress.note(f"still so: {row.key}: {reason}")
        elif not self._breaker.is_open or wait is None:  # else the breaker has told of it
            self._progress.note(
                f"interrupted: {row.key}: {reason}\n  Not its own fault ({fault.what}): {then}"
            )

    def _try_elsewhere(self, trial: RunningTrial, ending: Ending) -> None:
        """Run a trial again that may have failed for its node, on another one if possible."""
        cell, row, reason = trial.cell, trial.row, ending.reason or ending.fault
        self._breaker.note_gone(row.key)
        write_failure(self._store, row, Status.INTERRUPTED, reason)
        self.shunned.setdefault(row.key, set()).add(trial.node)
        cell.give_back(row, reason, died=True)
        self._progress.note(f"perhaps not its own fault, {row.key} is run again: {reason}")


def _place_of(trial: RunningTrial) -> str:
    """Return a name for the node of a trial, by which a person knows it."""
    host = host_of(trial.worker)
    return host if " " in trial.node or not trial.node else f"{host} ({trial.node[:8]})"
