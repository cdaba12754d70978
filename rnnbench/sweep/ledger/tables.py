"""The tables of the ledger in the results database, and the database's clock."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from rnnbench.results.database import EXACT, LONG, create_tables

VERSION = 2  # raise it when columns change

metadata = sa.MetaData()

trial = sa.Table(
    "trial",
    metadata,
    sa.Column("key", sa.String(320), primary_key=True),  # SWEEP/STUDY/NUMBER, .../final/SEED
    sa.Column("sweep", sa.String(64), nullable=False),
    sa.Column("study", sa.String(160), nullable=False),
    sa.Column("stage", sa.String(8), nullable=False),  # search, final
    sa.Column("number", sa.BigInteger, nullable=False),  # of the trial; of a final run its seed
    sa.Column("spec", LONG, nullable=False),  # canonical JSON
    sa.Column("run_id", sa.String(160), nullable=False),
    sa.Column("params", LONG, nullable=False),  # JSON: what the search chose
    sa.Column("state", sa.String(8), nullable=False),  # planned, running, done, pruned, failed
    sa.Column("status", sa.String(16)),  # of the record: done, pruned, nan, crashed, ...
    sa.Column("reason", LONG),
    sa.Column("attempt", sa.Integer, nullable=False),  # starts so far
    sa.Column("deaths", sa.Integer, nullable=False),  # workers that died of it
    sa.Column("owner", sa.String(255)),  # see `rnnbench.sweep.ledger.process_identity`
    sa.Column("lease_until", sa.Double),  # seconds since 1970, of the database's clock
    sa.Column("value", sa.Double),  # best on validation
    sa.Column("curve", LONG, nullable=False),  # JSON: [[step, value], ...]
    sa.Column("costs", LONG, nullable=False),  # JSON: as in the record, those that are known
    sa.Column("notes", LONG, nullable=False),  # JSON: of the sampler and the pruner
    sa.Index("trial_by_sweep", "sweep", "study", "number"),
    sa.Index("trial_by_run", "run_id", "state"),
    **EXACT,
)

sweep_cell = sa.Table(
    "sweep_cell",
    metadata,
    sa.Column("sweep", sa.String(64), primary_key=True),
    sa.Column("study", sa.String(160), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),  # in the order of the file
    sa.Column("definition", LONG, nullable=False),  # JSON: what makes the study this one
    sa.Column("refused", LONG),  # why the combination was refused; NULL: it was not
    **EXACT,
)

sweep_driver = sa.Table(
    "sweep_driver",
    metadata,
    sa.Column("sweep", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("lease_until", sa.Double, nullable=False),
    **EXACT,
)


def _with_costs(operations: Any) -> None:
    """Add the column of costs; it is empty for trials that ran before."""
    column = sa.Column("costs", LONG, nullable=False, server_default="{}")
    operations.add_column("trial", column)


MIGRATIONS = {1: _with_costs}  # version n -> what makes version n + 1 of it


def create_sweep_tables(engine: sa.Engine) -> None:
    """Create the tables of sweeps where they are missing, or bring them up to date."""
    create_tables(engine, metadata, "sweeps", VERSION, MIGRATIONS)


class Now(FunctionElement[float]):
    """The time by the database's clock in seconds since 1970; it goes on within a transaction."""

    type = sa.Double()
    inherit_cache = True


@compiles(Now, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:
    return "EXTRACT(EPOCH FROM clock_timestamp())::float8"


@compiles(Now, "mysql")
@compiles(Now, "mariadb")
def _mysql_now(*_: Any, **__: Any) -> str:
    return "(UNIX_TIMESTAMP(SYSDATE(6)) + 0e0)"
