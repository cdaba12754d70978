"""The process that runs trials, started by the local engine.

It imports what it needs once, then runs one job after another. It leads a process group of its
own, and ends that group when the driver is gone, so that nothing is left behind.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import queue
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnbench.spec import RunSpec, Trainer
from rnnbench.sweep.channel import Channel
from rnnbench.sweep.engine import Alive, Ending, Finished, Job, Report

WATCH_SECONDS = 0.5  # between looks at whether the driver still lives


@dataclass(frozen=True)
class Setup:
    """The first message to a worker.

    Attributes:
        work: "module:function", called as `rnnbench.runner.execute` is.
        root: of the store.
        driver: process id of the driver.
        beat: seconds between signs of life.
    """

    work: str
    root: str
    trainer: Trainer
    driver: int
    beat: float


@dataclass(frozen=True)
class Ready:
    """The worker has imported everything, and waits for jobs."""


@dataclass(frozen=True)
class Broken:
    """The worker cannot start, nor could another one."""

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
        self._setup: Setup = setup[0]

    def run(self) -> None:
        """Run jobs until the driver is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            execute, store = self._load()
        except Exception:
            self._send(Broken(traceback.format_exc()))
            return
        self._send(Ready())
        while True:
            job = self._jobs.get()
            self._job = job
            ending = self._do(job, execute, store)
            self._job = None
            self._send(Finished(job.key, job.attempt, ending))

    def _load(self) -> tuple[Callable[..., Any], Any]:
        from rnnbench.store import Store

        module, _, function = self._setup.work.partition(":")
        return getattr(importlib.import_module(module), function), Store(Path(self._setup.root))

    def _do(self, job: Job, execute: Callable[..., Any], store: Any) -> Ending:
        def ask(step: int, value: float) -> bool:
            self._send(Report(job.key, job.attempt, step, value))
            return self._replies.get()

        try:
            record = execute(
                RunSpec.from_dict(dict(job.spec)),
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
            traceback.print_exc()  # into the worker's log
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
            if job is not None and time.monotonic() - beaten >= self._setup.beat:
                beaten = time.monotonic()
                self._send(Alive(job.key, job.attempt))


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
