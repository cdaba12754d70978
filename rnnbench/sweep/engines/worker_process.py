"""A worker process as seen by its starter: the local engine, or a seat on a Ray node."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from rnnbench.sweep.engines.channel import Channel
from rnnbench.sweep.engines.worker import WorkerSetup
from rnnbench.sweep.ledger.process_identity import identity

# Not `-m`: what is defined in a module run that way is pickled as a member of `__main__`.
WORKER = "import sys; from rnnbench.sweep.engines.worker import main; main(int(sys.argv[1]))"


class WorkerProcess:
    """A worker at the head of a process group of its own; it starts with this object.

    Args:
        setup: its first message.
        log: file for its output outside of trials.
        keep_log: whether to append to the log instead of beginning it anew.
        environment: variables besides those of this process.

    Attributes:
        identity: identity of its process, see `ledger.process_identity`.
        channel: carries messages to and from it.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        log: Path,
        *,
        keep_log: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log, self._log_began = log, 0
        threads = str(setup.trainer.threads)
        our_end, its_end = socket.socketpair()
        output: IO[bytes]
        with its_end, open(log, "ab" if keep_log else "wb") as output:
            self._log_began = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", WORKER, str(its_end.fileno())],
                pass_fds=[its_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    # Wherever the driver finds its modules, the worker finds them too.
                    "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
                    # Read when torch is imported; the runner sets torch's own number.
                    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads),
                    **(environment or {}),
                },
                process_group=0,
            )
        self.channel = Channel(our_end)
        self.identity = _identity_of(self._process.pid)
        self.send(setup)

    def send(self, message: Any) -> None:
        """Send a message; one to a dead worker is lost."""
        try:
            self.channel.send(message)
        except OSError:
            self.channel.closed = True  # it has died; whoever listens finds out

    def has_ended(self) -> bool:
        """Tell whether the process has ended, without reaping it.

        Until it is reaped, no other process can get its number.
        """
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return (
            self._process.returncode is not None
            or os.waitid(os.P_PID, self._process.pid, options) is not None
        )

    def ask_to_stop(self) -> None:
        """Ask the worker to end its job where it can be resumed."""
        self._process.terminate()

    def kill(self) -> None:
        """End the worker and whatever it started, at once."""
        if self._process.returncode is None:  # not reaped, so the group's number is still its own
            os.killpg(self._process.pid, signal.SIGKILL)

    def bury(self) -> str:
        """Kill and reap the worker; return words for what it died of."""
        self.kill()
        self._process.wait()
        self.channel.close()
        where = f"; its log is {self.log}" if self.wrote() else ""
        return _describe_exit(self._process.returncode) + where

    def wrote(self) -> bool:
        """Tell whether this worker left anything in its log."""
        return self.log.exists() and self.log.stat().st_size > self._log_began


def _identity_of(pid: int) -> str:
    try:
        return identity(pid)
    except ProcessLookupError:  # dead already, and nobody else has this identity
        return f"dead-before-seen:{pid}:{time.monotonic_ns()}"


def _describe_exit(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), perhaps because memory ran out"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"exited with code {code}"
