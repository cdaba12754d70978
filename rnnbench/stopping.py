"""Stopping in order when the process is asked to."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE_SECONDS = 1.0  # within which a repeated signal is the same request


@contextlib.contextmanager
def signals(ask_to_stop: Callable[[int], None]) -> Iterator[None]:
    """SIGINT and SIGTERM ask to stop; another one a second later or more acts as it did before.

    `timeout`, batch systems and shells send a signal to the process and to its group, so the same
    request may come twice at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    asked: list[float] = []

    def ask(number: int, frame: Any) -> None:
        now = time.monotonic()
        if asked and now - asked[0] >= PATIENCE_SECONDS:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
            return
        asked.append(now)
        ask_to_stop(number)

    for s in before:
        signal.signal(s, ask)
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
