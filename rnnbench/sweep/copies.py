"""Copies of the studies, for Optuna's own tools (optuna-dashboard, importances).

They can be deleted at any time: the next start of the sweep makes them anew. So they are written
without waiting for the disk, many at a time.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from filelock import FileLock
from optuna.distributions import distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from rnnbench.database import WAIT_SECONDS

EVERY_SECONDS = 3.0  # between copies


@dataclass
class _Copied:
    """A study in the file."""

    study_id: int
    count: int  # of its trials there
    waiting: dict[int, tuple[FrozenTrial, str]] = field(default_factory=dict)  # ended, by number


class Copies:
    """Copies of the studies in one SQLite file.

    Optuna makes the file and its tables; trials are entered into these tables directly, since its
    own way takes about 30 ms a trial.
    """

    def __init__(self, path: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with FileLock(f"{path}.lock"):  # two drivers under one root may come at the same time
            with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")  # stays with the file
            self._storage = optuna.storages.RDBStorage(
                f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": WAIT_SECONDS}}
            )
        self._engine = engine = self._storage.engine
        sa.event.listen(engine, "connect", _quick)
        sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        engine.dispose()  # connections made before the settings
        tables = sa.MetaData()
        tables.reflect(engine, only=lambda name, _: name.startswith("trial"))
        self._tables = tables.tables
        self._studies: dict[str, _Copied] = {}
        self._written = time.monotonic()

    def open(self, name: str, directions: Sequence[StudyDirection]) -> None:
        """Before the first `add` of a study."""
        study = optuna.create_study(
            storage=self._storage, study_name=name, directions=directions, load_if_exists=True
        )
        trials = self._tables["trials"].c
        query = sa.select(sa.func.count()).where(trials.study_id == study._study_id)
        with self._engine.begin() as connection:
            self._studies[name] = _Copied(study._study_id, connection.execute(query).scalar_one())

    def add(self, name: str, trial: FrozenTrial, run_id: str) -> None:
        """Copy an ended trial, within seconds, after all those with a lower number.

        So trial numbers are the same in both places.
        """
        copied = self._studies[name]
        if trial.number >= copied.count:
            copied.waiting[trial.number] = trial, run_id
        if time.monotonic() - self._written >= EVERY_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        rows: dict[str, list[dict[str, Any]]] = {}
        with self._engine.begin() as connection:
            top = sa.func.coalesce(sa.func.max(self._tables["trials"].c.trial_id), 0)
            trial_id = connection.execute(sa.select(top)).scalar_one()
            for copied in self._studies.values():
                while copied.count in copied.waiting:
                    trial_id += 1
                    trial, run_id = copied.waiting.pop(copied.count)
                    for table, entries in _rows(trial, run_id, copied.study_id, trial_id):
                        rows.setdefault(table, []).extend(entries)
                    copied.count += 1
            for table, entries in rows.items():
                if not entries:
                    continue
                connection.execute(sa.insert(self._tables[table]), entries)
        self._written = time.monotonic()

    def close(self) -> None:
        self.flush()
        self._storage.remove_session()
        self._engine.dispose()


def _rows(
    trial: FrozenTrial, run_id: str, study_id: int, trial_id: int
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A trial as rows of Optuna's tables."""
    yield (
        "trials",
        [
            {
                "trial_id": trial_id,
                "number": trial.number,
                "study_id": study_id,
                "state": trial.state.name,
                "datetime_start": _utc(trial.datetime_start),
                "datetime_complete": _utc(trial.datetime_complete),
            }
        ],
    )
    own = {"trial_id": trial_id}
    distributions = trial.distributions.items()
    yield (
        "trial_params",
        [
            {
                **own,
                "param_name": name,
                "param_value": d.to_internal_repr(trial.params[name]),
                "distribution_json": distribution_to_json(d),
            }
            for name, d in distributions
        ],
    )
    yield (
        "trial_values",
        [
            {**own, "objective": i, "value": value, "value_type": "FINITE"}
            for i, value in enumerate(trial.values or [])
        ],
    )
    yield (
        "trial_intermediate_values",
        [
            {**own, "step": step, "intermediate_value": v, "intermediate_value_type": "FINITE"}
            for step, v in trial.intermediate_values.items()
        ],
    )
    yield (
        "trial_user_attributes",
        [{**own, "key": "run_id", "value_json": json.dumps(run_id)}],
    )
    yield (
        "trial_system_attributes",
        [
            {**own, "key": f"constraints:{name}", "value_json": json.dumps(value)}
            for name, value in trial.constraints.items()
        ],
    )


def _utc(local: datetime | None) -> datetime | None:
    """As the tables have it: without a zone."""
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)


def _quick(connection: Any, _: Any) -> None:
    """SQLite that waits for other writers, and not for the disk."""
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=OFF")
