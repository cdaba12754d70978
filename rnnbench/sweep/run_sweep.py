"""Drives a sweep: plans, claims, places, commits, tells. Whatever is killed, nothing is lost.

The way of a trial: asked (of the study) -> planned -> claimed -> submitted -> finished (its
record is in the store) -> committed (to the ledger) -> told (to the study). Started again after a
kill anywhere on this way, the driver goes on from the ledger and the store; a run whose record
is in the store is taken, and not run again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rnnbench.errors import SweepError, UserError
from rnnbench.results.store import Store, folder_of
from rnnbench.sweep.cell_search import CellSearch
from rnnbench.sweep.engines.choose import Choice, engine_of
from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.ledger import Ledger, TrialRow
from rnnbench.sweep.ledger.process_identity import identity
from rnnbench.sweep.ledger.requests import Order, SweepRequests
from rnnbench.sweep.plan import CellPlan, PluginAccess, extended, plan_cells, standard_bench
from rnnbench.sweep.progress import Progress, Silent, SweepOutcome
from rnnbench.sweep.rows import cell_of
from rnnbench.sweep.scheduler import EngineFactory, Scheduler
from rnnbench.sweep.search.study import Copies


def _nothing(name: str) -> None:
    pass


def run_sweep(
    sweep: Sweep,
    *,
    root: Path | str,
    database: str | None = None,
    studies: str | None = None,
    started: Mapping[str, Any] | None = None,
    engine: Choice = Choice(),
    engine_factory: EngineFactory | None = None,
    progress: Progress | None = None,
    bench: PluginAccess | None = None,
    lease: float = 30.0,
    beat: float = 5.0,
    at: Callable[[str], None] = _nothing,
) -> SweepOutcome:
    """Run what of a sweep is not finished yet.

    Args:
        root: of the store.
        database: URL of the results database; None: SQLite in the store.
        studies: Optuna storage for the copies of studies, see `rnnbench.sweep.search.study.Copies`;
            None: SQLite in the store.
        started: options of this start, for `rnnbench sweep resume`.
        engine: which runs the trials.
        engine_factory: makes the engine instead, if there is anything to run.
        bench: the rest of rnnbench; by default the installed plugins.
        lease: seconds without a sign of life after which a worker is given up; three beats or
            more.
        beat: seconds between signs of life.
        at: called with the name of each step on a trial's way (see above).

    Raises:
        SweepError: it cannot be run as it is written, or every combination is refused.
        SweepBusyError: another process drives it.
        LostSweepError: another process took it over.
        EngineError: workers cannot be started.
        LostStorageError: the results database does not answer any more.
    """
    if lease < 3 * beat:
        raise ValueError(f"a lease of {lease} s is shorter than three beats of {beat} s")
    progress = progress or Silent()
    bench = bench or standard_bench()
    plans = plan_cells(sweep, bench)
    for plan in plans:
        if plan.refused:
            progress.note(f"refused: {plan.cell.name}\n  {plan.refused}")
    if all(plan.refused for plan in plans):
        reasons = "\n".join(f"  {plan.cell.name}: {plan.refused}" for plan in plans)
        raise SweepError(f"{sweep.text.file}: every combination is refused:\n{reasons}")
    if engine_factory is None:
        engine_factory = engine_of(engine, sweep, root, beat, progress.note)
    try:
        with closing(Store(root, database)) as store:
            ledger = Ledger(store.engine, sweep.name, identity(os.getpid()), lease)
            orders = SweepRequests(store.engine, sweep.name)
            where = studies or store.root / "studies.db"
            with ledger.driving(), closing(Copies(where)) as copies:
                orders.begin(sweep.text.text, sweep.text.file, dict(started or {}))
                make_cells = partial(
                    _cells, plans, sweep, ledger=ledger, bench=bench, copies=copies, at=at
                )
                return Scheduler(
                    sweep,
                    make_cells,
                    store=store,
                    ledger=ledger,
                    orders=orders,
                    engine_factory=engine_factory,
                    progress=progress,
                    beat=beat,
                    at=at,
                ).run()
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        raise LostStorageError(
            f"the results database {_named(database, root)} does not answer: {error.orig}\n"
            "  What was committed is safe, and finished runs are on disk. When it is back, the "
            "same command goes on from here."
        ) from error


class LostStorageError(UserError, RuntimeError):
    """The results database cannot be reached, or refuses to write."""

    exit_code = 1


def _named(database: str | None, root: Path | str) -> str:
    if database is None:
        return str(folder_of(root) / "results.db")
    # Without its password.
    return sa.make_url(database).render_as_string()


def _cells(
    plans: Sequence[CellPlan],
    sweep: Sweep,
    order: Order,
    *,
    ledger: Ledger,
    bench: PluginAccess,
    copies: Copies,
    at: Callable[[str], None],
) -> tuple[list[CellPlan], dict[str, CellSearch]]:
    """The cells as the ledger has them, with what was asked for beside the file."""
    if order.trials is not None:
        plans = [extended(plan, sweep, order.trials) for plan in plans]
    if order.seeds:
        sweep = dataclasses.replace(sweep, seeds=tuple(dict.fromkeys(sweep.seeds + order.seeds)))
    ledger.note_cells([(p.study, p.definition, p.refused) for p in plans])
    rows: dict[str, list[TrialRow]] = {}
    for row in ledger.rows():
        rows.setdefault(cell_of(row.study), []).append(row)
    runs = {
        plan.study: CellSearch(
            plan,
            sweep,
            rows.get(plan.study, []),
            ledger=ledger,
            bench=bench,
            copies=copies,
            at=at,
        )
        for plan in plans
        if not plan.refused
    }
    return list(plans), runs
