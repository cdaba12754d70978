"""One of the processes of a run on several devices, started by `devices.supervisor`."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import queue
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection

import torch
import torch.distributed as dist

from rnnbench.contract import Refusal
from rnnbench.results.record import Status, redact
from rnnbench.results.store import Store
from rnnbench.training.determinism import on_gpu
from rnnbench.training.devices.data_parallel import PATIENCE, Ranks
from rnnbench.training.devices.supervisor import (
    RankDone,
    RankFailed,
    RankSetup,
    Stepped,
    StopQuestion,
)
from rnnbench.training.execute import end_of, train_and_evaluate
from rnnbench.training.loader import Position
from rnnbench.training.logs import NoTelemetry, Telemetry
from rnnbench.training.run import Training
from rnnbench.training.stopping import SIGNALS

PR_SET_PDEATHSIG = 1  # Linux: the kernel kills this process when its parent is gone


def main(descriptor: int) -> None:
    """Take part in the run that the process at the other end of an inherited pipe describes."""
    faulthandler.enable()
    for number in SIGNALS:  # the process above hears of them too, and tells the first rank
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    with contextlib.suppress(OSError, AttributeError):  # elsewhere the end of the pipe must do
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    above = Connection(descriptor)
    try:
        setup: RankSetup = above.recv()
    except EOFError:
        os._exit(1)
    if os.getppid() != setup.parent:
        os._exit(1)
    Rank(above, setup).run()


class Rank:
    """A rank of the run: trains in this process, and speaks with the one above."""

    def __init__(self, above: Connection, setup: RankSetup) -> None:
        self._above, self._setup = above, setup
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._run: Training | None = None
        self._signal = 0  # one that came before there was a run to stop
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self) -> None:
        """Train, report how it ended, and leave."""
        setup = self._setup
        try:
            outcome: RankDone | RankFailed = self._train()
        except Refusal as refusal:
            outcome = RankFailed(Status.CRASHED, str(refusal), refused=True)
        except Exception as error:
            print(redact(traceback.format_exc()), file=sys.stderr)
            end = end_of(error)
            outcome = RankFailed(
                end.status, f"{end.reason} (rank {setup.rank})", follows=_follows(error),
                fault=end.fault, missing=end.missing,
            )  # fmt: skip
        self._above.send(outcome)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # a process group would wait for ranks that are gone

    def _train(self) -> RankDone:
        setup, record = self._setup, self._setup.record
        trainer, leads = setup.trainer, setup.rank == 0
        gpu = on_gpu(trainer)
        if gpu:
            torch.cuda.set_device(setup.rank)
        store = dist.TCPStore(
            "127.0.0.1", setup.port, trainer.devices, leads, PATIENCE,
            wait_for_workers=False, master_listen_fd=setup.listening,
        )  # fmt: skip
        ranks = Ranks(setup.rank, trainer.devices, record.spec.seed, store, gpu)
        results = Store(setup.root, index=False)
        folder = results.run_dir(record.run_id)
        telemetry = (
            Telemetry(record.spec, trainer, folder, record.sweep) if leads else NoTelemetry(folder)
        )
        record = train_and_evaluate(
            record, trainer, folder, telemetry,
            on_validation=self._ask_whether_to_stop if leads and setup.asks else None,
            on_step=self._report_step if leads else None,
            begun=self._begun, store=results, ranks=ranks,
        )  # fmt: skip
        peak = torch.cuda.max_memory_allocated() if gpu else 0
        return RankDone(peak, record if leads else None)

    def _begun(self, run: Training) -> None:
        self._run = run
        if self._signal:
            run.ask_to_stop(self._signal)

    def _report_step(self, at: Position, loss: float, progress: float) -> None:
        self._above.send(Stepped(at, loss, progress))

    def _ask_whether_to_stop(self, step: int, value: float) -> bool:
        self._above.send(StopQuestion(step, value))
        return self._answers.get()

    def _listen(self) -> None:
        """Take in what the process above says: signals, and answers to questions."""
        while True:
            try:
                message = self._above.recv()
            except (EOFError, OSError):  # the process above is gone
                os._exit(1)
            if isinstance(message, int):
                self._signal = message
                if self._run is not None:
                    self._run.ask_to_stop(message)
            else:
                self._answers.put(message[1])


def _follows(error: Exception) -> bool:
    """Tell whether a connection to another rank broke, because that one is gone."""
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(w in str(error) for w in ("gloo", "NCCL"))
