"""Watches whether the head of a Ray cluster still takes connections.

Ray itself tries for a minute without a word, and then ends the process from C++: nobody learns that
the sweep can go on. So a thread looks from outside, and the engine says it first.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from rnnbench.errors import OutageError
from rnnbench.sweep.cluster.connection import check_reachable

LOOK_SECONDS = 2.0
LOST_SECONDS = 20.0  # without an answer: a head that is only busy answers sooner
END_SECONDS = 45.0  # Ray would end the process at 60


class LostClusterError(OutageError):
    """The head of the Ray cluster does not answer any more."""

    at_once = True  # Ray's threads wait for the head, and crash where Python ends before them


class HeadWatch:
    """A thread that looks at a head until it is lost or `stop` is called.

    Args:
        address: host:port of the head.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._last_answer = time.monotonic()
        self._stopped, self._told = threading.Event(), threading.Event()
        threading.Thread(target=self._look, name="watch of the head", daemon=True).start()

    @property
    def lost(self) -> bool:
        """Tell whether the head has been silent for too long."""
        return time.monotonic() - self._last_answer > LOST_SECONDS

    def raise_if_lost(self) -> None:
        """Raise LostClusterError where the head has been silent for too long."""
        if self.lost:
            self._told.set()
            raise LostClusterError(self._message())

    def stop(self) -> None:
        """End the watch."""
        self._stopped.set()

    def _message(self) -> str:
        seconds = time.monotonic() - self._last_answer
        return (
            f"the head of the Ray cluster at {self.address} has not answered for {seconds:.0f} s: "
            "it ended, its machine is gone, or the network is cut.\n"
            "  What was committed is safe, and trials that ran go on from their last checkpoints. "
            "When a cluster is up again, the same command goes on from here."
        )

    def _look(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                check_reachable(self.address)
                self._last_answer = time.monotonic()
            except OSError:
                silent = time.monotonic() - self._last_answer
                if silent > END_SECONDS and not self._told.is_set():
                    # The main thread hangs within Ray, which would end it without a word.
                    print(
                        f"{LostClusterError.label}: {self._message()}", file=sys.stderr, flush=True
                    )
                    os._exit(LostClusterError.exit_code)
