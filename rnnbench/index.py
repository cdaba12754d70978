"""The table that indexes records: one wide row for each run, so that a board is one query."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    or_,
)
from sqlalchemy.dialects import postgresql, sqlite

from rnnbench.record import Record, Status

VERSION = 1  # of the table below; raise it when its columns change

metadata = MetaData()

result = Table(
    "result",
    metadata,
    Column("run_id", String(160), primary_key=True),
    Column("task", String(160), nullable=False),
    Column("architecture", String(160), nullable=False),
    Column("tricks", Text, nullable=False),  # names joined by "+", in order
    Column("seed", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("test", Boolean, nullable=False),
    Column("protocol_id", String(16), nullable=False),
    Column("config_id", String(16), nullable=False),
    Column("valid", Float),  # the headline metric on each split
    Column("tested", Float),
    Column("loss", Float),  # on validation
    Column("parameters", BigInteger),
    Column("tokens", BigInteger),
    Column("seconds", Float),  # of training
    Column("sweep", String(160)),
    Column("study", String(160)),
    Column("attempt", Integer, nullable=False),
    Column("ended", String(40)),
    Column("stamp", String(64), nullable=False),  # of record.json as indexed
    Column("record", Text, nullable=False),  # record.json itself
    Index("result_by_board", "task", "protocol_id", "architecture", "status", "tested"),
    Index("result_by_sweep", "sweep", "study"),
)


def row_of(record: Record, text: str, stamp: str) -> dict[str, Any]:
    """The row of a record, given its JSON and the stamp of the file that holds it."""
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
    """Insert rows, or update those that may be replaced; the number of rows written."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(result)
    new, old = insert.excluded, result.c
    upsert = insert.on_conflict_do_update(
        index_elements=[old.run_id],
        set_={c.name: new[c.name] for c in result.c if c.name != "run_id"},
        where=(new.attempt >= old.attempt)
        & or_(new.status == Status.DONE.value, old.status != Status.DONE.value),
    )
    return sum(connection.execute(upsert, row).rowcount for row in rows)
