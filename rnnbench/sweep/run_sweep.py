"""Runs a sweep from its file to its outcome. Whatever is killed on the way, nothing is lost.

A trial goes through these steps: asked (of the study), planned, claimed, submitted, finished (its
record is in the store), committed (to the ledger), told (to the study). A driver that is started
again after a kill at any step goes on from the ledger and the store. It takes a run whose record
is in the store, and does not run it again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rnnbench.errors import OutageError, SweepError
from rnnbench.results.outages import fault_of
from rnnbench.results.reconnect import Patience
from rnnbench.results.record import Record
from rnnbench.results.store import Store, folder_of
from rnnbench.sweep.cell_search import CellSearch
from rnnbench.sweep.engines.choose import EngineChoice, engine_factory_for
from rnnbench.sweep.engines.protocol import EngineFactory
from rnnbench.sweep.file.sweep import Sweep
from rnnbench.sweep.ledger.heal import heal
from rnnbench.sweep.ledger.ledger import Ledger, TrialRow
from rnnbench.sweep.ledger.patient_ledger import PatientLedger
from rnnbench.sweep.ledger.process_identity import identity
from rnnbench.sweep.ledger.requests import SweepRequest, SweepRequests, who_starts
from rnnbench.sweep.plan import CellPlan, PluginAccess, extended, installed_plugins, plan_cells
from rnnbench.sweep.progress import Progress, SilentProgress, SweepOutcome
from rnnbench.sweep.rows import cell_of
from rnnbench.sweep.scheduler import Scheduler
from rnnbench.sweep.search.named_storage import NamedStorageCopies
from rnnbench.sweep.search.study import StudyCopies
from rnnbench.sweep.seed_rounds import add_rounds


def _ignore_step(name: str) -> None:
    pass


def run_sweep(
    sweep: Sweep,
    *,
    root: Path | str,
    database: str | None = None,
    studies: str | None = None,
    started: Mapping[str, Any] | None = None,
    resume: str | None = None,
    engine: EngineChoice = EngineChoice(),
    engine_factory: EngineFactory | None = None,
    progress: Progress | None = None,
    plugins: PluginAccess | None = None,
    lease: float = 30.0,
    beat: float = 5.0,
    at: Callable[[str], None] = _ignore_step,
    on_breaker: Callable[[str], None] = _ignore_step,
) -> SweepOutcome:
    """Run all trials and final runs of a sweep that are not finished yet.

    Args:
        root: folder or URL of the store.
        database: URL of the results database; None: SQLite in the store.
        studies: Optuna storage for the copies of studies, see
            `rnnbench.sweep.search.named_storage`; None: SQLite in the store.
        started: options of this start, for `rnnbench sweep resume`.
        resume: what to type for that, with the options that it needs.
        engine: the engine that runs the trials.
        engine_factory: makes the engine instead, if there is anything to run.
        plugins: how to reach the plugins; None: those that are installed.
        lease: seconds without a sign of life after which a worker is given up; three beats or
            more.
        beat: seconds between signs of life.
        at: called with the name of each step on a trial's way (see the module's docstring).
        on_breaker: told why, when faults of the infrastructure stop the placing of trials.

    Raises:
        SweepError: the sweep cannot be run as it is written, or every combination is refused.
        StudyStorageError: `studies` cannot be an address of a storage.
        SweepBusyError: another process drives the sweep.
        LostSweepError: another process took the sweep over.
        EngineError: workers cannot be started.
        LostStorageError: the results database does not answer any more.
    """
    if lease < 3 * beat:
        raise ValueError(f"a lease of {lease} s is shorter than three beats of {beat} s")
    progress = progress or SilentProgress()
    plugins = plugins or installed_plugins()
    plans = plan_cells(sweep, plugins)
    for plan in plans:
        if plan.refused:
            progress.note(f"refused: {plan.cell.title}\n  {plan.refused}")
    if all(plan.refused for plan in plans):
        reasons = "\n".join(f"  {plan.cell.title}: {plan.refused}" for plan in plans)
        raise SweepError(f"{sweep.text.file}: every combination is refused:\n{reasons}")
    remarks = tuple(_say_idle_pruner(sweep, plans))
    for remark in remarks:
        progress.note(remark)
    if engine_factory is None:
        engine_factory = engine_factory_for(engine, sweep, root, beat, progress.note)
    try:
        with closing(Store(root, database)) as store:
            if store.remote is not None:
                store.remote.say = progress.note
            patience = Patience(lease, progress.note)
            owner = identity(os.getpid())
            ledger = PatientLedger(store.engine, sweep.name, owner, lease, patience)
            requests = SweepRequests(store.engine, sweep.name)
            with ledger.driving(), closing(_open_copies(studies, store, progress)) as copies:
                options = {**(started or {}), **who_starts()}
                requests.begin(sweep.text.text, sweep.text.file, options)
                _say_healed(heal(ledger), progress)
                make_cells = partial(
                    _make_cells, plans, sweep, ledger=ledger, plugins=plugins, copies=copies,
                    at=at, read=store.read, say=progress.note,
                )  # fmt: skip
                return Scheduler(
                    sweep,
                    make_cells,
                    store=store,
                    ledger=ledger,
                    requests=requests,
                    engine_factory=engine_factory,
                    progress=progress,
                    patience=patience,
                    beat=beat,
                    at=at,
                    remarks=remarks,
                    on_breaker=on_breaker,
                    resume=resume,
                ).run()
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        raise LostStorageError(
            f"the results database {_describe(database, root)} does not answer: {error.orig}\n"
            "  What was committed is safe, and finished runs are on disk. When it is back, the "
            "same command goes on from here."
        ) from error
    except OSError as error:
        if fault := fault_of(error):
            raise LostStorageError(
                f"{fault.what}: {error}\n  What to do: {fault.advice}.\n  What was committed is "
                "safe, and finished runs are on disk. Then the same command goes on from here."
            ) from error
        raise


def _say_healed(keys: Sequence[str], progress: Progress) -> None:
    if keys:
        progress.note(
            f"run again, since an earlier version held faults of the infrastructure against them: "
            f"{len(keys)} trials, such as {keys[0]}"
        )


def _open_copies(studies: str | None, store: Store, progress: Progress) -> StudyCopies:
    """Open what studies are copied to."""
    if studies is None:
        return StudyCopies(store.root / "studies.db")
    return NamedStorageCopies(studies, progress.note)


def _say_idle_pruner(sweep: Sweep, plans: Sequence[CellPlan]) -> Iterator[str]:
    """Say in which cells the pruner can stop no trial, and why, each reason once."""
    reasons: dict[str, list[str]] = {}
    for plan in plans:
        if plan.never_pruned and not plan.refused:
            reasons.setdefault(plan.never_pruned, []).append(plan.cell.title)
    possible = sum(not plan.refused for plan in plans)
    for reason, cells in reasons.items():
        where = "" if len(cells) == possible else f" in {', '.join(dict.fromkeys(cells))}"
        yield (
            f"note: {sweep.text.at('search', 'pruner')}: {sweep.search.pruner.name} never stops a "
            f"trial{where}: {reason}"
        )


class LostStorageError(OutageError):
    """The results database cannot be reached, or refuses to write."""


def _describe(database: str | None, root: Path | str) -> str:
    """Return the path or the URL of a database, without its password."""
    if database is None:
        return str(folder_of(root) / "results.db")
    return sa.make_url(database).render_as_string()


def _make_cells(
    plans: Sequence[CellPlan],
    sweep: Sweep,
    request: SweepRequest,
    *,
    ledger: Ledger,
    plugins: PluginAccess,
    copies: StudyCopies,
    at: Callable[[str], None],
    read: Callable[[str], Record | None],
    say: Callable[[str], None],
) -> tuple[list[CellPlan], dict[str, CellSearch]]:
    """Rebuild the cells from the ledger, with trials and seeds that `sweep extend` added."""
    if request.trials is not None:
        plans = [extended(plan, sweep, request.trials) for plan in plans]
    if request.seeds:
        seeds = tuple(dict.fromkeys(sweep.seeds + request.seeds))
        sweep = dataclasses.replace(sweep, seeds=seeds)
    ledger.note_cells([(p.study, p.definition, p.refused) for p in plans])
    rows: dict[str, list[TrialRow]] = {}
    for row in ledger.rows():
        rows.setdefault(cell_of(row.study), []).append(row)
    cells = {
        plan.study: CellSearch(
            plan,
            sweep,
            rows.get(plan.study, []),
            ledger=ledger,
            plugins=plugins,
            copies=copies,
            at=at,
        )
        for plan in plans
        if not plan.refused
    }
    add_rounds(sweep, cells.values(), read, say)
    return list(plans), cells
