"""Ends a run before its budget does, in order and for a reason that its record keeps. No torch."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rnnbench.results.record import Status

PATIENCE_SECONDS = 1.0  # within which a repeated signal is the same request

# Slurm's `--signal=USR1@60` and SGE's `-notify` warn by USR1, LSF and limits of CPU time by XCPU.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGXCPU")
    if hasattr(signal, name)  # Windows has fewer
)
PREEMPTED = 75  # EX_TEMPFAIL: run the same command again


class Ended(Exception):
    """Training ended before its budget did, in order.

    Attributes:
        signal: the number of the signal that asked for it, 0 for none.
        fault: the kind of the infrastructure's fault that it may be (`results.outages`), or "".
        missing: what could not be imported, see `results.outages.missing_name`.
    """

    def __init__(
        self, status: Status, reason: str, signal: int = 0, fault: str = "", missing: str = ""
    ):
        super().__init__(status, reason, signal, fault, missing)  # so that it can be pickled
        self.status, self.reason, self.signal = status, reason, signal
        self.fault, self.missing = fault, missing


def exit_code(number: int) -> int:
    """Return the exit code after a signal: 75 for pre-emption, else 128 and its number."""
    return 128 + number if number in (signal.SIGINT, signal.SIGTERM) else PREEMPTED


@contextlib.contextmanager
def signals(ask_to_stop: Callable[[int], None]) -> Iterator[None]:
    """Within it, signals call `ask_to_stop` with their number; repeated, they act as before.

    A signal that comes again a second later or more ends the process as it would have without us.

    `timeout`, batch systems and shells send a signal to the process and to its group, so the same
    request may come twice at once. A batch system that warns first and then terminates sends two
    different ones, of which the second changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in SIGNALS}
    first_seconds: dict[int, float] = {}  # when each signal came first

    def ask(number: int, frame: Any) -> None:
        now = time.monotonic()
        if now - first_seconds.get(number, now) >= PATIENCE_SECONDS:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
            return
        first_seconds.setdefault(number, now)
        if number == next(iter(first_seconds)):
            ask_to_stop(number)

    for s in before:
        signal.signal(s, ask)
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
