"""Writes runs as a table for other programs (CSV, JSON, Parquet), and as runs of W&B. No torch."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rnnbench.errors import UserError
from rnnbench.files.atomic import replace_file
from rnnbench.report.files.boards import EXPORT_FORMAT, csv_of
from rnnbench.results.labels import label_in
from rnnbench.results.record import COSTS, Record
from rnnbench.results.sharing.origin import state_of
from rnnbench.spec.data_set import file_that_is_read
from rnnbench.training.wandb_run import (
    NOT_LOGGED_IN,
    labels,
    logged_in,
    named_for_charts,
    open_wandb,
)

TABLES = (".csv", ".json", ".parquet")


class TableError(UserError, ValueError):
    """The table cannot be written as asked; the message says what to do."""


def write_table(records: Sequence[Record], path: Path) -> None:
    """Write a line for each run, in the format that the file's name says; whole or not at all.

    Raises:
        TableError: another ending than `TABLES`, or Parquet without pyarrow.
        OSError: the file could not be written; what was there is unchanged.
    """
    rows = [row_of(record) for record in records]
    if path.suffix == ".csv":
        replace_file(path, csv_of(rows))
    elif path.suffix == ".json":
        content = {"format": EXPORT_FORMAT, "runs": rows}
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        replace_file(path, text + "\n")
    elif path.suffix == ".parquet":
        replace_file(path, _as_parquet(rows))
    else:
        raise TableError(f"{path}: a table ends in {', '.join(TABLES)}")


def row_of(record: Record) -> dict[str, Any]:
    """Return a run in one line: what it was, how it ended, its figures and cost.

    Settings are columns such as "architecture.hidden"; figures are columns such as "test mse".
    """
    spec = record.spec
    return {
        "run_id": record.run_id,
        "task": spec.task.name,
        "architecture": spec.architecture.name,
        "tricks": " ".join(t.name for t in spec.tricks),
        "seed": spec.seed,
        "status": record.status.value,
        "reason": record.reason,
        "verified": state_of(record),
        "metric": record.headline.get("name"),
        "valid": record.value("valid"),
        "test": record.value("test"),
        "sweep": record.sweep,
        "study": record.study,
        "config_id": spec.config_id,
        "protocol_id": spec.protocol_id,
        "data": spec.data,
        "data_set": label_in(record) or file_that_is_read(dict(spec.task.settings)) or None,
        "started": record.started,
        "ended": record.ended,
        **{name: record.cost.get(name) for name in COSTS},
        **spec.flat_settings(),
        **{
            f"{split} {name}": value
            for split, figures in record.metrics.items()
            for name, value in figures.items()
        },
    }


def _as_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise TableError("Parquet needs pyarrow: pip install 'rnnbench[parquet]'") from error
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _one_type([row.get(name) for row in rows]) for name in names}
    out = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def _one_type(values: list[Any]) -> list[Any]:
    """Return the values of a column, as text where plugins call different things by one name."""
    kinds = {type(v) for v in values if v is not None}
    if len(kinds) <= 1:
        return values
    if kinds <= {int, float}:
        return [None if v is None else float(v) for v in values]
    return [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]


def to_wandb(records: Sequence[Record], project: str, say: Callable[[str], None]) -> None:
    """Enter runs in W&B as they are in their records: config, curve, figures, how they ended.

    Each keeps its run id, so a run that is sent twice is there once.

    Raises:
        TableError: W&B is neither logged in nor offline.
    """
    if not logged_in():
        raise TableError(NOT_LOGGED_IN)
    for record in records:
        run = open_wandb(
            project=project, id=record.run_id, name=record.run_id, group=record.sweep,
            config=record.spec.as_dict(), resume="allow", **labels(record.spec, record.sweep),
        )  # fmt: skip
        for step, seconds, figures in record.curve:
            run.log({"seconds": seconds, **named_for_charts(figures)}, step=step)
        for split, figures in record.metrics.items():
            run.summary.update({f"{split}/{name}": value for name, value in figures.items()})
        run.summary.update({f"cost/{name}": value for name, value in record.cost.items()})
        run.summary.update({"status": record.status.value, "reason": record.reason})
        run.finish(exit_code=0 if record.status == "done" else 1)
    what = "run" if len(records) == 1 else "runs"
    say(f"{len(records)} {what} entered in the W&B project {project}")
