"""The ledger of a driver that outlives a restart of its database."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, OperationalError

from rnnbench.results.database import reader
from rnnbench.results.reconnect import Patience
from rnnbench.sweep.ledger.ledger import Ledger, TrialRow
from rnnbench.sweep.ledger.tables import trial


class PatientLedger(Ledger):
    """A ledger that repeats what its database could not do, within the length of a lease.

    Where an answer was lost, what was asked may have been done: a repetition looks first.
    """

    def __init__(
        self, engine: sa.Engine, sweep: str, owner: str, lease: float, patience: Patience
    ) -> None:
        super().__init__(engine, sweep, owner, lease)
        self._patience = patience

    @contextmanager
    def driving(self) -> Iterator[None]:
        with super().driving():
            try:
                yield
            finally:  # the database may be away just when the sweep is to be let go
                with contextlib.suppress(OperationalError, InterfaceError):
                    self._patience.run(lambda again: self._is_there(sa.true()))

    def note_cells(self, cells: Sequence[tuple[str, Mapping[str, Any], str | None]]) -> None:
        self._patience.run(lambda again: super(PatientLedger, self).note_cells(cells))

    def rows(self) -> list[TrialRow]:
        return self._patience.run(lambda again: super(PatientLedger, self).rows())

    def beat(self, alive: Collection[tuple[str, int]]) -> set[str]:
        return self._patience.run(lambda again: super(PatientLedger, self).beat(alive))

    def plan(self, rows: Sequence[TrialRow]) -> None:
        def plan(again: bool) -> None:
            c, left = trial.c, rows
            if again:
                left = [
                    r for r in rows if not self._is_there((c.key == r.key) & (c.run_id == r.run_id))
                ]
            super(PatientLedger, self).plan(left)

        self._patience.run(plan)

    def claim(self, row: TrialRow, owner: str, above: int = 0) -> bool:
        def claim(again: bool) -> bool:
            c, attempt = trial.c, max(row.attempt, above) + 1
            ours = (c.key == row.key) & (c.attempt == attempt) & (c.owner == owner)
            if again and self._is_there(ours & (c.state == "running")):
                row.state, row.attempt, row.owner = "running", attempt, owner
                return True
            return super(PatientLedger, self).claim(row, owner, above)

        return self._patience.run(claim)

    def _end(self, row: TrialRow, values: dict[str, Any]) -> bool:
        def end(again: bool) -> bool:
            c = trial.c
            ours = (c.key == row.key) & (c.attempt == row.attempt) & c.lease_until.is_(None)
            written = ours & (c.state == values["state"]) & (c.status == values["status"])
            return super(PatientLedger, self)._end(row, values) or (
                again and self._is_there(written)
            )

        return self._patience.run(end)

    def _is_there(self, condition: sa.ColumnElement[bool]) -> bool:
        """Tell whether a trial of this condition stands in the table."""
        query = sa.select(trial.c.key).where(condition).limit(1)
        with reader(self.engine).begin() as connection:
            return connection.execute(query).first() is not None
