"""Searches cells in this process, without workers: next, claim, execute, end."""

import contextlib
import json
import os
from pathlib import Path

from rnnbench.results.store import Store
from rnnbench.spec.run_spec import RunSpec
from rnnbench.sweep.cell_search import CellSearch
from rnnbench.sweep.engines.protocol import Ending
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.process_identity import identity
from rnnbench.sweep.plan import plan_cells
from rnnbench.sweep.rows import cell_of
from rnnbench.sweep.search.optuna_export import Copies
from support.fake_work import BENCH, execute


@contextlib.contextmanager
def cells(text, root):
    """The cells of a sweep, as a driver that was just started has them, and a store."""
    root = Path(root)
    sweep = parse_sweep(text)
    with contextlib.closing(Store(root)) as store:
        ledger = Ledger(store.engine, sweep.name, identity(os.getpid()))
        with ledger.driving(), contextlib.closing(Copies(root / "studies.db")) as copies:
            plans = plan_cells(sweep, BENCH)
            ledger.note_cells([(p.study, p.definition, p.refused) for p in plans])
            rows = {}
            for row in ledger.rows():
                rows.setdefault(cell_of(row.study), []).append(row)
            yield [
                CellSearch(
                    plan, sweep, rows.get(plan.study, []), ledger=ledger, bench=BENCH,
                    copies=copies, at=lambda name: None,
                )
                for plan in plans
            ], store  # fmt: skip


def search(text, root, most=10**6):
    """Run what is left of a sweep, at most so many runs; its cells as they stand then."""
    with cells(text, root) as (runs, store):
        for run in runs:
            while most and not run.complete:
                row = run.next()
                if row is None or row.ended:
                    continue
                assert run.claim(row, "local")
                run.end(row, work(run, row, store))
                most -= 1
        return runs


def work(run, row, store):
    """Run a trial once, as a worker does it."""
    asks = (lambda step, value: run.report(row, step, value)) if run.study.prunes else None
    record = execute(
        RunSpec.from_dict(json.loads(row.spec)), store=store, attempt=row.attempt,
        sweep=row.sweep, study=row.study, on_validation=asks if row.stage == "search" else None,
    )  # fmt: skip
    return Ending.of(record)
