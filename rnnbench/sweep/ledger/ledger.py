"""The ledger of trials: what each trial of a sweep is, who runs it, and how it ended.

It lives in the results database, and is the truth about a sweep. A trial is claimed by one
conditional UPDATE that raises its attempt. Its end is written only under the attempt that holds
it, so that a worker which lost its lease cannot write. Times are the database's own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from rnnbench.errors import UserError
from rnnbench.results.database import reader
from rnnbench.sweep.ledger.process_identity import busy_text, is_dead, is_here
from rnnbench.sweep.ledger.tables import Now, create_sweep_tables, sweep_cell, sweep_driver, trial

ENDED = ("done", "pruned", "failed")
AT_ONCE = 500  # rows in one statement: SQLite limits the depth of conditions
_held: set[tuple[str, str]] = set()  # (database, sweep) that this process drives


class SweepBusyError(UserError, RuntimeError):
    """Another process drives this sweep."""

    exit_code = 1


class LostSweepError(UserError, RuntimeError):
    """Another process took this sweep over while this one did not answer."""

    exit_code = 1


@dataclass
class TrialRow:
    """A run of a trial as the ledger has it; its fields are the columns of the table `trial`."""

    key: str
    sweep: str
    study: str
    stage: str
    number: int
    spec: str
    run_id: str
    params: dict[str, Any] = field(default_factory=dict)
    state: str = "planned"
    status: str | None = None
    reason: str | None = None
    attempt: int = 0
    deaths: int = 0
    owner: str | None = None
    lease_until: float | None = None
    value: float | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Tell whether the run is done, pruned or failed."""
        return self.state in ENDED


class Ledger:
    """The trials of one sweep, as the process that drives it reads and writes them.

    Args:
        engine: the results database, see `rnnbench.results.database`.
        owner: identity of this driver.
        lease: seconds that a claim holds without a sign of life; three beats or more.
    """

    def __init__(self, engine: sa.Engine, sweep: str, owner: str, lease: float = 30.0) -> None:
        self.engine, self.sweep, self.owner, self.lease = engine, sweep, owner, lease
        create_sweep_tables(engine)

    @property
    def _hold(self) -> tuple[str, str]:
        return self.engine.url.render_as_string(), self.sweep

    # ------------------------------------------------------------------------- the sweep itself

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Hold the sweep within `with`, so that no second process drives it.

        Raises:
            SweepBusyError: another process drives it; the message says which.
        """
        d = sweep_driver.c
        with self.engine.begin() as connection:
            query = sa.select(d.owner, d.lease_until > Now()).where(d.sweep == self.sweep)
            holder = connection.execute(query).first()
            # A stale entry of our own: the database was unreachable when we tried to release it.
            stale = holder is not None and holder[0] == self.owner and self._hold not in _held
            if (
                holder is not None
                and not stale
                and not is_dead(holder[0])
                and (holder[1] or is_here(holder[0]))
            ):
                raise SweepBusyError(busy_text(self.sweep, holder[0]))
            condition = d.sweep == self.sweep
            if holder is not None:
                condition &= d.owner == holder[0]
            connection.execute(sa.delete(sweep_driver).where(condition))
            connection.execute(
                sa.insert(sweep_driver).values(
                    sweep=self.sweep, owner=self.owner, lease_until=Now() + self.lease
                )
            )
        _held.add(self._hold)
        try:
            yield
        finally:
            _held.discard(self._hold)
            with self.engine.begin() as connection:
                our_hold = (d.sweep == self.sweep) & (d.owner == self.owner)
                connection.execute(sa.delete(sweep_driver).where(our_hold))

    def note_cells(self, cells: Sequence[tuple[str, Mapping[str, Any], str | None]]) -> None:
        """Write down the cells as (study, definition, why it was refused or None)."""
        rows = [
            {
                "sweep": self.sweep,
                "study": study,
                "position": position,
                "definition": json.dumps(definition, sort_keys=True),
                "refused": refused,
            }
            for position, (study, definition, refused) in enumerate(cells)
        ]
        with self.engine.begin() as connection:
            connection.execute(sa.delete(sweep_cell).where(sweep_cell.c.sweep == self.sweep))
            if rows:
                connection.execute(sa.insert(sweep_cell), rows)

    # ------------------------------------------------------------------------------- the trials

    def rows(self) -> list[TrialRow]:
        """Return the rows of every trial, ordered by study, stage and number."""
        c = trial.c
        query = sa.select(trial).where(c.sweep == self.sweep).order_by(c.study, c.stage, c.number)
        with reader(self.engine).begin() as connection:
            return [_parse_row(r) for r in connection.execute(query).mappings()]

    def plan(self, rows: Sequence[TrialRow]) -> None:
        """Enter new rows; a final run of another configuration replaces the one planned before."""
        c = trial.c
        with self.engine.begin() as connection:
            for row in rows:
                stale = (c.key == row.key) & (c.stage == "final") & (c.run_id != row.run_id)
                connection.execute(sa.delete(trial).where(stale))
                connection.execute(
                    sa.insert(trial).values(
                        **{k: getattr(row, k) for k in _PLAIN},
                        **{k: json.dumps(getattr(row, k)) for k in _JSON},
                    )
                )

    def claim(self, row: TrialRow, owner: str, above: int = 0) -> bool:
        """Claim a trial for a worker, and raise its attempt to more than `above`.

        Args:
            row: the row as it was read; updated where the claim succeeds.
            owner: identity of the worker.

        Returns:
            False where it cannot be claimed: it changed meanwhile, its last owner may still be
            alive, or another trial with the same run id (so the same folder) is running.
        """
        c, other = trial.c, trial.alias()
        free = c.state == "planned"
        if row.state == "running":
            orphan = c.owner == row.owner if row.owner and is_dead(row.owner) else sa.false()
            free = (c.state == "running") & (orphan | (c.lease_until < Now()))
        # In a table of its own: MySQL does not read from the table that it changes.
        others = sa.select(other.c.key).where(
            other.c.run_id == row.run_id,
            other.c.key != row.key,
            other.c.state == "running",
            other.c.lease_until > Now(),
        )
        same_run = sa.exists(sa.select(others.limit(1).subquery().c.key))
        sweep_is_ours = sa.exists().where(
            sweep_driver.c.sweep == self.sweep, sweep_driver.c.owner == self.owner
        )
        attempt = max(row.attempt, above) + 1
        claimed = self._update(
            sa.update(trial)
            .where(c.key == row.key, c.attempt == row.attempt, free, ~same_run, sweep_is_ours)
            .values(
                state="running",
                attempt=attempt,
                owner=owner,
                lease_until=Now() + self.lease,
                status=None,
                reason=None,
            )
        )
        if not claimed:
            return False
        row.state, row.attempt, row.owner = "running", attempt, owner
        return True

    def beat(self, alive: Collection[tuple[str, int]]) -> set[str]:
        """Extend this driver's hold of the sweep, and the leases of running trials.

        Args:
            alive: (key, attempt) of the trials whose workers were heard of.

        Returns:
            The keys of those that are still held under that attempt.

        Raises:
            LostSweepError: the sweep has another driver now.
        """
        d, c = sweep_driver.c, trial.c
        until = Now() + self.lease
        with self.engine.begin() as connection:
            our_hold = (d.sweep == self.sweep) & (d.owner == self.owner)
            extend = sa.update(sweep_driver).where(our_hold).values(lease_until=until)
            if not connection.execute(extend).rowcount:
                raise LostSweepError(
                    f"the sweep {self.sweep!r} was taken over by another process, because this one "
                    f"did not answer for {self.lease:g} s; nothing is lost, the other one goes on"
                )
            still_held: set[str] = set()
            pairs = sorted(alive)  # in one order, so that no two processes wait for each other
            for start in range(0, len(pairs), AT_ONCE):
                listed = sa.tuple_(c.key, c.attempt).in_(pairs[start : start + AT_ONCE])
                held_by_us = (c.state == "running") & listed
                connection.execute(sa.update(trial).where(held_by_us).values(lease_until=until))
                still_held |= set(connection.execute(sa.select(c.key).where(held_by_us)).scalars())
            return still_held

    def finish(
        self,
        row: TrialRow,
        *,
        state: str,
        status: str,
        reason: str | None = None,
        value: float | None = None,
        curve: Sequence[tuple[int, float]] = (),
        costs: Mapping[str, float] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> bool:
        """Write how a trial ended, under the attempt of `row`, and update `row`.

        Returns:
            False where another attempt holds the trial.
        """
        new = {"state": state, "status": status, "reason": reason, "value": value}
        as_json = {"curve": list(curve), "costs": dict(costs or {}), "notes": dict(notes or {})}
        dumped = {k: json.dumps(v, allow_nan=False) for k, v in as_json.items()}
        if not self._end(row, {**new, **dumped}):
            return False
        row.__dict__.update(new, **as_json, lease_until=None)
        return True

    def give_back(self, row: TrialRow, *, status: str, reason: str, died: bool = False) -> bool:
        """Plan a running trial again, and update `row`.

        Args:
            died: whether its worker died of it.

        Returns:
            False where another attempt holds the trial.
        """
        new = {"state": "planned", "status": status, "reason": reason}
        new["deaths"] = row.deaths + died  # type: ignore[assignment]
        if not self._end(row, new):
            return False
        row.__dict__.update(new)
        return True

    def _end(self, row: TrialRow, values: dict[str, Any]) -> bool:
        c = trial.c
        held = (c.key == row.key) & (c.attempt == row.attempt) & (c.state == "running")
        return self._update(sa.update(trial).where(held).values(**values, lease_until=None))

    def _update(self, statement: sa.Update) -> bool:
        """Execute an UPDATE, and tell whether it changed a row; MySQL has no RETURNING."""
        with self.engine.begin() as connection:
            return connection.execute(statement).rowcount == 1


def past_trials(engine: sa.Engine, sweep: str) -> list[tuple[dict[str, Any], list[TrialRow]]]:
    """Return the searched cells of a sweep as (definition, ended trials of the search)."""
    create_sweep_tables(engine)
    c, t = sweep_cell.c, trial.c
    cells = sa.select(c.study, c.definition).where(c.sweep == sweep, c.refused.is_(None))
    rows = (
        sa.select(trial)
        .where(t.sweep == sweep, t.stage == "search", t.state.in_(ENDED))
        .order_by(t.study, t.number, t.key)
    )
    with reader(engine).begin() as connection:
        by_study: dict[str, tuple[dict[str, Any], list[TrialRow]]] = {
            study: (json.loads(text), []) for study, text in connection.execute(cells)
        }
        for row in connection.execute(rows).mappings():
            if row["study"] in by_study:
                by_study[row["study"]][1].append(_parse_row(row))
    return list(by_study.values())


def refusals(engine: sa.Engine) -> list[dict[str, Any]]:
    """Return the refused combinations of all sweeps, as `report.page.page.write_page` takes."""
    create_sweep_tables(engine)
    c = sweep_cell.c
    query = (
        sa.select(c.definition, c.refused)
        .where(c.refused.is_not(None))
        .order_by(c.sweep, c.position)
    )
    with reader(engine).begin() as connection:
        rows = connection.execute(query).all()
    cells = [(json.loads(definition), reason) for definition, reason in rows]
    return [
        {
            "task": cell["task"]["name"],
            "architecture": cell["architecture"]["name"],
            "tricks": [t["name"] for t in cell["tricks"]],
            "reason": reason,
        }
        for cell, reason in cells
    ]


_JSON = ("params", "curve", "costs", "notes")
_PLAIN = tuple(c.name for c in trial.c if c.name not in _JSON)


def _parse_row(values: sa.RowMapping) -> TrialRow:
    """Return the row of the table `trial` with these values."""
    plain = {k: values[k] for k in _PLAIN}
    row = TrialRow(**plain, **{k: json.loads(values[k]) for k in _JSON})
    row.curve = [(int(step), float(value)) for step, value in row.curve]
    return row
