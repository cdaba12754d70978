"""Finds the trials of an earlier sweep from which a new one can learn."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.ledger import TrialRow, past_trials
from rnnbench.sweep.plan import CellPlan

# Parts of a cell's definition that must be equal for its trials to be comparable.
ALIKE = ("space", "objectives", "constraints", "seeds", "run")


def past_rows(sweep: Sweep, plan: CellPlan, engine: sa.Engine) -> list[TrialRow]:
    """Return the ended trials of the same cell in the sweep that `search.start` names.

    Raises:
        SweepError: there is no such sweep, it lacks the cell, or its cell is not comparable.
    """
    name = sweep.search.history
    if name is None:
        return []
    place = ("search", "start")
    if name == sweep.name:
        raise sweep.error(place, f"{name!r} is this sweep itself: its trials are known anyway")
    cells = past_trials(engine, name)
    if not cells:
        raise sweep.error(place, f"the results know no sweep {name!r} that was searched")
    reasons = []
    ours = json.loads(json.dumps(plan.definition))  # as it was written down: tuples are lists
    for definition, rows in cells:
        difference = _difference(definition, ours)
        if difference is None:
            return rows
        if _plugin_names(definition) == _plugin_names(ours):
            reasons.append(difference)
    if not reasons:
        raise sweep.error(place, f"the sweep {name!r} has no cell {plan.cell.name}")
    raise sweep.error(
        place,
        f"{plan.cell.name} of the sweep {name!r} cannot be known here, since it differs:\n  "
        + "\n  ".join(reasons),
    )


def _plugin_names(definition: dict[str, Any]) -> tuple[Any, ...]:
    """Return the names of a cell's task, architecture and tricks."""
    run = definition["run"]
    tricks = tuple(t["name"] for t in run["tricks"])
    return run["task"]["name"], run["architecture"]["name"], tricks


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str | None:
    """Say what differs first between two definitions; None: they are comparable."""
    for part in ALIKE:
        a, b = theirs.get(part), ours.get(part)
        if a == b:
            continue
        if not isinstance(a, dict) or not isinstance(b, dict):
            return f"{part}: {a} there, {b} here"
        key = next(key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key))
        there, here = a.get(key, "not there"), b.get(key, "not there")
        return f"{part}: {key} is {there} there, and {here} here"
    return None
