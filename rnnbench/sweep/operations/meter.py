"""Meters what the trials of a driver hold, and tells when the budget of the sweep is spent."""

from __future__ import annotations

import time
from collections.abc import Iterable

import sqlalchemy as sa

from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.spending import Account, Held, SpendingBook
from rnnbench.sweep.running_trials import Use


class SpendingMeter:
    """The account of a sweep, as its driver keeps it.

    Attributes:
        account: as it stood when it was last settled.
    """

    def __init__(self, engine: sa.Engine, sweep: Sweep) -> None:
        self._sweep, self._book = sweep, SpendingBook(engine, sweep.name)
        self._settled = time.monotonic()
        self.account: Account = self._book.read(sweep.budget, sweep.prices)

    def settle(self, uses: Iterable[Use]) -> None:
        """Enter what trials held since the last time, and the time that went by."""
        now = time.monotonic()
        held: dict[str, Held] = {}
        for use in uses:
            before = held.get(use.study, Held())
            held[use.study] = Held(
                before.cpu_seconds + use.seconds * self._sweep.resources.cpus,
                before.gpu_seconds + use.seconds * self._gpus(use),
            )
        self._book.add(now - self._settled, held)
        self._settled = now
        self.account = self._book.read(self._sweep.budget, self._sweep.prices)

    def _gpus(self, use: Use) -> float:
        """Return how many GPUs a trial held: what the file says, or its share of those it saw."""
        if self._sweep.trainer.accelerator == "cpu":
            return 0.0
        given = self._sweep.resources.gpus
        return use.gpus if given is None else given
