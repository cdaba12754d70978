"""A seat: what the engine of a cluster puts on a node to hold one worker process.

The worker is the same process that the local engine starts, in a process group of its own: it can
be killed with all that it started, and ends when its seat is gone. The seat imports no torch, so
that it is small and starts within a second.
"""

from __future__ import annotations

import dataclasses
import os
import select
import socket
from pathlib import Path
from typing import Any, NamedTuple

from rnnbench.sweep.engines.worker import CannotStart, Ready, WorkerSetup
from rnnbench.sweep.engines.worker_process import WorkerProcess


class Arrived(NamedTuple):
    """The worker is ready; `identity` is as in `rnnbench.sweep.ledger.process_identity`."""

    identity: str


class Gone(NamedTuple):
    """The worker is dead, and another one is being started."""

    reason: str
    was_ready: bool


class Seat:
    """Holds a worker, called by two threads: one listens to it, the other one tells it things.

    Args:
        setup: the setup of the worker, which lives as long as this process.
        logs: folder for the output of workers outside of trials.
        name: name of the seat, unique within a sweep.
    """

    def __init__(self, setup: WorkerSetup, logs: str, name: str) -> None:
        self._setup = dataclasses.replace(setup, driver=os.getpid())
        Path(logs).mkdir(parents=True, exist_ok=True)
        self._log = Path(logs) / f"{name}.log"
        self._ready = self._ending = False
        self._wake_end, self._bell_end = socket.socketpair()  # `end` wakes `listen` by it
        self._process = WorkerProcess(self._setup, self._log)

    def listen(self, timeout: float) -> list[Any]:
        """Return the worker's messages, after waiting up to `timeout` seconds for one."""
        process = self._process
        if not process.channel.closed and not process.has_ended():
            watched: list[Any] = [process.channel, self._wake_end]
            select.select(watched, [], [], timeout)
        dead = process.channel.closed or process.has_ended()
        messages: list[Any] = []
        for message in process.channel.receive():
            if isinstance(message, Ready):
                self._ready = True
                message = Arrived(process.identity)
            elif isinstance(message, CannotStart):
                where = f"\n(the log is {self._log} on its node)" if process.wrote() else ""
                reason = message.reason.rstrip() + where
                message = dataclasses.replace(message, reason=reason)
            messages.append(message)
        if dead and not self._ending:
            messages.append(Gone(process.bury(), self._ready))
            self._ready = False
            self._process = WorkerProcess(self._setup, self._log, keep_log=True)
        return messages

    def tell(self, message: Any) -> None:
        """Pass a message on to the worker."""
        self._process.send(message)

    def interrupt(self) -> None:
        """Ask the worker to stop where its job can be resumed."""
        self._process.ask_to_stop()

    def kill(self) -> None:
        """End the worker at once; `listen` says that it is gone."""
        self._process.kill()

    def end(self) -> None:
        """End the worker for good, and whatever it started."""
        self._ending = True
        self._process.bury()
        self._bell_end.send(b".")
