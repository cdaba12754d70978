"""Stopping in order when the process is asked to."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE_SECONDS = 1.0  # within which a repeated signal is the same request

# Slurm's `--signal=USR1@60` and SGE's `-notify` warn by USR1, LSF and limits of CPU time by XCPU.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGXCPU")
    if hasattr(signal, name)  # Windows has fewer
)
PREEMPTED = 75  # EX_TEMPFAIL: run the same command again


def exit_code(number: int) -> int:
    """Of a process that a signal ended in order: 75 for pre-emption, else 128 and the number."""
    return 128 + number if number in (signal.SIGINT, signal.SIGTERM) else PREEMPTED


@contextlib.contextmanager
def signals(ask_to_stop: Callable[[int], None]) -> Iterator[None]:
    """Signals ask to stop; the same one again, a second later or more, acts as it did before.

    `timeout`, batch systems and shells send a signal to the process and to its group, so the same
    request may come twice at once. A batch system that warns first and then terminates sends two
    different ones, of which the second changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in SIGNALS}
    asked: dict[int, float] = {}

    def ask(number: int, frame: Any) -> None:
        now = time.monotonic()
        if now - asked.get(number, now) >= PATIENCE_SECONDS:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
            return
        asked.setdefault(number, now)
        if number == next(iter(asked)):
            ask_to_stop(number)

    for s in before:
        signal.signal(s, ask)
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
