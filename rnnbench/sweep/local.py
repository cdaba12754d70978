"""The engine of one machine: a pool of warm worker processes.

Written by hand, because `concurrent.futures` gives up a whole pool when one process is killed.
Here a process that dies takes only its own job with it, and is replaced.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rnnbench.spec import Trainer
from rnnbench.sweep.channel import Channel
from rnnbench.sweep.engine import Alive, Died, EngineError, Event, Finished, Job, Report
from rnnbench.sweep.owner import identity
from rnnbench.sweep.worker import Broken, Ready, Setup

# Not `-m`: what is defined in a module run that way is pickled as a member of `__main__`.
WORKER = "import sys; from rnnbench.sweep.worker import main; main(int(sys.argv[1]))"
WORK = "rnnbench.runner:execute"
LOOK_SECONDS = 0.2  # between looks at whether a worker has died without closing its socket
FALSE_STARTS = 3  # workers that may die in a row before one gets ready


@dataclass
class _Slot:
    """A place for one worker, and who is in it."""

    number: int
    process: subprocess.Popen[bytes]
    channel: Channel
    identity: str
    log: Path
    ready: bool = False
    job: Job | None = None


class LocalEngine:
    """Runs each job in one of `workers` processes of this machine.

    Args:
        root: of the store that the workers write to.
        logs: folder for what the workers print.
        work: "module:function" that runs a job, called as `rnnbench.runner.execute` is.
        beat: seconds between signs of life of a busy worker.
    """

    def __init__(
        self,
        *,
        workers: int,
        root: Path,
        logs: Path,
        trainer: Trainer = Trainer(),
        work: str = WORK,
        beat: float = 5.0,
    ) -> None:
        self._setup = Setup(work, str(Path(root).absolute()), trainer, os.getpid(), beat)
        self._logs = Path(logs)
        self._logs.mkdir(parents=True, exist_ok=True)
        self._stopping = False
        self._false_starts = 0
        self._slots: list[_Slot] = []
        for number in range(workers):
            self._slots.append(self._start(number, "wb"))

    def idle(self) -> Sequence[str]:
        return [s.identity for s in self._slots if s.ready and s.job is None and not _has_ended(s)]

    def submit(self, worker: str, job: Job) -> None:
        slot = next(s for s in self._slots if s.identity == worker)
        if not slot.ready or slot.job is not None:
            raise ValueError(f"worker {worker} is not idle")
        slot.job = job
        self._send(slot, job)

    def reply(self, key: str, prune: bool) -> None:
        slot = self._busy(key)
        if slot is not None:
            self._send(slot, prune)

    def kill(self, key: str) -> None:
        slot = self._busy(key)
        if slot is not None:
            _kill_group(slot)

    def poll(self, timeout: float) -> list[Event]:
        deadline = time.monotonic() + timeout
        events: list[Event] = []
        idle = len(self.idle())
        while True:
            rest = max(0.0, deadline - time.monotonic())
            channels = [s.channel for s in self._slots if not s.channel.closed]
            if channels:
                select.select(channels, [], [], min(rest, LOOK_SECONDS))
            else:
                time.sleep(min(rest, LOOK_SECONDS))
            for slot in list(self._slots):
                dead = _has_ended(slot) or slot.channel.closed
                events += self._receive(slot)  # after the look: all that a dead one has sent
                if dead:
                    events += self._bury(slot)
            # A worker that has become ready is worth returning for, too.
            if events or len(self.idle()) > idle or time.monotonic() >= deadline:
                return events

    def stop(self) -> None:
        self._stopping = True
        for slot in self._slots:
            if slot.job is not None:
                slot.process.terminate()

    def close(self) -> None:
        self._stopping = True
        for slot in self._slots:
            _end(slot)
        self._slots.clear()

    def _start(self, number: int, mode: str) -> _Slot:
        log = self._logs / f"worker-{number}.log"
        threads = str(self._setup.trainer.threads)
        environment = {
            **os.environ,
            # Wherever the driver finds its modules, the worker finds them too.
            "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
            # Read when torch is imported; the runner sets torch's own number.
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads),
        }
        ours, theirs = socket.socketpair()
        output: IO[bytes]
        with theirs, open(log, mode) as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", WORKER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                process_group=0,
            )
        slot = _Slot(number, process, Channel(ours), _identity(process.pid), log)
        self._send(slot, self._setup)
        return slot

    def _busy(self, key: str) -> _Slot | None:
        return next((s for s in self._slots if s.job is not None and s.job.key == key), None)

    @staticmethod
    def _send(slot: _Slot, message: object) -> None:
        try:
            slot.channel.send(message)
        except OSError:
            slot.channel.closed = True  # it has died; `poll` buries it

    def _receive(self, slot: _Slot) -> list[Event]:
        events: list[Event] = []
        for message in slot.channel.receive():
            if isinstance(message, Broken):
                raise EngineError(
                    f"a worker cannot start; its log is {slot.log}\n{message.reason.rstrip()}"
                )
            if isinstance(message, Ready):
                slot.ready, self._false_starts = True, 0
            elif isinstance(message, (Alive, Report, Finished)):
                events.append(message)
                if isinstance(message, Finished):
                    slot.job = None
        return events

    def _bury(self, slot: _Slot) -> list[Event]:
        """Clear away a dead worker, and start another in its place."""
        _end(slot)
        reason = f"{_cause(slot.process.returncode)}; its log is {slot.log}"
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
            self._slots[self._slots.index(slot)] = self._start(slot.number, "ab")
        return [] if job is None else [Died(job.key, job.attempt, reason)]


def _identity(pid: int) -> str:
    try:
        return identity(pid)
    except ProcessLookupError:  # dead already; `poll` finds it, and nobody else has this identity
        return f"dead-before-seen:{pid}:{time.monotonic_ns()}"


def _has_ended(slot: _Slot) -> bool:
    """Looks without reaping: until `wait`, nobody else can get the number of the process."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return (
        slot.process.returncode is not None
        or os.waitid(os.P_PID, slot.process.pid, options) is not None
    )


def _kill_group(slot: _Slot) -> None:
    if slot.process.returncode is None:  # not reaped, so the group's number is still its own
        os.killpg(slot.process.pid, signal.SIGKILL)


def _end(slot: _Slot) -> None:
    """End a worker and whatever it started."""
    _kill_group(slot)
    slot.process.wait()
    slot.channel.close()


def _cause(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), perhaps because memory ran out"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"exited with code {code}"
