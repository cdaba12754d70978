"""The process that runs trials, started by an engine.

It imports what it needs once, then runs one job after another. It leads a process group of its
own, and ends that group when the driver is gone, so that nothing is left behind.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rnnbench.results.provenance import redact
from rnnbench.results.run_folder import LOG
from rnnbench.spec.run_spec import RunSpec, Trainer
from rnnbench.sweep.engines.channel import Channel
from rnnbench.sweep.engines.protocol import Alive, Ending, Finished, Job, Usage, ValidationReport
from rnnbench.sweep.engines.usage import gpus_in_use, memory_held
from rnnbench.sweep.ledger.process_identity import place

WORK = "rnnbench.training.execute:execute"
WATCH_SECONDS = 0.5  # between looks at whether the driver still lives


@dataclass(frozen=True)
class WorkerSetup:
    """The first message to a worker.

    Attributes:
        work: "module:function", called as `rnnbench.training.execute.execute` is.
        root: of the store.
        driver: number of the process that started the worker.
        beat: seconds between signs of life.
        memory: bytes that the worker may hold; None: no limit.
    """

    work: str
    root: str
    trainer: Trainer
    driver: int
    beat: float
    memory: int | None = None


@dataclass(frozen=True)
class Ready:
    """The worker has imported everything, and waits for jobs."""


@dataclass(frozen=True)
class CannotStart:
    """The worker cannot start, nor could another one."""

    reason: str


class TooLarge(NamedTuple):
    """The worker ends itself, because its job holds more memory than a trial may."""

    key: str
    attempt: int
    reason: str


class Worker:
    """Runs jobs in the main thread (signal handlers of the runner need it)."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._job: Job | None = None
        setup: list[Any] = []
        while not setup and not channel.closed:
            setup = channel.receive(wait=True)
        if not setup:
            end_group()
        self._setup: WorkerSetup = setup[0]

    def run(self) -> None:
        """Run jobs until the driver is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            execute, store = self._load()
        except Exception:
            self._send(CannotStart(traceback.format_exc()))
            return
        self._send(Ready())
        while True:
            job = self._jobs.get()
            self._job = job
            ending = self._do(job, execute, store)
            self._job = None
            self._send(Finished(job.key, job.attempt, ending))

    def _load(self) -> tuple[Callable[..., Any], Any]:
        from rnnbench.results.store import Store

        module, _, function = self._setup.work.partition(":")
        # The driver alone writes to the database: workers may be on other machines.
        store = Store(self._setup.root, index=False)
        return getattr(importlib.import_module(module), function), store

    def _do(self, job: Job, execute: Callable[..., Any], store: Any) -> Ending:
        spec = RunSpec.from_dict(dict(job.spec))
        with printing_to(store.run_dir(spec.run_id) / LOG, f"attempt {job.attempt}"):
            return self._execute(job, spec, execute, store)

    def _execute(self, job: Job, spec: RunSpec, execute: Callable[..., Any], store: Any) -> Ending:
        def ask(step: int, value: float) -> bool:
            self._send(ValidationReport(job.key, job.attempt, step, value))
            return self._replies.get()

        try:
            record = execute(
                spec,
                store=store,
                trainer=self._setup.trainer,
                attempt=job.attempt,
                sweep=job.sweep,
                study=job.study,
                on_validation=ask if job.asks else None,
                quiet=False,  # SIGTERM, which `Engine.stop` sends, saves and ends the run
            )
            return Ending.of(record)
        except Exception as error:
            if type(error).__name__ == "Refusal":  # of trainer.devices, before compute
                return Ending("refused", str(error))
            print(redact(traceback.format_exc()), file=sys.stderr)  # into the run's log
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename}:{frame.lineno}"
            return Ending("crashed", f"{type(error).__name__}: {error} ({where})")

    def _send(self, message: Any) -> None:
        try:
            self._channel.send(message)
        except OSError:  # the driver is gone
            end_group()

    def _listen(self) -> None:
        while not self._channel.closed:
            for message in self._channel.receive(wait=True):
                if isinstance(message, Job):
                    self._jobs.put(message)
                else:
                    self._replies.put(message)
        end_group()

    def _watch(self) -> None:
        beaten = 0.0
        while True:
            time.sleep(min(WATCH_SECONDS, self._setup.beat))
            if os.getppid() != self._setup.driver:
                end_group()
            job = self._job
            if job is None:
                continue
            limit, held = self._setup.memory, memory_held()
            if limit is not None and held > limit:
                reason = f"it held {held / 1e9:.3g} GB of memory, and may hold {limit / 1e9:.3g} GB"
                self._send(TooLarge(job.key, job.attempt, reason))
                end_group()
            if time.monotonic() - beaten >= self._setup.beat:
                beaten = time.monotonic()
                self._send(Alive(job.key, job.attempt, Usage(held, gpus_in_use())))


@contextlib.contextmanager
def printing_to(log: Path, title: str) -> Iterator[None]:
    """Within it, what this process and its children print goes to the end of a file."""
    kept = os.dup(1), os.dup(2)
    with open(log, "ab", buffering=0) as file:
        file.write(f"== {title}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, {place()}\n".encode())
        _print_to(file.fileno(), file.fileno())
    try:
        yield
    finally:
        _print_to(*kept)
        for descriptor in kept:
            os.close(descriptor)


def _print_to(out: int, err: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(out, 1)
    os.dup2(err, 2)


def end_group() -> None:
    """End this process and all that it started, at once."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def main(descriptor: int) -> None:
    """Serve the driver at the other end of an inherited socket."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    os.set_inheritable(descriptor, False)
    channel = Channel(socket.socket(fileno=descriptor))
    # A forked child that kept the socket open would hide this process's death from the driver.
    os.register_at_fork(after_in_child=channel.close)
    Worker(channel).run()
