"""Counts a sweep from its ledger, for whoever looks at it from another process.

What the driver wrote last says which cells there are and how many trials they want. How far each
has come is in the ledger alone: a driver that was killed wrote nothing any more.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from rnnbench.errors import SweepError
from rnnbench.results.database import reader
from rnnbench.sweep.cell_results import CellResults
from rnnbench.sweep.file.budget import Prices, SweepLimits
from rnnbench.sweep.file.search_options import Bound, ChosenMethod, Search
from rnnbench.sweep.file.sweep import GridCell, Sweep, parse_sweep
from rnnbench.sweep.ledger.ledger import Ledger, TrialRow
from rnnbench.sweep.ledger.requests import SweepRequest
from rnnbench.sweep.ledger.spending import SpendingBook
from rnnbench.sweep.ledger.tables import sweep_cell
from rnnbench.sweep.plan import count_trials
from rnnbench.sweep.progress import CellTally, Snapshot, why_no_finals
from rnnbench.sweep.row_counts import CountedRows
from rnnbench.sweep.rows import cell_of
from rnnbench.sweep.search.dimensions import Dimension


def recounted(
    written: Snapshot, request: SweepRequest, ledger: Ledger, *, driven: bool
) -> Snapshot:
    """Return the state of a sweep by its ledger.

    Args:
        written: what a driver wrote last.
        driven: whether a driver is at work; without one nothing runs, and nothing is to be waited
            for.
    """
    definitions = _read_definitions(ledger)
    rows: dict[str, list[TrialRow]] = {}
    for row in ledger.rows():
        rows.setdefault(cell_of(row.study), []).append(row)
    file = _file_of(request)
    cells = written.cells or _planned(definitions, file)
    counted = tuple(
        _count(cell, request, file, definitions.get(cell.study), rows.get(cell.study, []), driven)
        for cell in cells
    )
    limits, prices = (SweepLimits(), Prices()) if file is None else (file.budget, file.prices)
    account = SpendingBook(ledger.engine, ledger.sweep).read(limits, prices)
    now = dataclasses.replace(written, cells=counted, account=account)
    if not driven and now.count("left"):
        return dataclasses.replace(now, per_minute=None, seconds_left=None)
    return now


def _count(
    cell: CellTally,
    request: SweepRequest,
    file: Sweep | None,
    definition: Mapping[str, Any] | None,
    rows: Sequence[TrialRow],
    driven: bool,
) -> CellTally:
    if cell.refused or definition is None:
        return cell
    trials, finals = cell.trials, cell.finals
    extended = request.trials if definition["space"] and trials else None
    if extended and file is not None and file.search.stop.name == "none":
        trials = max(trials, _trials_of(definition, extended))
    if file is not None:
        finals = max(finals, len({*file.seeds, *request.seeds}))
    search = _search_of(definition)
    counted = CountedRows(len(search.seeds) or 1)
    for row in rows:
        if row.stage == "final" or row.number < trials:
            counted.add(row)
    count = counted.counts
    results = CellResults(search, higher_is_better=bool(cell.higher_is_better))
    for number in counted.trial_numbers():
        if counted.trial_ended(number):
            results.add(counted.trial_rows(number))
    best = results.best_number() if cell.higher_is_better is not None else None
    value = cell.best if best is None else results.summarise(counted.trial_rows(best)).value
    over = trials > 0 and counted.count_ended("search") >= trials
    searched = [row for row in counted.rows.values() if row.stage == "search"]
    problem = None
    if finals and over and results.empty:
        problem = why_no_finals(searched, constrained=bool(count["search", "done"]))
    return dataclasses.replace(
        cell,
        trials=trials,
        done=count["search", "done"],
        running=count["search", "running"] if driven else 0,
        pruned=count["search", "pruned"],
        failed=count["search", "failed"],
        finals=max(finals, counted.count_all("final")),
        finals_done=count["final", "done"],
        finals_running=count["final", "running"] if driven else 0,
        finals_failed=count["final", "failed"],
        best=value,
        problem=problem,
    )


def _read_definitions(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """Return what makes each cell, by its study, in the order of the file."""
    c = sweep_cell.c
    query = sa.select(c.study, c.definition, c.refused).where(c.sweep == ledger.sweep)
    with reader(ledger.engine).begin() as connection:
        found = connection.execute(query.order_by(c.position)).all()
    return {
        study: {**json.loads(definition), "refused": refused}
        for study, definition, refused in found
    }


def _search_of(definition: Mapping[str, Any]) -> Search:
    """Return as much of a cell's search as tells when a trial is done, and which is best."""
    return Search(
        objectives=tuple(definition.get("objectives", ("validation",))),
        constraints=tuple(Bound(**bound) for bound in definition.get("constraints", ())),
        seeds=tuple(definition.get("seeds", ())),
    )


def _trials_of(definition: Mapping[str, Any], wanted: int | None) -> int:
    """Return how many trials a cell has where so many are wanted; None: as many as its grid."""
    space = [Dimension.from_dict(name, entry) for name, entry in definition["space"].items()]
    sampler = ChosenMethod(definition["sampler"]["name"])
    return count_trials(Search(trials=wanted, sampler=sampler), space)


def _file_of(request: SweepRequest) -> Sweep | None:
    """Return the sweep as its file had it; None where this version no longer reads that."""
    try:
        return parse_sweep(request.text, request.file)
    except SweepError:
        return None


def _planned(definitions: Mapping[str, Mapping[str, Any]], file: Sweep | None) -> list[CellTally]:
    """Return the cells of a sweep whose driver ended before it wrote how it goes."""
    cells = []
    for study, definition in definitions.items():
        run = definition.get("run", definition)
        cell = GridCell(run["task"], run["architecture"], tuple(run["tricks"]))
        refused = definition["refused"]
        if refused or file is None:
            cells.append(CellTally(cell, study, refused=refused))
            continue
        trials = _trials_of(definition, file.search.trials)
        cells.append(CellTally(cell, study, trials=trials, finals=len(file.seeds)))
    return cells
