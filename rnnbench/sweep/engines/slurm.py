"""The engine of a Slurm cluster: each worker sits in a job of its own, wherever there is room.

No Ray, no whole nodes, no open port: driver and seats (`slurm_seat`) share the folder of results.
Slurm starts the jobs as they fit, ends them at their time limit or for somebody with priority, and
starts them again; the engine reports the trials that were lost by that, and replaces jobs that will
not come back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rnnbench.results.outages import fault_named
from rnnbench.results.store import whole
from rnnbench.spec.run_spec import Trainer
from rnnbench.sweep.engines.mailbox import SeatFolder
from rnnbench.sweep.engines.node_faults import FAULTS, NodeFaults
from rnnbench.sweep.engines.protocol import (
    Alive,
    Died,
    EngineError,
    Event,
    Finished,
    Job,
    Said,
    ValidationReport,
    cannot_start,
)
from rnnbench.sweep.engines.seat import Arrived, Gone
from rnnbench.sweep.engines.slurm_jobs import (
    LIVES,
    WAITS,
    JobState,
    SlurmJobs,
    cancel,
    states,
)
from rnnbench.sweep.engines.slurm_leftovers import end_leftovers, listed, wait_until_ended
from rnnbench.sweep.engines.slurm_options import parameters, read_options
from rnnbench.sweep.engines.slurm_seat import Began, Leaves, SlurmSeat
from rnnbench.sweep.engines.submitted_seat import SubmittedSeat
from rnnbench.sweep.engines.worker import WORK, CannotStart, TooLarge, WorkerSetup
from rnnbench.sweep.file.resources import Resources

LISTEN_SECONDS = 0.2  # between looks into the mailboxes
ASK_SECONDS = 10.0  # between questions to Slurm
SIGN_SECONDS = 10.0  # between the driver's signs of life
SAY_SECONDS = 300.0  # between lines on what is waited for
KILL_SECONDS = 30.0  # for a seat to kill its worker, before its job is cancelled
END_SECONDS = 15.0  # for jobs to be gone
FALSE_STARTS = 3  # jobs a seat that end in a row before any worker gets ready


class SlurmEngine:
    """Runs each job in a worker process in a job of Slurm.

    Args:
        workers: number of seats; Slurm starts as many as there is room for.
        root: the store: a URL, or a folder that every node sees under this name.
        logs: folder for the output of workers, which every node sees under this name.
        options: of `sbatch`, see `slurm_options.read_options`.
        resources: the resources that each seat takes.
        say: prints a line for the user.

    Raises:
        SweepError: Slurm is not here, or does not take the jobs.
    """

    def __init__(
        self,
        *,
        workers: int,
        root: Path | str,
        logs: Path,
        trainer: Trainer = Trainer(),
        work: str = WORK,
        beat: float = 5.0,
        options: Sequence[str] = (),
        resources: Resources = Resources(),
        say: Callable[[str], None] = print,
    ) -> None:
        self._setup = WorkerSetup(work, whole(root), trainer, 0, beat, resources.memory)
        self._logs, self._say = Path(logs).absolute(), say
        self._faults, self._aside = NodeFaults(), set[str]()
        self._stopping, self._arrived, self._false_starts = False, False, 0
        self._asked = self._signed = 0.0
        self._told = time.monotonic()
        chosen = parameters(read_options(options), resources, trainer, self._logs.name)
        folders = self._logs / "slurm"
        end_leftovers(folders, say)
        self._folder = folders / secrets.token_hex(4)
        self._jobs = SlurmJobs(self._folder / "jobs-of-slurm", chosen)
        self._folder.mkdir(parents=True)
        self._sign()
        self._seats = [self._seat(number) for number in range(workers)]
        try:
            self._submit(self._seats)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        say(f"submitted to Slurm: {workers} workers, as job {listed([s.id for s in self._seats])}")

    # ------------------------------------------------------------------ called by the scheduler

    def idle(self) -> Sequence[str]:
        return [s.identity for s in self._seats if s.identity and s.job is None and not s.leaving]

    def node(self, worker: str) -> str:
        return self._seat_of(worker).node

    def nodes(self) -> Sequence[str]:
        return sorted({s.node for s in self._seats if s.identity})

    def submit(self, worker: str, job: Job) -> None:
        seat = self._seat_of(worker)
        if seat.job is not None:
            raise ValueError(f"worker {worker} is not idle")
        seat.job = job
        seat.call("tell", job)

    def reply(self, key: str, prune: bool) -> None:
        if (seat := self._seat_running(key)) is not None:
            seat.call("tell", prune)

    def interrupt(self, key: str) -> None:
        if (seat := self._seat_running(key)) is not None:
            seat.call("interrupt")

    def kill(self, key: str) -> None:
        seat = self._seat_running(key)
        if seat is not None and seat.kill_by is None:
            seat.call("kill")
            seat.kill_by = time.monotonic() + KILL_SECONDS

    def stop(self) -> None:
        self._stopping = True
        cancel([s.id for s in self._seats if s.job is None])  # they would start for nothing
        self._seats = [s for s in self._seats if s.job is not None]
        for seat in self._seats:
            seat.call("interrupt")

    def poll(self, timeout: float) -> list[Event]:
        deadline = time.monotonic() + timeout
        events: list[Event] = []
        idle = len(self.idle())
        while True:
            self._sign()
            for seat in list(self._seats):
                events += self._hear(seat)
            events += self._ask_slurm()
            left = deadline - time.monotonic()
            if events or len(self.idle()) > idle or left <= 0:
                return events
            time.sleep(min(left, LISTEN_SECONDS))

    def close(self) -> None:
        self._stopping = True
        for seat in self._seats:
            with contextlib.suppress(OSError):
                seat.call("end")
        cancel([s.id for s in self._seats])
        self._seats.clear()
        wait_until_ended(self._jobs.ids, END_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)  # else the next driver does it

    # ------------------------------------------------------------------------- what seats say

    def _hear(self, seat: SubmittedSeat) -> list[Event]:
        """Return the events that a seat tells of."""
        events: list[Event] = []
        for message in seat.inbox.receive():
            if isinstance(message, CannotStart):
                if not self._faults.set_aside(seat.node, self.nodes()):
                    raise cannot_start(message.reason, message.fault)
                self._leave_node(seat.node, f"cannot start workers:\n{message.reason}")
                return events
            if isinstance(message, Began):
                seat.node = message.node
            elif isinstance(message, Arrived):
                seat.identity = message.identity
                self._arrived, self._false_starts = True, 0
            elif isinstance(message, TooLarge):
                seat.too_large = message.reason
            elif isinstance(message, Leaves):
                events += self._end_worker(seat, "was lost: Slurm asked for its node", lost=True)
                seat.leaving = True
            elif isinstance(message, Gone):
                events += self._end_worker(seat, message.reason)
                if not message.was_ready:
                    self._count_false_start(message.reason)
            elif isinstance(message, (Alive, ValidationReport, Said, Finished)):
                events.append(message)
                if isinstance(message, Finished):
                    self._note_finished(seat, message)
        if seat in self._seats and seat.started_again():
            events += self._end_worker(seat, "was lost: Slurm started its job again", lost=True)
            seat.leaving = False
        return events

    def _note_finished(self, seat: SubmittedSeat, message: Finished) -> None:
        """Note that a seat is idle; a run that crashed or met a fault counts against its node."""
        seat.job, seat.kill_by, ending = None, None, message.ending
        if message.leaves:
            seat.identity = ""  # until the next worker of the seat arrives
        if ending.status == "crashed" or (ending.fault and fault_named(ending.fault).of_node):
            self._note_fault(seat.node, ending.reason or "a run crashed")
        elif not ending.fault:
            self._faults.clear(seat.node)

    def _end_worker(self, seat: SubmittedSeat, reason: str, *, lost: bool = False) -> list[Event]:
        """Note that the worker of a seat is dead.

        Args:
            lost: whether it went with its job of Slurm.
        """
        job, too_large = seat.job, seat.too_large
        seat.job, seat.identity, seat.too_large, seat.kill_by = None, "", "", None
        if job is None:
            return []
        if not too_large and not lost:
            self._note_fault(seat.node, reason)
        reason = too_large or reason
        return [Died(job.key, job.attempt, reason, seat.node, too_large=bool(too_large), lost=lost)]

    def _note_fault(self, node: str, reason: str) -> None:
        """Count a fault of a node; set the node aside where it only loses and there are others."""
        if self._faults.add(node, self.nodes()):
            self._leave_node(
                node,
                f"lost {FAULTS} trials in a row and ended none between them; the last: {reason}",
            )

    def _leave_node(self, node: str, why: str) -> None:
        """Move the idle seats of a node that was set aside to others."""
        self._say(f"node set aside: {node} {why}")
        self._aside.add(node)
        moved = [s for s in self._seats if s.node == node and s.job is None]
        cancel([s.id for s in moved])
        self._replace(moved)

    def _count_false_start(self, reason: str) -> None:
        """Count a worker that died before it was ready; raise EngineError where all do."""
        self._false_starts += 1
        if self._false_starts >= FALSE_STARTS * len(self._seats) and not self._stopping:
            raise EngineError(
                f"{self._false_starts} workers in a row died before they were ready; the last "
                f"{reason}"
            )

    def _ask_slurm(self) -> list[Event]:
        """Ask for the states of the jobs now and then; return the events that follow."""
        now = time.monotonic()
        for seat in self._seats:
            if seat.kill_by is not None and seat.kill_by < now:  # its node does not answer
                cancel([seat.id])
                seat.kill_by = now + KILL_SECONDS
        if now - self._asked < ASK_SECONDS:
            return []
        told = states([s.id for s in self._seats])
        self._asked = time.monotonic()
        if told is None:  # trials go on without Slurm's controller
            self._complain("Slurm does not answer (squeue); trials that run go on")
            return []
        events: list[Event] = []
        gone: list[SubmittedSeat] = []
        for seat in list(self._seats):
            state = told[seat.id]
            if state.state in LIVES:
                continue
            events += self._hear(seat)  # all that it has said before
            if state.state in WAITS:
                if seat.identity:
                    why = f"was lost: its job {seat.id} was started again by Slurm"
                    events += self._end_worker(seat, why, lost=True)
                continue
            events += self._lose(seat, state)
            gone.append(seat)
        waiting = [told[s.id] for s in self._seats if s not in gone]
        if gone and not self._stopping:
            self._replace(gone)
        elif gone:
            self._seats = [s for s in self._seats if s not in gone]
        elif not self._arrived:
            reasons = sorted({f"{s.state} {s.reason}".strip() for s in waiting})
            self._complain(f"no worker is ready yet; Slurm says: {', '.join(reasons)}")
        return events

    def _lose(self, seat: SubmittedSeat, state: JobState) -> list[Event]:
        """Return the events of a seat whose job has ended for good; count a false start."""
        ready = bool(seat.identity)
        if state.state == "OUT_OF_MEMORY" and ready:
            seat.too_large = f"Slurm ended job {seat.id} for want of memory"
        reason = f"job {seat.id} ended ({state.in_words()})"
        events = self._end_worker(seat, f"was lost: its {reason}", lost=True)
        if not ready and not seat.leaving and not self._stopping:
            self._count_false_start(
                f"job {seat.id} ended ({state.in_words()}){self._jobs.tail(seat.id)}"
            )
        elif state.state == "NODE_FAIL":
            self._say(f"Slurm lost node {seat.node}; its worker is started elsewhere")
        return events

    def _replace(self, seats: Sequence[SubmittedSeat]) -> None:
        """Submit new jobs in the place of these seats."""
        if not seats or self._stopping:
            return
        new = [self._seat(seat.number) for seat in seats]
        for old, seat in zip(seats, new, strict=True):
            self._seats[self._seats.index(old)] = seat
        self._submit(new)

    def _submit(self, seats: Sequence[SubmittedSeat]) -> None:
        places = [
            SlurmSeat(s.folder.path, self._setup, str(self._logs), f"worker-{s.number}")
            for s in seats
        ]
        for seat, job in zip(seats, self._jobs.submit(places, sorted(self._aside)), strict=True):
            seat.id = job

    def _seat(self, number: int) -> SubmittedSeat:
        folder = self._folder / f"seat-{number}-{secrets.token_hex(4)}"
        return SubmittedSeat(number, SeatFolder(folder))

    def _sign(self) -> None:
        """Tell the seats that this driver lives."""
        now = time.monotonic()
        if now - self._signed >= SIGN_SECONDS:
            self._signed = now
            with contextlib.suppress(OSError):  # storage may be away for a while
                SeatFolder(self._folder / "any").driver.write_text(f"{os.getpid()} {now}\n")

    def _complain(self, text: str) -> None:
        """Tell the user what is waited for, now and then."""
        now = time.monotonic()
        if now - self._told >= SAY_SECONDS:
            self._told = now
            self._say(text)

    def _seat_of(self, worker: str) -> SubmittedSeat:
        return next(s for s in self._seats if s.identity == worker)

    def _seat_running(self, key: str) -> SubmittedSeat | None:
        """Return the seat that runs a job; None where none does."""
        return next((s for s in self._seats if s.job is not None and s.job.key == key), None)
