"""The worker process, which an engine starts to run trials.

It imports all it needs once, then runs one job after another. It leads a process group of its
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

from rnnbench.errors import Refusal
from rnnbench.results.outages import fault_of, missing_name
from rnnbench.results.provenance import redact
from rnnbench.results.run_folder import LOG
from rnnbench.spec.run_spec import RunSpec, Trainer
from rnnbench.sweep.engines.channel import Channel
from rnnbench.sweep.engines.protocol import (
    Alive,
    Ending,
    Finished,
    Job,
    Said,
    Usage,
    ValidationReport,
)
from rnnbench.sweep.engines.usage import gpus_in_use, memory_held
from rnnbench.sweep.ledger.process_identity import place

WORK = "rnnbench.training.execute:execute"
WATCH_SECONDS = 0.5  # between looks at whether the driver still lives


@dataclass(frozen=True)
class WorkerSetup:
    """The first message to a worker: all that it needs to know before any job.

    Attributes:
        work: "module:function" that runs a job, called like `rnnbench.training.execute.execute`.
        root: folder or URL of the store.
        trainer: device, threads and precision of every run.
        driver: number of the process that started the worker, and with which it ends.
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
    """The worker cannot start, and neither could another one.

    Attributes:
        fault: kind of the infrastructure's fault that it surely is (`results.outages`), or "".
    """

    reason: str
    fault: str = ""


class TooLarge(NamedTuple):
    """The worker ends itself, since its job holds more memory than a trial may."""

    key: str
    attempt: int
    reason: str


class Worker:
    """Runs jobs in the main thread, which the signal handlers of a run need.

    A second thread listens to the driver; a third one sends signs of life, watches memory, and
    ends the process when the driver is gone.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._job: Job | None = None
        messages: list[Any] = []
        while not messages and not channel.closed:
            messages = channel.receive(wait=True)
        if not messages:
            end_group()
        self._setup: WorkerSetup = messages[0]

    def run(self) -> None:
        """Run jobs until the driver is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            execute, store = self._load()
        except Exception as error:
            fault = fault_of(error)
            sure = fault is not None and not fault.unsure
            self._send(CannotStart(traceback.format_exc(), fault.kind if fault and sure else ""))
            return
        self._send(Ready())
        while True:
            job = self._jobs.get()
            self._job = job
            ending = self._run_logged(job, execute, store)
            self._job = None
            leaves = ending.status == "crashed" or bool(ending.fault)
            leaves = leaves and _gpu_is_unusable()
            self._send(Finished(job.key, job.attempt, ending, leaves))
            if leaves:
                end_group()

    def _load(self) -> tuple[Callable[..., Any], Any]:
        """Return the function that runs a job, and the store."""
        from rnnbench.results.store import SEND_SECONDS, Store

        module, _, function = self._setup.work.partition(":")
        execute = getattr(importlib.import_module(module), function)
        # The driver alone writes to the database: workers may be on other machines.
        store = Store(self._setup.root, index=False, patience=SEND_SECONDS)
        if store.remote is not None:
            store.remote.say = self._say
        return execute, store

    def _say(self, text: str) -> None:
        """Tell something to whoever reads the run's log, and to whoever looks at the sweep."""
        print(text, file=sys.stderr, flush=True)
        if self._job is not None:
            self._send(Said(self._job.key, self._job.attempt, text))

    def _run_logged(self, job: Job, execute: Callable[..., Any], store: Any) -> Ending:
        """Run a job with its output going to the log in the folder of the run."""
        spec = RunSpec.from_dict(dict(job.spec))
        try:
            with printing_to(store.run_dir(spec.run_id) / LOG, f"attempt {job.attempt}"):
                return self._run_job(job, spec, execute, store)
        except OSError as error:  # the folder of the run cannot be written
            with contextlib.suppress(OSError):
                print(redact(traceback.format_exc()), file=sys.stderr)  # into the worker's log
            return ending_of(error)

    def _run_job(self, job: Job, spec: RunSpec, execute: Callable[..., Any], store: Any) -> Ending:
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
                seed_plan=job.seed_plan,
                on_validation=ask if job.asks else None,
                quiet=False,  # SIGTERM, which `Engine.stop` sends, saves and ends the run
            )
            return Ending.of(record)
        except Refusal as error:  # of trainer.devices, before compute
            return Ending("refused", str(error))
        except Exception as error:
            with contextlib.suppress(OSError):  # a full disk
                print(redact(traceback.format_exc()), file=sys.stderr)  # into the run's log
            return ending_of(error)

    def _send(self, message: Any) -> None:
        try:
            self._channel.send(message)
        except OSError:  # the driver is gone
            end_group()

    def _listen(self) -> None:
        """Sort the driver's messages into jobs and replies, until the driver is gone."""
        while not self._channel.closed:
            for message in self._channel.receive(wait=True):
                if isinstance(message, Job):
                    self._jobs.put(message)
                else:
                    self._replies.put(message)
        end_group()

    def _watch(self) -> None:
        """Send signs of life; end the process when the driver is gone or memory is exceeded."""
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


def _gpu_is_unusable() -> bool:
    """Tell whether an error has left this process without its GPU: every later run would fail."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except Exception:  # whatever it says: it says it for good
        return True
    return False


def ending_of(error: Exception) -> Ending:
    """Return the ending of a run that left no record, since an error came out of it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"
    fault = fault_of(error)
    if fault is None:
        return Ending("crashed", reason)
    status = "crashed" if fault.unsure else "interrupted"
    return Ending(status, reason, fault=fault.kind, missing=missing_name(error))


@contextlib.contextmanager
def printing_to(log: Path, title: str) -> Iterator[None]:
    """Append to a file all that this process and its children print within `with`.

    Args:
        title: words for the line that begins this part of the file.
    """
    beginning = f"== {title}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, {place()}\n"
    with open(log, "ab", buffering=0) as file:
        try:
            file.write(beginning.encode())
        except OSError as error:  # which does not name the file
            raise OSError(error.errno, f"cannot write {log}: {error.strerror}") from error
        original_outputs = os.dup(1), os.dup(2)
        _print_to(file.fileno(), file.fileno())
    try:
        yield
    finally:
        _print_to(*original_outputs)
        for descriptor in original_outputs:
            os.close(descriptor)


def _print_to(out: int, err: int) -> None:
    """Make file descriptors the standard output and the standard error."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # a full disk takes no more of the log
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
