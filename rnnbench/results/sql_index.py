"""The table that indexes records: one wide row for each run, so that a board is one query."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from rnnbench.results.database import EXACT, LONG
from rnnbench.results.record import Record, Status

VERSION = 1  # of the table below; raise it when its columns change

metadata = MetaData()

result = Table(
    "result",
    metadata,
    Column("run_id", String(160), primary_key=True),
    Column("task", String(160), nullable=False),
    Column("architecture", String(160), nullable=False),
    Column("tricks", LONG, nullable=False),  # names joined by "+", in order
    Column("seed", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("test", Boolean, nullable=False),
    Column("protocol_id", String(16), nullable=False),
    Column("config_id", String(16), nullable=False),
    Column("valid", Double),  # the headline metric on each split
    Column("tested", Double),
    Column("loss", Double),  # on validation
    Column("parameters", BigInteger),
    Column("tokens", BigInteger),
    Column("seconds", Double),  # of training
    Column("sweep", String(160)),
    Column("study", String(160)),
    Column("attempt", Integer, nullable=False),
    Column("ended", String(40)),
    Column("stamp", String(64), nullable=False),  # of record.json as indexed
    Column("record", LONG, nullable=False),  # record.json itself
    Index("result_by_board", "task", "protocol_id", "architecture", "status", "tested"),
    Index("result_by_sweep", "sweep", "study"),
    **EXACT,
)


def row_of(record: Record, text: str, stamp: str) -> dict[str, Any]:
    """Return the row of a record, given its JSON and the stamp of the file that holds it."""
    spec, cost = record.spec, record.cost
    return {
        "run_id": record.run_id,
        "task": spec.task.name,
        "architecture": spec.architecture.name,
        "tricks": "+".join(t.name for t in spec.tricks),
        "seed": spec.seed,
        "status": record.status.value,
        "test": spec.test,
        "protocol_id": spec.protocol_id,
        "config_id": spec.config_id,
        "valid": record.value("valid"),
        "tested": record.value("test"),
        "loss": record.metrics.get("valid", {}).get("loss"),
        "parameters": cost.get("parameters"),
        "tokens": cost.get("tokens"),
        "seconds": cost.get("train_seconds"),
        "sweep": record.sweep,
        "study": record.study,
        "attempt": record.attempt,
        "ended": record.ended,
        "stamp": stamp,
        "record": text,
    }


def index_rows(connection: Connection, rows: list[dict[str, Any]]) -> int:
    """Insert rows, or update those that may be replaced; return how many were written."""
    if connection.dialect.name in ("mysql", "mariadb"):
        return sum(_index_row(connection, row) for row in rows)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    plain = dialect.insert(result)
    new, old = plain.excluded, result.c
    upsert = plain.on_conflict_do_update(
        index_elements=[old.run_id],
        set_={c.name: new[c.name] for c in result.c if c.name != "run_id"},
        where=(new.attempt >= old.attempt)
        & or_(new.status == Status.DONE.value, old.status != Status.DONE.value),
    )
    return sum(connection.execute(upsert, row).rowcount for row in rows)


def _index_row(connection: Connection, row: dict[str, Any]) -> int:
    """Index a row where an insertion cannot be made conditional on the row that is there."""
    of_run = result.c.run_id == row["run_id"]
    query = select(result.c.attempt, result.c.status).where(of_run).with_for_update()
    old = connection.execute(query).first()
    if old is None:
        return connection.execute(insert(result), row).rowcount
    done = Status.DONE.value
    if row["attempt"] < old.attempt or (row["status"] != done and old.status == done):
        return 0
    return connection.execute(update(result).where(of_run), row).rowcount
