"""A seat in a job of Slurm, which holds one worker process as a Ray actor does elsewhere.

Driver and seat share a folder (`mailbox`), and no port: any partition will do. Slurm warns a job by
a signal before its time limit and before a pre-emption; the seat then has its worker write a
checkpoint, and its job is requeued.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from rnnbench.sweep.engines.mailbox import Inbox, Outbox, SeatFolder
from rnnbench.sweep.engines.protocol import Finished, Job
from rnnbench.sweep.engines.seat import Gone, Seat
from rnnbench.sweep.engines.worker import WorkerSetup

LISTEN_SECONDS = 0.2  # between looks into the mailbox
DRIVER_SECONDS = 300.0  # without a sign of life of the driver, after which a seat ends itself
LOOK_SECONDS = 10.0  # between looks for that sign
WARNED_SECONDS = 90  # before the end, in which a worker writes its checkpoint
SAVE_SECONDS = 60.0  # of these, for the checkpoint


class Began(NamedTuple):
    """A seat has started on a node."""

    node: str


class Leaves(NamedTuple):
    """Slurm asks for the node; the job is requeued, and the seat starts again some time."""


class Call(NamedTuple):
    """A message of the driver to one start of a seat.

    Attributes:
        start: the start that is meant; others leave it alone.
        what: "tell", "interrupt", "kill" or "end".
        message: what the worker is told.
    """

    start: int
    what: str
    message: Any = None


class SlurmSeat:
    """Holds a worker as long as its job lasts; submitit calls it, and `checkpoint` at a warning.

    Args:
        folder: folder that it shares with the driver.
        setup: the setup of the worker.
        logs: folder for the output of workers outside of trials.
        name: name of the seat, unique within a sweep.
    """

    def __init__(self, folder: Path, setup: WorkerSetup, logs: str, name: str) -> None:
        self._folder, self._setup, self._logs, self._name = folder, setup, logs, name

    def __call__(self) -> str:
        """Serve the driver until it says so or is gone; return why it ended."""
        self._warned, self._saved = threading.Event(), threading.Event()
        self._reason: str | Exception = ""
        # The main thread stays free for the signal of Slurm.
        serving = threading.Thread(target=self._serve_or_fail)
        serving.start()
        while serving.is_alive():
            serving.join(1.0)
        if isinstance(self._reason, Exception):
            raise self._reason
        return self._reason

    def checkpoint(self) -> Any:
        """Have the worker write a checkpoint, and return what to start when the job is requeued."""
        import submitit

        self._warned.set()
        self._saved.wait(SAVE_SECONDS + 10)
        return submitit.helpers.DelayedSubmission(
            SlurmSeat(self._folder, self._setup, self._logs, self._name)
        )

    def _serve_or_fail(self) -> None:
        try:
            self._serve()
        except Exception as error:  # the job fails with it, in the main thread
            self._reason = error

    def _serve(self) -> None:
        folder = SeatFolder(self._folder)
        start = folder.next_start()
        outbox, inbox = Outbox(folder.from_seat(start)), Inbox(folder.to_seat)
        send(outbox, Began(os.environ.get("SLURMD_NODENAME") or socket.gethostname()))
        seat = Seat(self._setup, self._logs, self._name)
        sign = SignOfLife(folder.driver)
        job: Job | None = None
        while True:
            for call in inbox.receive():
                if call.start != start:
                    continue
                if call.what == "end":
                    seat.end()
                    self._reason = "the driver said so"
                    return
                if isinstance(call.message, Job):
                    job = call.message
                getattr(seat, call.what)(*(() if call.message is None else (call.message,)))
            for message in seat.listen(LISTEN_SECONDS):
                send(outbox, message)
                if isinstance(message, (Finished, Gone)):
                    job = None
            if self._warned.is_set():
                self._save(seat, job, outbox)
                return
            if sign.is_missing():
                seat.end()
                self._reason = f"no sign of life of the driver for {DRIVER_SECONDS:.0f} s"
                return

    def _save(self, seat: Seat, job: Job | None, outbox: Outbox) -> None:
        """End the worker where its job can be resumed, and say that this seat leaves."""
        deadline = time.monotonic() + SAVE_SECONDS
        if job is not None:
            seat.interrupt()
        while job is not None and time.monotonic() < deadline:
            for message in seat.listen(LISTEN_SECONDS):
                send(outbox, message)
                if isinstance(message, (Finished, Gone)):
                    job = None
        seat.end()
        send(outbox, Leaves())
        self._reason = "Slurm asked for the node"
        self._saved.set()


def send(outbox: Outbox, message: Any) -> None:
    """Send a message; where storage is away, try again for as long as a driver may be silent.

    Raises:
        OSError: it was away for longer.
    """
    deadline = time.monotonic() + DRIVER_SECONDS
    while True:
        try:
            return outbox.send(message)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(5.0)


class SignOfLife:
    """Watches the file that the driver writes anew as long as it lives."""

    def __init__(self, path: Path) -> None:
        self._path, self._content = path, b""
        self._seen = self._looked = time.monotonic()

    def is_missing(self) -> bool:
        """Tell whether the driver has written nothing for too long, or its folder is gone."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            try:
                content = self._path.read_bytes()
            except OSError:  # storage may be away for a while
                content = self._content
            if content != self._content:
                self._content, self._seen = content, now
        return now - self._seen > DRIVER_SECONDS
