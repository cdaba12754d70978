"""A seat: what the Ray engine puts on a node of the cluster to hold one worker process.

The worker is the very process that the local engine starts, in a process group of its own: it can
be killed with all that it started, lives on its seat alone, and ends when the seat is gone. The
seat imports no torch, so that it is there in a second and small.
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
    """The worker is ready; its identity (`rnnbench.sweep.ledger.process_identity`)."""

    identity: str


class Gone(NamedTuple):
    """The worker is dead, and another one is being started."""

    reason: str
    was_ready: bool


class Seat:
    """Called by two threads: one that listens, and one that tells.

    Args:
        setup: of the worker; the process to live on is this one.
        logs: folder for what workers print outside of trials.
        name: of the seat, unique within a sweep.
    """

    def __init__(self, setup: WorkerSetup, logs: str, name: str) -> None:
        self._setup = dataclasses.replace(setup, driver=os.getpid())
        Path(logs).mkdir(parents=True, exist_ok=True)
        self._log = Path(logs) / f"{name}.log"
        self._ready = self._ending = False
        self._wake, self._bell = socket.socketpair()
        self._process = WorkerProcess(self._setup, self._log)

    def where(self) -> str:
        """The id of the node that this seat is on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def listen(self, timeout: float) -> list[Any]:
        """What the worker said, waiting for it up to `timeout` seconds."""
        process = self._process
        if not process.channel.closed and not process.has_ended():
            watched: list[Any] = [process.channel, self._wake]
            select.select(watched, [], [], timeout)
        dead = process.channel.closed or process.has_ended()
        found: list[Any] = []
        for message in process.channel.receive():
            if isinstance(message, Ready):
                self._ready = True
                message = Arrived(process.identity)
            elif isinstance(message, CannotStart):
                message = CannotStart(
                    f"{message.reason.rstrip()}\n(the log is {self._log} on its node)"
                )
            found.append(message)
        if dead and not self._ending:
            found.append(Gone(process.bury(), self._ready))
            self._ready = False
            self._process = WorkerProcess(self._setup, self._log, keep=True)
        return found

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
        self._bell.send(b".")
