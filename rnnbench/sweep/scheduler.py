"""The loop of a sweep: chooses trials, hands them to workers, hears how they end."""

from __future__ import annotations

import json
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence

from rnnbench.results.record import Record, Status, provenance
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import RunSpec
from rnnbench.sweep.cell_search import CellSearch
from rnnbench.sweep.engines.protocol import (
    Alive,
    Died,
    Ending,
    Engine,
    Finished,
    Job,
    Usage,
    ValidationReport,
)
from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.ledger import Ledger, TrialRow
from rnnbench.sweep.ledger.requests import Busy, Order, SweepRequests
from rnnbench.sweep.lost_workers import judge
from rnnbench.sweep.plan import CellPlan
from rnnbench.sweep.progress import Progress, Snapshot, SweepOutcome, failures, tally
from rnnbench.training.stopping import signals

POLL_SECONDS = 0.5
OBEY_SECONDS = 1.0  # between looks at the orders
SHOW_SECONDS = 0.25
STOP_SECONDS = 10.0  # for running trials to save what they have
RATE_WINDOW = 50  # trials over which the rate is taken

EngineFactory = Callable[[int], Engine]  # number of workers -> engine
Cells = Callable[[Order], tuple[list[CellPlan], dict[str, CellSearch]]]  # from the ledger, anew


class Scheduler:
    """One start of a sweep. Everything happens in one thread."""

    def __init__(
        self,
        sweep: Sweep,
        make_cells: Cells,
        *,
        store: Store,
        ledger: Ledger,
        orders: SweepRequests,
        engine_factory: EngineFactory,
        progress: Progress,
        beat: float,
        at: Callable[[str], None],
    ) -> None:
        self.sweep, self.orders, self._make_cells = sweep, orders, make_cells
        self._order = orders.read()
        self.plans, self.runs = make_cells(self._order)
        self.store, self.ledger, self.progress, self.at = store, ledger, progress, at
        self._make_engine, self._beat = engine_factory, beat
        self._engine: Engine | None = None
        self._held: tuple[CellSearch, TrialRow, int] | None = None  # chosen, and waits for a worker
        self._flying: dict[str, tuple[CellSearch, TrialRow]] = {}
        self._seen: dict[str, float] = {}  # key -> time of the last sign of life
        self._alive: dict[str, int] = {}  # key -> attempt, heard of since the last beat
        self._frozen: set[str] = set()
        self._doing: dict[str, tuple[str, str, Usage]] = {}  # key -> worker, node, what it uses
        self._shunned: dict[str, set[str]] = {}  # key -> nodes on which it killed its worker
        self._signal = 0
        self._paused = False
        self._ran = self._taken = self._lost = 0
        self._open = list(self.runs.values())
        self._began = time.monotonic()
        self._beaten = self._shown = self._obeyed = self._began
        self._ends: deque[float] = deque(maxlen=RATE_WINDOW)

    def run(self) -> SweepOutcome:
        """Work until all is done, or a signal comes."""
        try:
            with signals(self._ask_to_stop):
                self._show(force=True)
                while not self._signal:
                    self._obey()
                    self._feed()
                    self._open = [r for r in self._open if not r.complete]
                    if not self._open:
                        break
                    self._listen(POLL_SECONDS)
                    self._keep_alive()
                    self._show()
                if self._signal:
                    self._stop()
        finally:
            if self._engine is not None:
                self._engine.close()
        self._show(force=True)
        self._tell()
        return SweepOutcome(
            sweep=self.sweep.name,
            last=self._snapshot(),
            ran=self._ran,
            taken=self._taken,
            lost_workers=self._lost,
            signal=self._signal,
            failures=failures(list(self.runs.values())),
        )

    # ------------------------------------------------------------------------ placing of trials

    def _feed(self) -> None:
        """Give every idle worker a trial; start the engine when there is a first one."""
        while not self._signal and not self._paused:
            idle = self._engine.idle() if self._engine is not None else []
            if self._engine is not None and not idle:
                return
            chosen = self._held or self._choose()
            self._held = None
            if chosen is None:
                return
            if self._engine is None:
                self._held = chosen
                left = sum(r.left for r in self._open)
                self._engine = self._make_engine(min(self.sweep.workers, left))
                return
            cell, row, above = chosen
            worker = self._worker_for(row, idle)
            if cell.claim(row, worker, above):
                self._submit(worker, cell, row)

    def _worker_for(self, row: TrialRow, idle: Sequence[str]) -> str:
        """The first that is idle, if possible not where this trial killed its worker."""
        assert self._engine is not None
        shunned = self._shunned.get(row.key, set())
        return next((w for w in idle if self._engine.node(w) not in shunned), idle[0])

    def _choose(self) -> tuple[CellSearch, TrialRow, int] | None:
        """The next trial that needs a run, and the attempt of an earlier record of it, or 0."""
        while True:
            found = self._next()
            if found is None:
                return None
            cell, row = found
            if row.ended:  # refused as a configuration, or infeasible
                self._note_failure(row)
                self._keep_alive()  # there may be many, and each took a dry run
                continue
            try:
                record = self.store.read(row.run_id)
            except ValueError as error:
                self._take(cell, row, Ending("crashed", str(error)), 0)
                continue
            if record is not None and cell.takes(record, row):
                self._take(cell, row, Ending.of(record), record.attempt)
                continue
            return cell, row, 0 if record is None else record.attempt

    def _next(self) -> tuple[CellSearch, TrialRow] | None:
        # Final runs first, since they complete a row of the leaderboard; then the cell that has
        # the fewest trials under way, so that each proposal knows the results of those before.
        order = sorted(self._open, key=lambda r: (not r.searched, len(r.in_flight), r.started))
        for cell in order:
            row = cell.next()
            if row is not None:
                return cell, row
        return None

    def _take(self, cell: CellSearch, row: TrialRow, ending: Ending, above: int) -> None:
        """End a trial whose run is finished already."""
        if cell.claim(row, self.ledger.owner, above):
            self._taken += 1
            self._end(cell, row, ending)

    def _submit(self, worker: str, cell: CellSearch, row: TrialRow) -> None:
        assert self._engine is not None
        self._flying[row.key] = (cell, row)
        self._seen[row.key] = time.monotonic()
        self._doing[row.key] = worker, self._engine.node(worker), Usage()
        asks = row.stage == "search" and cell.study.prunes
        spec = json.loads(row.spec)
        self._engine.submit(worker, Job(row.key, row.attempt, spec, row.sweep, row.study, asks))
        self.at("submitted")

    # ----------------------------------------------------------------------- what workers tell

    def _listen(self, timeout: float) -> None:
        if self._engine is None:
            if self._held is None or self._paused:  # all that is left waits for another process
                time.sleep(timeout)
            return
        for event in self._engine.poll(timeout):
            cell, row = self._flying.get(event.key, (None, None))
            if cell is None or row is None or row.attempt != event.attempt:
                continue  # of an attempt that was given up: it may not write
            self._seen[row.key] = time.monotonic()
            self._alive[row.key] = row.attempt
            if isinstance(event, Alive):
                self._doing[row.key] = *self._doing[row.key][:2], event.usage
                continue
            if isinstance(event, ValidationReport):
                prune = not self._signal and cell.report(row, event.step, event.value)
                self._engine.reply(row.key, prune)
                continue
            del self._flying[row.key]
            self._alive.pop(row.key, None)
            self._doing.pop(row.key, None)
            if isinstance(event, Finished):
                self.at("finished")
                self._ran += 1
                self._index(row, event.ending)
                self._end(cell, row, event.ending)
            elif isinstance(event, Died):
                self._died(cell, row, event)

    def _index(self, row: TrialRow, ending: Ending) -> None:
        """Enter the record that a worker left on disk; workers do not write to the database."""
        try:
            self.store.index(row.run_id)
        except FileNotFoundError:  # the fault lies outside of the run
            self._write_failure(row, Status(ending.status), ending.reason or "no reason is known")

    def _write_failure(self, row: TrialRow, status: Status, reason: str) -> Ending:
        """Leave a record of a run that could not leave its own."""
        record = Record(
            spec=RunSpec.from_dict(json.loads(row.spec)),
            status=status,
            reason=reason,
            attempt=row.attempt,
            sweep=row.sweep,
            study=row.study,
            provenance=provenance(),
        )
        self.store.write(record)
        return Ending.of(record)

    def _end(self, cell: CellSearch, row: TrialRow, ending: Ending) -> None:
        cell.end(row, ending)
        if row.ended:
            self._ends.append(time.monotonic())
        if row.state == "failed":
            self._note_failure(row)

    def _died(self, cell: CellSearch, row: TrialRow, event: Died) -> None:
        """A worker is gone: its trial is run again, unless it has cost too many of them."""
        reason = event.reason
        if row.key in self._frozen:
            self._frozen.discard(row.key)
            reason = f"gave no sign of life for {self.ledger.lease:g} s, and {reason}"
        if self._signal:
            cell.give_back(row, f"stopped: its worker {reason}")
            return
        self._lost += 1
        record = self.store.read(row.run_id)
        if record is not None and record.attempt == row.attempt and cell.takes(record, row):
            self.store.index(row.run_id)
            self._end(cell, row, Ending.of(record))  # it died after its work was done
            return
        verdict = judge(row, event, reason, self.sweep.retries)
        if verdict.status is None:
            if not event.lost:
                self._shunned.setdefault(row.key, set()).add(event.node)
            cell.give_back(row, f"its worker {reason}", died=not event.lost)
            self.progress.note(verdict.text)
            return
        ending = self._write_failure(row, verdict.status, verdict.text)
        self._ran += 1
        self._end(cell, row, ending)

    def _keep_alive(self) -> None:
        """Extend the leases of workers that were heard of; give up those that were not."""
        now = time.monotonic()
        for key in [k for k in self._flying if now - self._seen[k] > self.ledger.lease]:
            assert self._engine is not None
            self._frozen.add(key)
            self._seen[key] = now
            self._engine.kill(key)
        if now - self._beaten >= self._beat:
            self._beaten = now
            self.ledger.beat(self._alive.items())
            self._alive.clear()
            self._tell()

    # ---------------------------------------------------------------------------------- orders

    def _obey(self) -> None:
        """Do what was asked from another terminal, and end searches whose time is up."""
        now = time.monotonic()
        if now - self._obeyed >= OBEY_SECONDS:
            self._obeyed = now
            before, self._order = self._order, self.orders.read()
            if self._order.stopping:
                self.progress.note("asked to stop, by `rnnbench sweep stop`")
                self._signal = signal.SIGTERM
            if self._order.revision != before.revision:
                self._reload()
        if self._paused != self._order.paused:
            self._paused = self._order.paused
            resume = f"rnnbench sweep resume {self.sweep.name}"
            self.progress.note(
                f"paused: what runs goes on, nothing is started; `{resume}`"
                if self._paused
                else "goes on after a pause"
            )
        limit = self.sweep.search.timeout
        if limit is not None and now - self._began > limit:
            for cell in self._open:
                cell.end_search(f"the search's {limit:g} s are over")

    def _reload(self) -> None:
        """Take up what another process changed in the ledger: trials to be run again, or more."""
        self._held = None
        self.plans, self.runs = self._make_cells(self._order)
        self._open = list(self.runs.values())
        for key, (old, _) in list(self._flying.items()):
            cell = self.runs[old.plan.study]
            self._flying[key] = cell, cell.take_over(key)

    # -------------------------------------------------------------------------------- stopping

    def _ask_to_stop(self, number: int) -> None:
        self._signal = number

    def _stop(self) -> None:
        """Let running trials save what they have, and mark them as interrupted."""
        name = signal.Signals(self._signal).name
        self.progress.note(f"{name}: stopping {len(self._flying)} running trials")
        if self._engine is not None:
            self._engine.stop()
        deadline = time.monotonic() + STOP_SECONDS
        while self._flying and time.monotonic() < deadline:
            self._listen(POLL_SECONDS)
            self._keep_alive()
        if self._engine is not None:
            self._engine.close()
        for cell, row in self._flying.values():
            cell.give_back(row, f"{name}: did not stop within {STOP_SECONDS:g} s")
        self._flying.clear()

    # --------------------------------------------------------------------------------- telling

    def _note_failure(self, row: TrialRow) -> None:
        self.progress.note(f"{row.status}: {row.key}: {row.reason}")

    def _show(self, force: bool = False) -> None:
        if force or time.monotonic() - self._shown >= SHOW_SECONDS:
            self._shown = time.monotonic()
            self.progress.show(self._snapshot())

    def _tell(self) -> None:
        """Leave word for `rnnbench sweep status`."""
        self.orders.tell(self._snapshot().as_dict(), self._busy())

    def _busy(self) -> list[Busy]:
        now = time.monotonic()
        return [
            Busy(worker, node, key, usage.memory, usage.gpus, now - self._seen[key])
            for key, (worker, node, usage) in self._doing.items()
            if key in self._flying
        ]

    def _snapshot(self) -> Snapshot:
        cells = tuple(tally(p, self.runs.get(p.study), self.sweep.seeds) for p in self.plans)
        now = time.monotonic()
        rate = None
        if len(self._ends) >= 2:
            rate = len(self._ends) / max(now - min(self._ends[0], now), 1e-3)
        left = sum(c.left for c in cells)
        return Snapshot(
            cells,
            now - self._began,
            None if rate is None else rate * 60,
            None if rate is None else left / rate,
            tuple(self._busy()),
            self._paused,
        )
