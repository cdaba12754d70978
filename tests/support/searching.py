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
from rnnbench.sweep.search.optuna_export import StudyCopies
from support.fake_work import FAKE_PLUGINS, execute

TEXT = """\
name: {name}
tasks: [{task}]
architectures: [{architecture}]
tricks: [{tricks}]
search:
  trials: {trials}
  sampler: {sampler}
  space: {space}
{more}
"""
LR = "optimizer.lr: {low: 1e-4, high: 1e-1, log: true}"
BOTH = "{" + LR + ", architecture.hidden: {low: 4, high: 64}}"
SEVERAL = "objectives: [validation, parameters]"
LAYERED = (
    "{architecture.layers: {low: 1, high: 3}, "
    "architecture.dropout: {low: 0.0, high: 0.5, step: 0.25, when: {architecture.layers: [2, 3]}}}"
)


def sweep_text(more="", final="", **parts):
    """Return a sweep file with more lines in `search`, a line `final`, and other parts."""
    defaults = {
        "name": "sweep", "task": "easy", "architecture": "plain", "tricks": "[]", "trials": 8,
        "sampler": "random", "space": BOTH,
    }  # fmt: skip
    lines = [f"  {line}" for line in more.splitlines()] + [final]
    return TEXT.format(**defaults | parts, more="\n".join(lines))


@contextlib.contextmanager
def cells(text, root):
    """Yield the cells of a sweep, as a driver that was just started has them, and a store."""
    root = Path(root)
    sweep = parse_sweep(text)
    with contextlib.closing(Store(root)) as store:
        ledger = Ledger(store.engine, sweep.name, identity(os.getpid()))
        with ledger.driving(), contextlib.closing(StudyCopies(root / "studies.db")) as copies:
            plans = plan_cells(sweep, FAKE_PLUGINS)
            ledger.note_cells([(p.study, p.definition, p.refused) for p in plans])
            rows = {}
            for row in ledger.rows():
                rows.setdefault(cell_of(row.study), []).append(row)
            yield [
                CellSearch(
                    plan, sweep, rows.get(plan.study, []), ledger=ledger, plugins=FAKE_PLUGINS,
                    copies=copies, at=lambda name: None,
                )
                for plan in plans
            ], store  # fmt: skip


def search(text, root, most=10**6):
    """Run at most so many runs that a sweep still lacks; return its cells."""
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
    """Run a trial once, as a worker does it; return its ending."""
    asks = (lambda step, value: run.report(row, step, value)) if run.study.prunes else None
    record = execute(
        RunSpec.from_dict(json.loads(row.spec)), store=store, attempt=row.attempt,
        sweep=row.sweep, study=row.study, on_validation=asks if row.stage == "search" else None,
    )  # fmt: skip
    return Ending.of(record)
