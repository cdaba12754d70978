"""Reads sweeps from their ledger. No torch: only the tables are read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from rnnbench.leaderboard.grouping import FRONT
from rnnbench.results.database import reader
from rnnbench.sweep.file.budget import Prices, SweepLimits
from rnnbench.sweep.ledger import requests, tables
from rnnbench.sweep.ledger.process_identity import is_dead
from rnnbench.sweep.ledger.spending import Account, SpendingBook
from rnnbench.sweep.ledger.tables import Now, sweep_cell, sweep_driver, trial

STATES = ("done", "pruned", "failed", "running", "planned", "refused")  # in the order of the key


@dataclass(frozen=True)
class Trial:
    """A trial of the search, or a final run, as it stands.

    Attributes:
        status: of its record where it has ended: "done", "nan", "oom", ...
        number: of the trial; of a final run its seed.
    """

    key: str
    final: bool
    number: int
    state: str
    status: str | None
    reason: str | None
    run_id: str
    value: float | None
    attempt: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class SweepCell:
    """One combination of the grid.

    Attributes:
        wanted: trials and final runs in all, None where no driver has said so.
    """

    task: str
    architecture: str
    tricks: tuple[str, ...]
    name: str
    refused: str | None
    trials: tuple[Trial, ...]
    wanted: int | None = None

    def count(self, state: str) -> int:
        return sum(t.state == state for t in self.trials)

    @property
    def searched(self) -> int:
        """Number of trials of the search that have ended with a value."""
        return len({t.number for t in self.trials if not t.final and t.state == "done"})


@dataclass(frozen=True)
class SweepView:
    """A sweep at one moment.

    Attributes:
        state: running, paused, stopping, complete, or waiting for a driver.
        text: of its file, as it was last started.
        cells: in the order of the file.
        taken, taken_by_cell: hours and money, as `report.page.page.render_page` takes them.
    """

    name: str
    state: str
    file: str
    text: str
    cells: tuple[SweepCell, ...]
    taken: str = ""
    taken_by_cell: tuple[tuple[str, dict[str, float]], ...] = ()

    def count(self, state: str) -> int:
        if state == "refused":
            return sum(cell.refused is not None for cell in self.cells)
        return sum(cell.count(state) for cell in self.cells)

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(cell.task for cell in self.cells))


def read_sweeps(engine: sa.Engine) -> list[SweepView]:
    """Return every sweep that was started in these results, by name."""
    tables.create_sweep_tables(engine)
    requests.create_order_tables(engine)
    o, c, d = requests.sweep_order.c, sweep_cell.c, sweep_driver.c
    with reader(engine).begin() as connection:
        ordered = {
            row["sweep"]: row
            for row in connection.execute(
                sa.select(o.sweep, o.text, o.file, o.paused, o.stopping, o.pace)
            ).mappings()
        }
        alive = {
            name
            for name, owner, held in connection.execute(
                sa.select(d.sweep, d.owner, d.lease_until > Now())
            )
            if held and not is_dead(owner)
        }
        cells = connection.execute(sa.select(sweep_cell).order_by(c.sweep, c.position)).mappings()
        of_sweep: dict[str, list[Any]] = defaultdict(list)
        for cell in cells:
            of_sweep[cell["sweep"]].append(cell)
        trials: dict[tuple[str, str], list[Trial]] = defaultdict(list)
        t = trial.c
        columns = (t.sweep, t.study, t.key, t.stage, t.number, t.state, t.status, t.reason,
                   t.run_id, t.value, t.attempt, t.params)  # fmt: skip
        query = sa.select(*columns).order_by(t.study, t.stage.desc(), t.number)
        for row in connection.execute(query).mappings():
            cell_of = row["study"].partition(FRONT)[0]  # a compromise belongs to its cell
            trials[row["sweep"], cell_of].append(
                Trial(
                    row["key"],
                    row["stage"] == "final",
                    row["number"],
                    row["state"],
                    row["status"],
                    row["reason"],
                    row["run_id"],
                    row["value"],
                    row["attempt"],
                    json.loads(row["params"]),
                )
            )
    views = []
    for name in sorted({*ordered, *of_sweep}):
        view = _make_view(name, ordered.get(name), of_sweep[name], trials, name in alive)
        account = _account_of(engine, name, ordered.get(name))
        amounts = dict(account.cells())
        studies = [cell["study"] for cell in of_sweep[name]]
        named = zip(studies, view.cells, strict=True)
        by_cell = tuple((cell.name, amounts[study]) for study, cell in named if study in amounts)
        state = account.over() if view.state == "waiting for a driver" else ""
        views.append(
            replace(view, state=state or view.state, taken=account.line(), taken_by_cell=by_cell)
        )
    return views


def _account_of(engine: sa.Engine, name: str, order: Any) -> Account:
    """Return the account of a sweep, with the limits and prices that its driver had."""
    taken = {} if order is None else json.loads(order["pace"]).get("taken", {})
    limits, prices = SweepLimits(**taken.get("limits", {})), Prices(**taken.get("prices", {}))
    return SpendingBook(engine, name).read(limits, prices)


def _make_view(
    name: str, order: Any, cells: list[Any], trials: Mapping[tuple[str, str], Any], alive: bool
) -> SweepView:
    pace = {} if order is None else json.loads(order["pace"])
    wanted = {c["study"]: c["trials"] + c["finals"] for c in pace.get("cells", ())}
    views = tuple(_make_cell(name, cell, trials, wanted) for cell in cells)
    unfinished = any(t.state in ("planned", "running") for cell in views for t in cell.trials)
    if alive and order is not None:
        state = "stopping" if order["stopping"] else "paused" if order["paused"] else "running"
    else:
        state = "waiting for a driver" if unfinished else "complete"
    file, text = ("", "") if order is None else (order["file"], order["text"])
    return SweepView(name, state, file.rpartition("/")[2], text, views)


def _make_cell(
    sweep: str, cell: Any, trials: Mapping[tuple[str, str], Any], wanted: Mapping[str, int]
) -> SweepCell:
    definition = json.loads(cell["definition"])
    definition = definition.get("run", definition)  # a refused cell has nothing but its plugins
    names = tuple(t["name"] for t in definition["tricks"])
    architecture, task = definition["architecture"]["name"], definition["task"]["name"]
    cell_trials = tuple(trials.get((sweep, cell["study"]), ()))
    name = f"{task}.{'+'.join((architecture, *names))}"
    return SweepCell(
        task, architecture, names, name, cell["refused"], cell_trials, wanted.get(cell["study"])
    )
