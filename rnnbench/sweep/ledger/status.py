"""The status that the driver of a sweep leaves in the database: its pace and its busy workers.

The driver writes it with each beat; `rnnbench sweep status` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from rnnbench.results.database import reader
from rnnbench.sweep.ledger.requests import create_order_tables, sweep_order, sweep_worker
from rnnbench.sweep.ledger.tables import Now


@dataclass(frozen=True)
class BusyWorker:
    """A worker with a trial.

    Attributes:
        memory: bytes that it holds.
        gpus: by id (share in use, bytes held, bytes there are), see `engines.protocol.Usage`.
        silent_seconds: seconds since it was last heard of.
    """

    worker: str
    node: str
    trial: str
    memory: int = 0
    gpus: Mapping[str, Sequence[float]] = field(default_factory=dict)
    silent_seconds: float = 0.0


class SweepStatus:
    """The status of one sweep in the database."""

    def __init__(self, engine: sa.Engine, sweep: str) -> None:
        self.engine, self.sweep = engine, sweep
        create_order_tables(engine)

    def write(self, pace: Mapping[str, Any], busy: Sequence[BusyWorker]) -> None:
        """Write how the sweep goes (`progress.Snapshot.as_dict`), and who is at work."""
        c = sweep_worker.c
        rows = [
            {
                "sweep": self.sweep, "worker": b.worker, "node": b.node, "trial": b.trial,
                "memory": b.memory, "gpus": json.dumps({k: list(v) for k, v in b.gpus.items()}),
            }
            for b in busy
        ]  # fmt: skip
        with self.engine.begin() as connection:
            this_sweep = sweep_order.c.sweep == self.sweep
            statement = sa.update(sweep_order).where(this_sweep).values(pace=json.dumps(pace))
            connection.execute(statement)
            connection.execute(sa.delete(sweep_worker).where(c.sweep == self.sweep))
            for row, b in zip(rows, busy, strict=True):
                seen = Now() - b.silent_seconds
                connection.execute(sa.insert(sweep_worker).values(**row, seen=seen))

    def busy_workers(self) -> list[BusyWorker]:
        """Return who was at work when the driver last wrote."""
        c = sweep_worker.c
        query = sa.select(sweep_worker, (Now() - c.seen).label("ago")).where(c.sweep == self.sweep)
        with reader(self.engine).begin() as connection:
            rows = connection.execute(query.order_by(c.trial)).mappings().all()
        return [
            BusyWorker(
                row["worker"], row["node"], row["trial"], row["memory"], json.loads(row["gpus"]),
                max(0.0, row["ago"]),
            )
            for row in rows
        ]  # fmt: skip
