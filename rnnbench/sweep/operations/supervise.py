"""Starts the driver of a sweep again when it ended for no fault of the sweep's own.

The supervisor imports neither torch nor Ray, so that where memory runs out the driver is killed and
not the supervisor. Signals that it gets are passed on, and end both.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.errors import OutageError
from rnnbench.sweep.ledger.standing import Standing
from rnnbench.training.stopping import PREEMPTED, SIGNALS, exit_code

RESTARTS = 10  # without progress between them
FIRST_SECONDS, MOST_SECONDS = 2.0, 300.0  # before the first restart in a row, and before any
PROGRESS_SECONDS = 600.0  # a driver that lived so long had its trials save checkpoints
ENDINGS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")  # by which somebody ends a process

SUPERVISED = "RNNBENCH_SUPERVISED"  # is 1 for a driver that is started again after an outage
MAIN = "from rnnbench.cli import main; main(prog_name='rnnbench')"


@dataclass(frozen=True)
class Restarts:
    """How patiently a driver is started again.

    Attributes:
        limit: restarts in a row without progress between them.
        first_seconds: wait before the first of them; each further one waits twice as long.
        progress_seconds: a driver that lived so long counts as progress.
    """

    limit: int = RESTARTS
    first_seconds: float = FIRST_SECONDS
    progress_seconds: float = PROGRESS_SECONDS


def driver_command(words: Sequence[str]) -> list[str]:
    """Return the command of a driver that is `rnnbench WORDS...`, in this Python."""
    return [sys.executable, "-P", "-c", MAIN, *words]


def supervise(
    command: Sequence[str],
    standing: Callable[[], Standing | None],
    say: Callable[[str], None],
    restarts: Restarts = Restarts(),
    gave_up: Callable[[str], None] = lambda text: None,
) -> int:
    """Run a driver to its end, through crashes and outages; return the exit code.

    It is started again where a signal killed it (SIGKILL where memory ran out, a crash of a
    library), and after 69 (something is away) and 75. It is not where it succeeded or failed, was
    stopped, or where the limit is reached.

    Args:
        standing: asks the ledger; None where it does not answer or there is none yet.
        say: prints a line that says why the driver is started again, or not.
        gave_up: told why, when the limit is reached.
    """
    supervisor = _Supervisor()
    in_a_row = 0
    with supervisor.watching_signals():
        while True:
            before, began = standing(), time.monotonic()
            code = supervisor.run(command)
            if supervisor.asked:
                return _as_exit_code(code, supervisor.asked)
            reason = why_again(code)
            if reason is None:
                return _as_exit_code(code)
            now = standing()
            if now is not None and now.stopping:
                say(f"the driver {reason} after it was asked to stop: it is not started again")
                return _as_exit_code(code)
            lived = time.monotonic() - began
            advanced = now is not None and now.ended > (before.ended if before else 0)
            in_a_row = 1 if advanced or lived >= restarts.progress_seconds else in_a_row + 1
            if in_a_row > restarts.limit:
                text = (
                    f"the driver {reason}. Given up: it was started again {restarts.limit} times, "
                    "and no trial ended in between. Nothing finished is lost; mend the cause, and "
                    "the same command goes on from here"
                )
                say(text)
                gave_up(text)
                return _as_exit_code(code)
            wait = min(MOST_SECONDS, restarts.first_seconds * 2 ** (in_a_row - 1))
            say(
                f"the driver {reason}: started again in {wait:g} s "
                f"(restart {in_a_row} of at most {restarts.limit} without progress)"
            )
            supervisor.sleep(wait)
            if supervisor.asked:
                return exit_code(supervisor.asked)


def why_again(code: int) -> str | None:
    """Return why a driver that ended with this code is started again; None: it is not.

    Args:
        code: as `subprocess` gives it, so negative where a signal killed the driver.
    """
    if code == OutageError.exit_code:
        return f"ended with {code}, since something that it needs is away"
    if code == PREEMPTED:
        return f"ended with {code}: it was asked to stop for a while"
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), perhaps because memory ran out"
    if code < 0 and signal.Signals(-code).name not in ENDINGS:
        return f"was ended by {signal.Signals(-code).name}"
    return None


def _as_exit_code(code: int, asked: int = 0) -> int:
    """Return the exit code of the supervisor for one of `subprocess`."""
    if code >= 0:
        return code
    return exit_code(asked) if asked else 128 - code


class _Supervisor:
    """Holds the driver at hand, and passes signals on to it.

    Attributes:
        asked: number of the first signal that asked to stop; 0: none did.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._driver: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def watching_signals(self) -> Iterator[None]:
        """Pass signals on to the driver within `with`."""
        before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(self, command: Sequence[str]) -> int:
        """Start a driver and wait for its end; return its code as `subprocess` has it."""
        path = os.pathsep.join(p or os.getcwd() for p in sys.path)  # what we find, it finds too
        variables = {"PYTHONPATH": path, SUPERVISED: "1"}
        self._driver = subprocess.Popen(command, env={**os.environ, **variables})
        if self.asked:  # while it was being started
            self._driver.send_signal(self.asked)
        try:
            return self._driver.wait()
        finally:
            self._driver = None

    def sleep(self, seconds: float) -> None:
        """Wait, or until a signal asks to stop."""
        deadline = time.monotonic() + seconds
        while not self.asked and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = self.asked or number
        if self._driver is not None:
            self._driver.send_signal(number)
