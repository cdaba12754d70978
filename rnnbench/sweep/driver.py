"""Drives a sweep: plans, claims, places, commits, tells. Whatever is killed, nothing is lost.

The way of a trial: asked (of the study) -> planned -> claimed -> submitted -> finished (its
record is in the store) -> committed (to the ledger) -> told (to the study). Started again after a
kill anywhere on this way, the driver goes on from the ledger and the store; a run whose record
is in the store is taken, and not run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from rnnbench.store import Store
from rnnbench.sweep.cell import CellRun
from rnnbench.sweep.engine import Engine
from rnnbench.sweep.file import Sweep, SweepError
from rnnbench.sweep.ledger import Ledger, Row
from rnnbench.sweep.local import LocalEngine
from rnnbench.sweep.loop import EngineFactory, Loop
from rnnbench.sweep.making import cell_of
from rnnbench.sweep.owner import identity
from rnnbench.sweep.plan import Bench, CellPlan, plan_cells, standard_bench
from rnnbench.sweep.progress import Progress, Silent, SweepOutcome
from rnnbench.sweep.study import Copies


def _nothing(name: str) -> None:
    pass


def run_sweep(
    sweep: Sweep,
    *,
    root: Path,
    engine_factory: EngineFactory | None = None,
    progress: Progress | None = None,
    bench: Bench | None = None,
    lease: float = 30.0,
    beat: float = 5.0,
    at: Callable[[str], None] = _nothing,
) -> SweepOutcome:
    """Run what of a sweep is not finished yet.

    Args:
        root: of the store.
        engine_factory: makes the engine, if there is anything to run; by default the local one.
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
    """
    if lease < 3 * beat:
        raise ValueError(f"a lease of {lease} s is shorter than three beats of {beat} s")
    progress = progress or Silent()
    root = Path(root)
    bench = bench or standard_bench()
    plans = plan_cells(sweep, bench)
    for plan in plans:
        if plan.refused:
            progress.note(f"refused: {plan.cell.name}\n  {plan.refused}")
    if all(plan.refused for plan in plans):
        reasons = "\n".join(f"  {plan.cell.name}: {plan.refused}" for plan in plans)
        raise SweepError(f"{sweep.text.file}: every combination is refused:\n{reasons}")
    if engine_factory is None:
        engine_factory = partial(_local_engine, sweep=sweep, root=root, beat=beat)
    with closing(Store(root)) as store:
        ledger = Ledger(store.engine, sweep.name, identity(os.getpid()), lease)
        with ledger.driving(), closing(Copies(root / "studies.db")) as copies:
            ledger.note_cells([(p.study, p.definition, p.refused) for p in plans])
            runs = _cells(plans, sweep, ledger, bench, copies, at)
            return Loop(
                sweep,
                plans,
                runs,
                store=store,
                ledger=ledger,
                engine_factory=engine_factory,
                progress=progress,
                beat=beat,
                at=at,
            ).run()


def _local_engine(workers: int, *, sweep: Sweep, root: Path, beat: float) -> Engine:
    logs = root / "sweeps" / sweep.name
    return LocalEngine(workers=workers, root=root, logs=logs, trainer=sweep.trainer, beat=beat)


def _cells(
    plans: Sequence[CellPlan],
    sweep: Sweep,
    ledger: Ledger,
    bench: Bench,
    copies: Copies,
    at: Callable[[str], None],
) -> dict[str, CellRun]:
    rows: dict[str, list[Row]] = {}
    for row in ledger.rows():
        rows.setdefault(cell_of(row.study), []).append(row)
    return {
        plan.study: CellRun(
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
