"""What a driver is told from another terminal, and what it tells of itself.

Both go through the results database: orders are rows that the driver reads every second, its
workers and its pace are rows that it writes with each beat.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from rnnbench.errors import UserError
from rnnbench.results.database import EXACT, LONG, create_tables, reader
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.tables import Now, trial

VERSION = 1
RETRIED = ("crashed", "oom", "timeout")  # the others would end in the same way again

metadata = sa.MetaData()

sweep_order = sa.Table(
    "sweep_order",
    metadata,
    sa.Column("sweep", sa.String(64), primary_key=True),
    sa.Column("text", LONG, nullable=False),  # of the sweep file, as it was last started
    sa.Column("file", sa.String(255), nullable=False),
    sa.Column("started", LONG, nullable=False),  # JSON: options of that start
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("stopping", sa.Boolean, nullable=False),
    sa.Column("trials", sa.Integer),  # of each cell, where more than the file says
    sa.Column("seeds", LONG, nullable=False),  # JSON: final seeds beside the file's
    sa.Column("revision", sa.Integer, nullable=False),  # counts changes of the trials' rows
    sa.Column("pace", LONG, nullable=False),  # JSON: `rnnbench.sweep.progress.Snapshot`
    **EXACT,
)

sweep_worker = sa.Table(
    "sweep_worker",
    metadata,
    sa.Column("sweep", sa.String(64), primary_key=True),
    sa.Column("worker", sa.String(190), primary_key=True),
    sa.Column("node", sa.String(190), nullable=False),
    sa.Column("trial", sa.String(320), nullable=False),
    sa.Column("memory", sa.BigInteger, nullable=False),
    sa.Column("gpus", LONG, nullable=False),  # JSON: id -> share in use, bytes, of bytes
    sa.Column("seen", sa.Double, nullable=False),  # seconds since 1970, of the database's clock
    **EXACT,
)


@dataclass(frozen=True)
class Order:
    """What is asked of a sweep; fields as the columns of the table."""

    text: str = ""
    file: str = ""
    started: dict[str, Any] = field(default_factory=dict)
    paused: bool = False
    stopping: bool = False
    trials: int | None = None
    seeds: tuple[int, ...] = ()
    revision: int = 0
    pace: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Busy:
    """A worker with a trial: what it uses, and how long ago it was heard of, in seconds."""

    worker: str
    node: str
    trial: str
    memory: int = 0
    gpus: Mapping[str, Sequence[float]] = field(default_factory=dict)
    ago: float = 0.0


class UnknownSweepError(UserError, ValueError):
    """No sweep of this name was started under this root."""


def create_order_tables(engine: sa.Engine) -> None:
    """Create the tables of orders where they are missing."""
    create_tables(engine, metadata, "orders", VERSION, {})


class SweepRequests:
    """The orders of one sweep."""

    def __init__(self, engine: sa.Engine, sweep: str) -> None:
        self.engine, self.sweep = engine, sweep
        create_order_tables(engine)

    def read(self) -> Order:
        """What is asked now.

        Raises:
            UnknownSweepError: the sweep was never started here; the message names those that were.
        """
        query = sa.select(sweep_order).where(sweep_order.c.sweep == self.sweep)
        with reader(self.engine).begin() as connection:
            found = connection.execute(query).mappings().first()
            names = connection.execute(sa.select(sweep_order.c.sweep)).scalars().all()
        if found is None:
            known = f"known are: {', '.join(sorted(names))}" if names else "none was started here"
            raise UnknownSweepError(
                f"there is no sweep {self.sweep!r} in these results; {known}.\n"
                "  A sweep is named by `name:` in its file; --out (RNNBENCH_RESULTS) and "
                "RNNBENCH_DATABASE say which results."
            )
        values = {k: v for k, v in found.items() if k != "sweep"}
        for name in ("started", "pace", "seeds"):
            values[name] = json.loads(values[name])
        values |= {n: bool(values[n]) for n in ("paused", "stopping")}
        return Order(**{**values, "seeds": tuple(values["seeds"])})

    def begin(self, text: str, file: str, started: Mapping[str, Any]) -> Order:
        """A driver starts: note what it runs, and forget an earlier request to stop."""
        new = {"text": text, "file": file, "started": json.dumps(started), "stopping": False}
        mine = sweep_order.c.sweep == self.sweep
        fresh = {"paused": False, "trials": None, "seeds": "[]", "revision": 0, "pace": "{}"}
        with self.engine.begin() as connection:
            if not connection.execute(sa.update(sweep_order).where(mine).values(**new)).rowcount:
                values = {"sweep": self.sweep, **new, **fresh}
                connection.execute(sa.insert(sweep_order).values(**values))
            gone = sweep_worker.c.sweep == self.sweep
            connection.execute(sa.delete(sweep_worker).where(gone))
        return self.read()

    def give(self, **changed: Any) -> None:
        """Change columns of the order."""
        self.read()
        mine = sweep_order.c.sweep == self.sweep
        with self.engine.begin() as connection:
            connection.execute(sa.update(sweep_order).where(mine).values(**changed))

    def extend(self, trials: int | None, seeds: Collection[int]) -> Order:
        """Ask for more trials of each cell, or more final seeds."""
        now = self.read()
        more = sorted({*now.seeds, *seeds})
        count = max(filter(None, (now.trials, trials)), default=None)
        self.give(trials=count, seeds=json.dumps(more), revision=now.revision + 1)
        return self.read()

    def retry(self, ledger: Ledger, names: Collection[str]) -> list[str]:
        """Plan failed trials again whose end may differ; their keys.

        Args:
            names: their keys, with or without the sweep's name; none: all of them.

        Raises:
            ValueError: a name is no trial, or is one that would only fail in the same way.
        """
        now = self.read()
        failed = {r.key: r for r in ledger.rows() if r.state == "failed"}
        wanted = [n if n in failed else f"{self.sweep}/{n}" for n in names]
        for key in wanted:
            if key not in failed:
                raise ValueError(
                    f"{key} is no failed trial of this sweep; those are: "
                    f"{', '.join(failed) or 'none'}"
                )
            if failed[key].status not in RETRIED:
                raise ValueError(
                    f"{key} ended as {failed[key].status} ({failed[key].reason}); the same "
                    f"configuration would end so again. Only {', '.join(RETRIED)} are retried."
                )
        keys = wanted or [k for k, r in failed.items() if r.status in RETRIED]
        c = trial.c
        with self.engine.begin() as connection:
            for key in keys:
                statement = sa.update(trial).where(c.key == key, c.state == "failed")
                connection.execute(statement.values(state="planned", deaths=0))
        if keys:
            self.give(revision=now.revision + 1)
        return keys

    # --------------------------------------------------------------------- what the driver tells

    def tell(self, pace: Mapping[str, Any], busy: Sequence[Busy]) -> None:
        """Note how it goes, and who is at work."""
        c = sweep_worker.c
        rows = [
            {
                "sweep": self.sweep, "worker": b.worker, "node": b.node, "trial": b.trial,
                "memory": b.memory, "gpus": json.dumps({k: list(v) for k, v in b.gpus.items()}),
            }
            for b in busy
        ]  # fmt: skip
        with self.engine.begin() as connection:
            mine = sweep_order.c.sweep == self.sweep
            statement = sa.update(sweep_order).where(mine).values(pace=json.dumps(pace))
            connection.execute(statement)
            connection.execute(sa.delete(sweep_worker).where(c.sweep == self.sweep))
            for row, b in zip(rows, busy, strict=True):
                connection.execute(sa.insert(sweep_worker).values(**row, seen=Now() - b.ago))

    def busy(self) -> list[Busy]:
        """Who was at work when the driver last told."""
        c = sweep_worker.c
        query = sa.select(sweep_worker, (Now() - c.seen).label("ago")).where(c.sweep == self.sweep)
        with reader(self.engine).begin() as connection:
            found = connection.execute(query.order_by(c.trial)).mappings().all()
        return [
            Busy(f["worker"], f["node"], f["trial"], f["memory"], json.loads(f["gpus"]),
                 max(0.0, f["ago"]))
            for f in found
        ]  # fmt: skip
