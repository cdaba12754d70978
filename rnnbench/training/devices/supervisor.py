"""A run on several devices: one process each, and this process above them, which computes nothing.

So no rank that is stuck in a collective can hold up the end: where one dies or fails, this process
hears of it, kills the others, and says why. The ranks stay in its process group, and end by
themselves where it is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import NamedTuple

import torch

from rnnbench.contract import Refusal
from rnnbench.results.record import Record, Status
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import Trainer
from rnnbench.training.loader import Position
from rnnbench.training.progress import OnStep, OnValidation
from rnnbench.training.stopping import Ended

RANK = "import sys\nfrom rnnbench.training.devices.rank_process import main\nmain(int(sys.argv[1]))"
HEAR_SECONDS = 3.0  # after a rank failed, for the others to say what they know
POLL_SECONDS = 0.2
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass(frozen=True)
class RankSetup:
    """The first message to a rank: which run, and how to find the others.

    Attributes:
        port: of the loopback address, where the ranks find each other.
        listening: descriptor of the socket bound to it, at the first rank; else None.
        parent: number of the process above.
        root: of the store.
        asks: whether the first rank asks after each validation whether to stop.
    """

    rank: int
    port: int
    listening: int | None
    parent: int
    record: Record
    trainer: Trainer
    root: Path | str
    asks: bool


class Stepped(NamedTuple):
    """The first rank ended a pack."""

    at: Position
    loss: float
    progress: float


class StopQuestion(NamedTuple):
    """The first rank has validated, and waits for whether to stop."""

    step: int
    value: float


class RankFailed(NamedTuple):
    """A rank cannot go on.

    Attributes:
        follows: it is a consequence of another rank's failure.
        fault, missing: as in `training.stopping.Ended`.
    """

    status: Status
    reason: str
    refused: bool = False
    follows: bool = False
    fault: str = ""
    missing: str = ""


class RankDone(NamedTuple):
    """A rank has done its part; the first one brings the record."""

    peak_bytes: int
    record: Record | None


def refuse_devices(trainer: Trainer) -> None:
    """Refuse more devices than there are, and Lightning's other accelerators.

    Raises:
        Refusal
    """
    if trainer.devices == 1 or trainer.accelerator == "cpu":
        return
    there = torch.cuda.device_count()
    if (there or trainer.accelerator == "gpu") and there < trainer.devices:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        limit = "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible})"
        raise Refusal(
            f"trainer.devices={trainer.devices}: this process sees {there} GPUs{limit}.\n  Set "
            f"trainer.devices={max(1, there)}, or trainer.accelerator=cpu for processes on the CPU."
        )


def train_in_group(
    record: Record,
    trainer: Trainer,
    store: Store,
    on_validation: OnValidation | None,
    on_step: OnStep | None,
    stopped: Callable[[], int],
) -> Record:
    """Train in a process for each device; return the record, which has not been written.

    Args:
        stopped: returns the number of a signal that asked to stop, else 0.

    Raises:
        Refusal: the run cannot be split over so many devices.
        Ended: a rank died, failed, or ran out of memory.
    """
    peaks: list[int] = []
    result: Record | None = None
    failures: list[RankFailed] = []
    signal_sent, deadline = 0, float("inf")
    with _start_ranks(record, trainer, store, asks=on_validation is not None) as ranks:
        open_ends = dict(ranks)
        while open_ends and time.monotonic() < deadline:
            if stopped() and not signal_sent:
                signal_sent = stopped()
                with contextlib.suppress(OSError):  # dead, which the next look tells
                    next(iter(ranks)).send(signal_sent)
            for end in wait(list(open_ends), POLL_SECONDS):
                assert isinstance(end, Connection)
                rank, process = ranks[end]
                try:
                    message = end.recv()
                except (EOFError, OSError):
                    del open_ends[end]
                    message = _rank_gone(rank, process.wait())
                if isinstance(message, Stepped):
                    if on_step is not None:
                        on_step(*message)
                elif isinstance(message, StopQuestion):
                    assert on_validation is not None
                    end.send(("go", on_validation(*message)))
                elif isinstance(message, RankDone):
                    open_ends.pop(end, None)
                    peaks.append(message.peak_bytes)
                    result = message.record or result
                else:
                    open_ends.pop(end, None)
                    failures.append(message)
                    deadline = min(deadline, time.monotonic() + HEAR_SECONDS)
    if failures:
        first = min(failures, key=lambda f: f.follows)
        if first.refused:
            raise Refusal(first.reason)
        raise Ended(first.status, first.reason, fault=first.fault, missing=first.missing)
    assert result is not None
    if any(peaks):
        result.cost["peak_memory_bytes"] = max(peaks)
    return result


Processes = dict[Connection, tuple[int, subprocess.Popen]]  # rank and process by connection


@contextlib.contextmanager
def _start_ranks(
    record: Record, trainer: Trainer, store: Store, *, asks: bool
) -> Iterator[Processes]:
    """Start the processes; all are dead afterwards."""
    processes: Processes = {}
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
        # Read when torch is imported.
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(trainer.threads)),
    }
    for name in INTERFACES:
        environment.setdefault(name, "lo")  # nothing of a run on one machine leaves it
    with socket.create_server(("127.0.0.1", 0), backlog=trainer.devices) as server:
        try:
            for rank in range(trainer.devices):
                ours, theirs = Pipe()
                passed = [theirs.fileno(), *([server.fileno()] if rank == 0 else [])]
                process = subprocess.Popen(
                    [sys.executable, "-P", "-c", RANK, str(theirs.fileno())],
                    pass_fds=passed,
                    stdin=subprocess.DEVNULL,
                    env=environment,
                )
                theirs.close()
                processes[ours] = (rank, process)
                listening = server.fileno() if rank == 0 else None
                with contextlib.suppress(OSError):  # dead, which a look tells
                    ours.send(
                        RankSetup(
                            rank, server.getsockname()[1], listening, os.getpid(),
                            record, trainer, store.root_or_address, asks,
                        )
                    )  # fmt: skip
            yield processes
        finally:
            for end, (_, process) in processes.items():
                process.kill()
                process.wait()
                end.close()


def _rank_gone(rank: int, code: int) -> RankFailed:
    """Return what became of a rank that ended without a word; a kill comes from outside."""
    reason = f"rank {rank} {_describe_exit(code)}"
    if code == -signal.SIGKILL:
        return RankFailed(Status.INTERRUPTED, reason, fault="worker")
    return RankFailed(Status.CRASHED, reason)


def _describe_exit(code: int) -> str:
    """Return what an exit code says of a process."""
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), perhaps because memory ran out"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
