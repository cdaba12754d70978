"""The loop of a sweep's driver: chooses trials, hands them to workers, hears how they end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from rnnbench.results.folder_watch import FolderWatch
from rnnbench.results.reconnect import Patience
from rnnbench.results.store import Store
from rnnbench.sweep.breaker import Breaker
from rnnbench.sweep.cell_search import CellSearch, next_row
from rnnbench.sweep.engines.protocol import (
    Alive,
    Died,
    Ending,
    Engine,
    EngineFactory,
    Finished,
    Said,
    ValidationReport,
)
from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.ledger import Ledger, TrialRow
from rnnbench.sweep.ledger.requests import SweepRequest, SweepRequests
from rnnbench.sweep.ledger.status import SweepStatus
from rnnbench.sweep.operations.meter import SpendingMeter
from rnnbench.sweep.plan import CellPlan
from rnnbench.sweep.progress import Pace, Progress, Snapshot, SweepOutcome, failures, take_snapshot
from rnnbench.sweep.rows import job_of
from rnnbench.sweep.running_trials import ChosenTrial, RunningTrials
from rnnbench.sweep.trial_ends import TrialEnds
from rnnbench.training.stopping import signals

POLL_SECONDS = 0.5
OBEY_SECONDS = 1.0  # between looks at what the user requests
SHOW_SECONDS = 0.25
STOP_SECONDS = 10.0  # for running trials to save what they have


class CellFactory(Protocol):
    """Makes the cells anew from the ledger, with what the user requests beside the file."""

    def __call__(
        self, request: SweepRequest, /
    ) -> tuple[list[CellPlan], dict[str, CellSearch]]: ...


class Scheduler:
    """One start of a sweep. Everything happens in one thread.

    Args:
        make_cells: makes the cells, now and whenever another process changed the ledger.
        patience: waits for a database that is away.
        beat: seconds between signs of life.
        at: called with the name of each step on a trial's way.
        on_breaker: told why, when faults of the infrastructure stop the placing of trials.
        resume: what to type to place trials again.
    """

    def __init__(
        self,
        sweep: Sweep,
        make_cells: CellFactory,
        *,
        store: Store,
        ledger: Ledger,
        requests: SweepRequests,
        engine_factory: EngineFactory,
        progress: Progress,
        patience: Patience,
        beat: float,
        at: Callable[[str], None],
        remarks: Sequence[str] = (),
        on_breaker: Callable[[str], None] = lambda text: None,
        resume: str | None = None,
    ) -> None:
        self.sweep, self.requests, self._make_cells = sweep, requests, make_cells
        self._remarks = tuple(remarks)
        self._request = requests.read()
        self.plans, self.cells = make_cells(self._request)
        self.store, self.ledger, self.progress, self.at = store, ledger, progress, at
        self._status = SweepStatus(store.engine, sweep.name)
        self._meter = SpendingMeter(store.engine, sweep)
        self._folder = FolderWatch([store.root / "runs", store.root / "results.db"])
        self._make_engine, self._beat = engine_factory, beat
        self._engine: Engine | None = None
        self._held: ChosenTrial | None = None  # waits for the first worker
        self._running = RunningTrials()
        self._signal = 0
        self._paused = False
        self._taken = 0
        self._outage = self._over = ""  # why it ends before its end
        self._open = list(self.cells.values())
        self._pace = Pace()
        self._patience = patience
        self._resume = resume or f"rnnbench sweep resume {sweep.name}"
        self._breaker = Breaker(self._resume, progress.note, opened=on_breaker)
        self._ends = TrialEnds(
            store, self._folder, progress, self._pace, self._breaker, patience,
            retries=sweep.retries, lease=ledger.lease, at=at,
        )  # fmt: skip
        self._beaten = self._shown = self._obeyed = self._kept_alive = self._pace.began

    def run(self) -> SweepOutcome:
        """Work until all is done, or a signal comes."""
        try:
            with signals(self._ask_to_stop):
                self._show(force=True)
                self._write_status()
                while not self._signal and not self._over:
                    self._obey()
                    self._feed()
                    self._open = [cell for cell in self._open if not cell.complete]
                    if not self._open or self._is_given_up() or self._over:
                        break
                    self._listen(POLL_SECONDS)
                    self._keep_alive()
                    self._show()
                unfinished = any(not cell.complete for cell in self._open)
                if (self._signal or self._outage or self._over) and unfinished:
                    self._stop()
        finally:
            if self._engine is not None:
                self._engine.close()
        self._folder.raise_if_gone()
        self._show(force=True)
        self._write_status()
        return SweepOutcome(
            sweep=self.sweep.name,
            last=self._snapshot(),
            ran=self._ends.ran,
            taken=self._taken,
            lost_workers=self._ends.lost,
            signal=self._signal,
            failures=failures(list(self.cells.values())),
            remarks=self._remarks,
            outage=self._outage,
            over=self._over,
        )

    # ------------------------------------------------------------------------ placing of trials

    def _feed(self) -> None:
        """Give every idle worker a trial; start the engine when there is a first one."""
        while not self._signal and not self._paused and self._breaker.may_place():
            idle = self._engine.idle() if self._engine is not None else []
            if self._engine is not None and not idle:
                return
            chosen = self._held or self._choose()
            self._held = None
            if chosen is None:
                return
            if self._engine is None:
                self._held = chosen
                left = sum(cell.left for cell in self._open)
                self._engine = self._make_engine(min(self.sweep.workers, left))
                return
            worker = self._worker_for(chosen.row, idle)
            if chosen.cell.claim(chosen.row, worker, chosen.above):
                self._submit(worker, chosen.cell, chosen.row)
                self._breaker.note_placed(chosen.row.key)

    def _worker_for(self, row: TrialRow, idle: Sequence[str]) -> str:
        """Return the first idle worker, if possible on no node where this trial killed one."""
        assert self._engine is not None
        shunned = self._ends.shunned.get(row.key, set())
        return next((w for w in idle if self._engine.node(w) not in shunned), idle[0])

    def _choose(self) -> ChosenTrial | None:
        """Return the next trial that needs a run; end those that need none on the way."""
        while True:
            cell, row = next_row(self._open)
            if cell is None or row is None:
                return None
            if row.ended:  # refused as a configuration, or infeasible
                self._ends.note_failure(row)
                self._keep_alive()  # there may be many, and each took a dry run
                continue
            try:
                record = self.store.read(row.run_id)
            except ValueError as error:
                self._end_unrun(cell, row, Ending("crashed", str(error)), above=0)
                continue
            if record is not None and cell.accepts(record, row):
                self._end_unrun(cell, row, Ending.of(record), above=record.attempt)
                continue
            return ChosenTrial(cell, row, 0 if record is None else record.attempt)

    def _end_unrun(self, cell: CellSearch, row: TrialRow, ending: Ending, *, above: int) -> None:
        """End a trial without a run: there is a record of it, good or damaged."""
        if cell.claim(row, self.ledger.owner, above):
            self._taken += 1
            self._ends.end(cell, row, ending)

    def _submit(self, worker: str, cell: CellSearch, row: TrialRow) -> None:
        assert self._engine is not None
        self._running.start(cell, row, worker, self._engine.node(worker))
        self._engine.submit(worker, job_of(row, self.sweep, prunes=cell.study.prunes))
        self.at("submitted")

    # ----------------------------------------------------------------------- what workers tell

    def _listen(self, timeout: float) -> None:
        """Hear what workers tell, waiting up to `timeout` seconds for it."""
        if self._engine is None:
            if self._held is None or self._paused:  # all that is left waits for another process
                time.sleep(timeout)
            return
        for event in self._engine.poll(timeout):
            trial = self._running.hear(event)
            if trial is None:
                continue
            cell, row = trial.cell, trial.row
            if isinstance(event, Alive):
                trial.usage = event.usage
                continue
            if isinstance(event, Said):
                self._ends.pass_on(row, event.text)
                continue
            if isinstance(event, ValidationReport):
                prune = not self._signal and cell.report(row, event.step, event.value)
                self._engine.reply(row.key, prune)
                continue
            self._running.remove(row.key)
            stopping = bool(self._signal or self._outage or self._over)
            if isinstance(event, Finished):
                nodes = self._engine.nodes()
                if self._ends.after_run(trial, event.ending, nodes, stopping=stopping):
                    for open_cell in self._open:  # what was put off is tried at once
                        open_cell.forget_waits()
            elif isinstance(event, Died):
                self._ends.after_death(trial, event, stopping=stopping)

    def _is_given_up(self) -> bool:
        """Tell whether this driver can do no more for now, and note why."""
        held = [key for cell in self._open for key in cell.held]
        if self._breaker.given_up:
            self._outage = f"It was given up, since it lasts: {self._breaker.as_dict()['what']}."
        elif held and not self._running and all(cell.stuck for cell in self._open):
            which = f"{len(held)} trials wait for infrastructure that failed them each time"
            self._outage = f"{which}, such as {held[0]}; the lines above say how."
        return bool(self._outage)

    def _keep_alive(self) -> None:
        """Extend the leases of workers that were heard of; kill those that were not."""
        now = time.monotonic()
        # A driver that waited for a database or a disk, or was stopped, heard nobody meanwhile.
        self._running.excuse(max(0.0, now - self._kept_alive - 2 * POLL_SECONDS))
        self._kept_alive = now
        for key in self._running.freeze_silent(self.ledger.lease):
            assert self._engine is not None
            self._engine.kill(key)
        if now - self._beaten >= self._beat:
            self._beaten = now
            self._folder.raise_if_gone()
            self.ledger.beat(self._running.take_heard())
            self._write_status()

    # -------------------------------------------------------------------------------- requests

    def _obey(self) -> None:
        """Do what was asked from another terminal, and end searches whose time is up."""
        now = time.monotonic()
        if now - self._obeyed >= OBEY_SECONDS:
            self._obeyed = now
            before = self._request
            self._request = self._patience.run(lambda again: self.requests.read())
            if self._request.stopping:
                self.progress.note("asked to stop, by `rnnbench sweep stop`")
                self._signal = signal.SIGTERM
            if self._request.revision != before.revision:
                self._reload()
        if self._paused != self._request.paused:
            self._paused = self._request.paused
            self.progress.note(
                f"paused: what runs goes on, nothing is started; `{self._resume}`"
                if self._paused
                else "goes on after a pause"
            )
        limit = self.sweep.search.timeout
        if limit is not None and now - self._pace.began > limit:
            for cell in self._open:
                cell.end_search(f"the search's {limit:g} s are over")

    def _reload(self) -> None:
        """Take up what another process changed in the ledger: trials to be run again, or more."""
        self._held = None
        if self._breaker.is_open:
            self.progress.note("trials are placed again, by a request")
        self._breaker.close()
        self.plans, self.cells = self._make_cells(self._request)
        self._open = list(self.cells.values())
        self._running.move_to(self.cells)

    # -------------------------------------------------------------------------------- stopping

    def _ask_to_stop(self, number: int) -> None:
        self._signal = number

    def _stop(self) -> None:
        """Let running trials save what they have, and mark them as interrupted."""
        name = self._over or "an outage that lasts"
        name = signal.Signals(self._signal).name if self._signal else name
        self.progress.note(f"{name}: stopping {len(self._running)} running trials")
        if self._engine is not None:
            self._engine.stop()
        deadline = time.monotonic() + STOP_SECONDS
        while self._running and time.monotonic() < deadline:
            self._listen(POLL_SECONDS)
            self._keep_alive()
        if self._engine is not None:
            self._engine.close()
        for trial in self._running.remove_all():
            trial.cell.give_back(trial.row, f"{name}: did not stop within {STOP_SECONDS:g} s")

    # --------------------------------------------------------------------------------- telling

    def _show(self, *, force: bool = False) -> None:
        """Show how the sweep goes, at most every `SHOW_SECONDS` unless forced."""
        if force or time.monotonic() - self._shown >= SHOW_SECONDS:
            self._shown = time.monotonic()
            self.progress.show(self._snapshot())

    def _write_status(self) -> None:
        """Write the status that `rnnbench sweep status` reads, and what was taken since."""
        uses = self._running.take_uses()
        self._patience.run(lambda again: self._meter.settle(uses))
        self._over = self._meter.account.over()
        snapshot = self._snapshot()
        self._patience.run(lambda again: self._status.write(snapshot.as_dict(), snapshot.busy))

    def _snapshot(self) -> Snapshot:
        return take_snapshot(
            self.plans,
            self.cells,
            self.sweep.seeds,
            pace=self._pace,
            busy=self._running.busy_workers(),
            paused=self._paused,
            outage=self._breaker.as_dict(),
            account=self._meter.account,
        )
