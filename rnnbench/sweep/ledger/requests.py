"""Carries a user's requests to the driver of a sweep: to pause, to stop, to do more.

Requests go through the results database: the driver reads the sweep's row every second.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from rnnbench.errors import UserError
from rnnbench.results.database import EXACT, LONG, create_tables, reader
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.tables import trial

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

sweep_worker = sa.Table(  # read and written by `rnnbench.sweep.ledger.status`
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
class SweepRequest:
    """All that is asked of a sweep; its fields are the columns of the table `sweep_order`.

    Attributes:
        text, file: the sweep file as it was last started, and its path.
        started: options of that start, and `by` whom and `at` what time it was.
        trials: trials wanted of each cell; None: as many as the file says.
        seeds: final seeds wanted beside the file's.
        revision: number of times that the trials' rows were changed by a request.
        pace: how the sweep goes, see `rnnbench.sweep.progress.Snapshot.as_dict`.
    """

    text: str = ""
    file: str = ""
    started: dict[str, Any] = field(default_factory=dict)
    paused: bool = False
    stopping: bool = False
    trials: int | None = None
    seeds: tuple[int, ...] = ()
    revision: int = 0
    pace: dict[str, Any] = field(default_factory=dict)


class UnknownSweepError(UserError, ValueError):
    """No sweep of this name was started under this root."""


class RetryError(UserError, ValueError):
    """A trial cannot be retried; the message says why."""


def who_starts() -> dict[str, str]:
    """Return who starts a driver now: user@host, and the time in UTC."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # in a container without an entry for its user
        user = str(os.getuid())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"by": f"{user}@{socket.gethostname()}", "at": now}


def create_order_tables(engine: sa.Engine) -> None:
    """Create the tables of requests and of the status where they are missing."""
    create_tables(engine, metadata, "orders", VERSION, {})


class SweepRequests:
    """Reads and writes what is asked of one sweep."""

    def __init__(self, engine: sa.Engine, sweep: str) -> None:
        self.engine, self.sweep = engine, sweep
        create_order_tables(engine)

    def read(self) -> SweepRequest:
        """Return what is asked now.

        Raises:
            UnknownSweepError: the sweep was never started here; the message names those that were.
        """
        query = sa.select(sweep_order).where(sweep_order.c.sweep == self.sweep)
        with reader(self.engine).begin() as connection:
            row = connection.execute(query).mappings().first()
            names = connection.execute(sa.select(sweep_order.c.sweep)).scalars().all()
        if row is None:
            known = f"known are: {', '.join(sorted(names))}" if names else "none was started here"
            raise UnknownSweepError(
                f"there is no sweep {self.sweep!r} in these results; {known}.\n"
                "  A sweep is named by `name:` in its file; --out (RNNBENCH_RESULTS) and "
                "RNNBENCH_DATABASE say which results."
            )
        values = {k: v for k, v in row.items() if k != "sweep"}
        for name in ("started", "pace", "seeds"):
            values[name] = json.loads(values[name])
        values |= {n: bool(values[n]) for n in ("paused", "stopping")}
        return SweepRequest(**{**values, "seeds": tuple(values["seeds"])})

    def begin(self, text: str, file: str, started: Mapping[str, Any]) -> SweepRequest:
        """Note that a driver starts, and with what; forget an earlier request to stop."""
        new = {"text": text, "file": file, "started": json.dumps(started), "stopping": False}
        this_sweep = sweep_order.c.sweep == self.sweep
        defaults = {"paused": False, "trials": None, "seeds": "[]", "revision": 0, "pace": "{}"}
        with self.engine.begin() as connection:
            update = sa.update(sweep_order).where(this_sweep).values(**new)
            if not connection.execute(update).rowcount:
                values = {"sweep": self.sweep, **new, **defaults}
                connection.execute(sa.insert(sweep_order).values(**values))
            earlier_workers = sweep_worker.c.sweep == self.sweep
            connection.execute(sa.delete(sweep_worker).where(earlier_workers))
        return self.read()

    def change(self, **columns: Any) -> None:
        """Change columns of the sweep's row in `sweep_order`."""
        self.read()
        this_sweep = sweep_order.c.sweep == self.sweep
        with self.engine.begin() as connection:
            connection.execute(sa.update(sweep_order).where(this_sweep).values(**columns))

    def extend(self, trials: int | None, seeds: Collection[int]) -> SweepRequest:
        """Ask for more trials of each cell, or more final seeds."""
        now = self.read()
        all_seeds = sorted({*now.seeds, *seeds})
        count = max(filter(None, (now.trials, trials)), default=None)
        self.change(trials=count, seeds=json.dumps(all_seeds), revision=now.revision + 1)
        return self.read()

    def retry(self, ledger: Ledger, names: Collection[str]) -> list[str]:
        """Plan failed trials again that may end differently; return their keys.

        Args:
            names: keys, with or without the sweep's name; none: all such trials.

        Raises:
            RetryError: a name is no failed trial, or one that would only fail in the same way.
        """
        now = self.read()
        failed = {r.key: r for r in ledger.rows() if r.state == "failed"}
        named = [n if n in failed else f"{self.sweep}/{n}" for n in names]
        for key in named:
            if key not in failed:
                raise RetryError(
                    f"{key} is no failed trial of this sweep; those are: "
                    f"{', '.join(failed) or 'none'}"
                )
            if failed[key].status not in RETRIED:
                raise RetryError(
                    f"{key} ended as {failed[key].status} ({failed[key].reason}); the same "
                    f"configuration would end so again. Only {', '.join(RETRIED)} are retried."
                )
        keys = named or [k for k, r in failed.items() if r.status in RETRIED]
        c = trial.c
        with self.engine.begin() as connection:
            for key in keys:
                statement = sa.update(trial).where(c.key == key, c.state == "failed")
                connection.execute(statement.values(state="planned", deaths=0))
        if keys:
            self.change(revision=now.revision + 1)
        return keys
