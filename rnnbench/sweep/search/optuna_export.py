"""Copies studies to Optuna's own storage, for its tools (optuna-dashboard, importances).

The copies can be deleted at any time: the next start of the sweep makes them anew. So they are
written without waiting for the disk, many at a time.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
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
from optuna.trial import FrozenTrial, TrialState, create_trial

from rnnbench.errors import UserError
from rnnbench.results.database import WAIT_SECONDS, journal_mode

EVERY_SECONDS = 3.0  # between copies


class StudyStorageError(UserError, ValueError):
    """The Optuna storage that the user named cannot be opened."""


@dataclass
class CopiedStudy:
    """A study in the storage, as far as it was copied.

    Attributes:
        study_id: its id there.
        count: number of its trials there.
        waiting: ended trials that are still to be copied, with their run ids, by number.
        study: Optuna's object; None where its tables are filled directly, or it is not open.
    """

    study_id: int
    count: int
    waiting: dict[int, tuple[FrozenTrial, str]] = field(default_factory=dict)
    study: optuna.Study | None = None


class StudyCopies:
    """Copies of the studies in one SQLite file.

    Optuna makes the file and its tables; trials are entered into these tables directly, since its
    own way takes about 30 ms a trial.

    A storage that the user names instead is `rnnbench.sweep.search.named_storage`'s.
    """

    def __init__(self, where: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._studies: dict[str, CopiedStudy] = {}
        self._written = time.monotonic()
        with FileLock(f"{where}.lock"):  # two drivers under one root may come at the same time
            with closing(sqlite3.connect(where, timeout=WAIT_SECONDS)) as connection:
                # Stays with the file.
                connection.execute(f"PRAGMA journal_mode={journal_mode(where)}")
            # Optuna takes text in braces for something to be filled in: the file is named apart.
            self._storage: Any = optuna.storages.RDBStorage(
                "sqlite:///studies.db",
                engine_kwargs={"creator": lambda: sqlite3.connect(where, timeout=WAIT_SECONDS)},
            )
        self._engine = engine = self._storage.engine
        sa.event.listen(engine, "connect", _set_up_quick_writes)
        sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        engine.dispose()  # connections made before the settings
        tables = sa.MetaData()
        tables.reflect(engine, only=lambda name, _: name.startswith("trial"))
        self._tables: Mapping[str, sa.Table] = tables.tables

    def open(self, name: str, directions: Sequence[StudyDirection]) -> None:
        """Open or create a study; called before its first `add`."""
        study = optuna.create_study(
            storage=self._storage, study_name=name, directions=directions, load_if_exists=True
        )
        trials = self._tables["trials"].c
        query = sa.select(sa.func.count()).where(trials.study_id == study._study_id)
        with self._engine.begin() as connection:
            self._studies[name] = CopiedStudy(
                study._study_id, connection.execute(query).scalar_one()
            )

    def add(self, name: str, trial: FrozenTrial, run_id: str) -> None:
        """Copy an ended trial within seconds, after all trials with a lower number.

        This order keeps trial numbers the same in both places.
        """
        copied = self._studies[name]
        if trial.number >= copied.count:
            copied.waiting[trial.number] = trial, run_id
        if self._is_due():
            self.flush()

    def _is_due(self) -> bool:
        """Tell whether it is time to write."""
        return time.monotonic() - self._written >= EVERY_SECONDS

    def flush(self) -> None:
        """Write the trials that wait."""
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
        """Write the trials that wait, and close the storage."""
        try:
            self.flush()
        finally:
            self._storage.remove_session()
            self._storage.engine.dispose()


def copy_of_trial(trial: FrozenTrial, run_id: str) -> FrozenTrial:
    """Return a copy of a trial that notes the run it is of."""
    return create_trial(
        state=trial.state,
        values=trial.values if trial.state is not TrialState.FAIL else None,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values=trial.intermediate_values,
        user_attrs={"run_id": run_id},
        system_attrs=trial.system_attrs,
    )


def _rows(
    trial: FrozenTrial, run_id: str, study_id: int, trial_id: int
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield a trial as rows of Optuna's tables: (name of the table, rows)."""
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
    """Return a time as the tables have it: in UTC, without a zone."""
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)


def _set_up_quick_writes(connection: Any, _: Any) -> None:
    """Make SQLite wait for other writers, and not for the disk."""
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=OFF")
