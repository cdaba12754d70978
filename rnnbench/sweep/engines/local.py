"""The engine of one machine: a pool of warm worker processes.

Written by hand, because `concurrent.futures` gives up a whole pool when one process is killed.
Here a process that dies takes only its own job with it, and is replaced.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnbench.results.store import whole
from rnnbench.spec.run_spec import Trainer
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
from rnnbench.sweep.engines.worker import WORK, CannotStart, Ready, TooLarge, WorkerSetup
from rnnbench.sweep.engines.worker_process import WorkerProcess

LOOK_SECONDS = 0.2  # between looks at whether a worker has died without closing its socket
FALSE_STARTS = 3  # workers that may die in a row before one gets ready
HERE = "this machine"  # the only node of this engine


@dataclass
class _Slot:
    """A place for one worker, with the process that is in it.

    Attributes:
        ready: whether the worker has imported everything.
        job: the job that it runs; None: it is idle.
        too_large: why it ended itself for want of memory; "": it did not.
        leaving: whether it said that it ends itself.
    """

    number: int
    process: WorkerProcess
    ready: bool = False
    job: Job | None = None
    too_large: str = ""
    leaving: bool = False


class LocalEngine:
    """Runs each job in one of `workers` processes of this machine.

    Args:
        root: folder or URL of the store that the workers write to.
        logs: folder for the output of workers outside of trials.
        work: "module:function" that runs a job, called like `rnnbench.training.execute.execute`.
        beat: seconds between signs of life of a busy worker.
        gpus: for each worker the GPUs that it may use, as CUDA_VISIBLE_DEVICES names them; None:
            all that this process sees.
        memory: bytes that a worker may hold; None: no limit.
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
        gpus: Sequence[str] | None = None,
        memory: int | None = None,
    ) -> None:
        if gpus is not None and len(gpus) < workers:
            raise ValueError(f"{workers} workers, and GPUs named for {len(gpus)} of them")
        self._setup = WorkerSetup(work, whole(root), trainer, os.getpid(), beat, memory)
        self._logs, self._gpus = Path(logs), gpus
        self._logs.mkdir(parents=True, exist_ok=True)
        self._stopping = False
        self._false_starts = 0
        self._slots: list[_Slot] = []
        for number in range(workers):
            self._slots.append(_Slot(number, self._start(number, keep_log=False)))

    def idle(self) -> Sequence[str]:
        return [
            s.process.identity
            for s in self._slots
            if s.ready and s.job is None and not s.leaving and not s.process.has_ended()
        ]

    def node(self, worker: str) -> str:
        return HERE

    def nodes(self) -> Sequence[str]:
        return [HERE]

    def submit(self, worker: str, job: Job) -> None:
        slot = next(s for s in self._slots if s.process.identity == worker)
        if not slot.ready or slot.job is not None:
            raise ValueError(f"worker {worker} is not idle")
        slot.job = job
        slot.process.send(job)

    def reply(self, key: str, prune: bool) -> None:
        slot = self._slot_of(key)
        if slot is not None:
            slot.process.send(prune)

    def kill(self, key: str) -> None:
        slot = self._slot_of(key)
        if slot is not None:
            slot.process.kill()

    def poll(self, timeout: float) -> list[Event]:
        deadline = time.monotonic() + timeout
        events: list[Event] = []
        idle = len(self.idle())
        while True:
            seconds_left = max(0.0, deadline - time.monotonic())
            channels = [s.process.channel for s in self._slots if not s.process.channel.closed]
            if channels:
                select.select(channels, [], [], min(seconds_left, LOOK_SECONDS))
            else:
                time.sleep(min(seconds_left, LOOK_SECONDS))
            for slot in list(self._slots):
                dead = slot.process.has_ended() or slot.process.channel.closed
                events += self._receive(slot)  # after the look: all that a dead one has sent
                if dead:
                    events += self._replace(slot)
            # A worker that has become ready is worth returning for, too.
            if events or len(self.idle()) > idle or time.monotonic() >= deadline:
                return events

    def stop(self) -> None:
        self._stopping = True
        for slot in self._slots:
            if slot.job is not None:
                slot.process.ask_to_stop()

    def interrupt(self, key: str) -> None:
        slot = self._slot_of(key)
        if slot is not None:
            slot.process.ask_to_stop()

    def close(self) -> None:
        self._stopping = True
        for slot in self._slots:
            slot.process.bury()
        self._slots.clear()

    def _start(self, number: int, *, keep_log: bool) -> WorkerProcess:
        """Start the worker of a slot; its log begins anew, or is appended to."""
        visible = {} if self._gpus is None else {"CUDA_VISIBLE_DEVICES": self._gpus[number]}
        log = self._logs / f"worker-{number}.log"
        return WorkerProcess(self._setup, log, keep_log=keep_log, environment=visible)

    def _slot_of(self, key: str) -> _Slot | None:
        """Return the slot that runs a job; None where none does."""
        return next((s for s in self._slots if s.job is not None and s.job.key == key), None)

    def _receive(self, slot: _Slot) -> list[Event]:
        """Return the events that a worker has sent, and note what it says of itself."""
        events: list[Event] = []
        for message in slot.process.channel.receive():
            if isinstance(message, CannotStart):
                where = f"\n(the log is {slot.process.log})" if slot.process.wrote() else ""
                raise cannot_start(message.reason.rstrip() + where, message.fault)
            if isinstance(message, Ready):
                slot.ready, self._false_starts = True, 0
            elif isinstance(message, TooLarge):
                slot.too_large = message.reason
            elif isinstance(message, (Alive, ValidationReport, Said, Finished)):
                events.append(message)
                if isinstance(message, Finished):
                    slot.job, slot.leaving = None, message.leaves
        return events

    def _replace(self, slot: _Slot) -> list[Event]:
        """Clear away a dead worker, start another in its place, and return what follows."""
        reason = slot.process.bury()
        job = slot.job
        if not slot.ready:
            self._false_starts += 1
            if self._false_starts >= FALSE_STARTS and not self._stopping:
                raise EngineError(
                    f"{self._false_starts} workers in a row died before they were ready; the last "
                    f"{reason}"
                )
        if self._stopping:
            self._slots.remove(slot)
        else:
            successor = _Slot(slot.number, self._start(slot.number, keep_log=True))
            self._slots[self._slots.index(slot)] = successor
        if job is None:
            return []
        reason = slot.too_large or reason
        return [Died(job.key, job.attempt, reason, HERE, too_large=bool(slot.too_large))]
