"""How training ends before its budget does."""

from __future__ import annotations

from rnnbench.results.record import Status


class Ended(Exception):
    """Training ended before its budget did, in order.

    Attributes:
        signal: the number of the signal that asked for it, 0 for none.
    """

    def __init__(self, status: Status, reason: str, signal: int = 0):
        super().__init__(status, reason, signal)  # so that it can be pickled
        self.status, self.reason, self.signal = status, reason, signal
