"""Measure the time that a sweep's driver spends on a trial as its study grows, and its memory.

A trial is proposed, planned in the ledger, claimed, ended, told and copied, and does nothing. The
figures are those of the trials since the line above, so they stay flat where nothing grows.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from contextlib import closing
from pathlib import Path

from rnnbench.registry.schema import FieldSchema
from rnnbench.results.database import open_database
from rnnbench.spec.run_spec import Budget, Optimizer, PluginSpec, RunSpec
from rnnbench.sweep.cell_search import CellSearch
from rnnbench.sweep.engines.protocol import Ending
from rnnbench.sweep.file.sweep import GridCell, parse_sweep
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.process_identity import identity
from rnnbench.sweep.plan import Places, PluginAccess, plan_cells
from rnnbench.sweep.search.dimensions import Params
from rnnbench.sweep.search.optuna_export import StudyCopies

MARKS = (100, 1_000, 10_000)
SETTINGS = {f"x{i}": float for i in range(4)} | {f"n{i}": int for i in range(4)}
SWEEP = """
name: study
tasks: [nothing]
architectures: [nothing]
search: {{trials: {trials}, sampler: {sampler}, space: {{{space}}}}}
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--samplers", nargs="*", default=["random", "tpe"])
    parser.add_argument("--trials", type=int, default=MARKS[-1], help="of the largest study")


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    print(f"{'sampler':<10}{'trials':>8}{'propose':>10}{'end':>8}{'ledger':>9}{'MB':>8}")
    for name in arguments.samplers:
        with tempfile.TemporaryDirectory() as folder:
            measure(name, arguments.trials, Path(folder))


def text_of(sampler: str, trials: int) -> str:
    """Return a sweep file with eight searched settings, whose trials do nothing."""
    entries = [f"architecture.x{i}: {{low: 1.0e-4, high: 1.0, log: true}}" for i in range(4)]
    entries += [f"architecture.n{i}: {{low: 1, high: 64}}" for i in range(4)]
    return SWEEP.format(trials=trials, sampler=sampler, space=", ".join(entries))


def plugins_of_nothing() -> PluginAccess:
    """Return plugins whose runs do nothing."""
    return PluginAccess(_fields, _compose, lambda s: None, _lower)


def measure(sampler: str, trials: int, root: Path) -> None:
    """Run a search of trials that do nothing, and print a line at each mark."""
    sweep, plugins = parse_sweep(text_of(sampler, trials)), plugins_of_nothing()
    plan = plan_cells(sweep, plugins)[0]
    engine = open_database(root / "results.db")
    ledger = Ledger(engine, sweep.name, identity(os.getpid()))
    seconds = {"ask": 0.0, "end": 0.0, "ledger": 0.0}
    done = 0
    with ledger.driving(), closing(StudyCopies(root / "studies.db")) as copies:
        cell = CellSearch(
            plan, sweep, [], ledger=ledger, plugins=plugins, copies=copies, at=lambda _: None
        )
        for mark in [m for m in MARKS if m < trials] + [trials]:
            seconds = dict.fromkeys(seconds, 0.0)
            for _ in range(mark - done):
                began = time.perf_counter()
                row = cell.next()
                asked_at = time.perf_counter()
                assert row is not None
                cell.claim(row, ledger.owner)
                claimed_at = time.perf_counter()
                value = _loss(row.params)
                curve = tuple((50 * i, value + 4 - i) for i in range(1, 5))
                cell.end(row, Ending("done", value=value, curve=curve))
                seconds["ask"] += asked_at - began
                seconds["ledger"] += claimed_at - asked_at
                seconds["end"] += time.perf_counter() - claimed_at
            each = {k: v / (mark - done) * 1e3 for k, v in seconds.items()}
            print(
                f"{sampler:<10}{mark:>8}{each['ask']:>8.2f}ms{each['end']:>6.2f}ms"
                f"{each['ledger']:>7.2f}ms{_resident() / 1e6:>8.0f}",
                flush=True,
            )
            done = mark
        began = time.perf_counter()
        copies.flush()
        print(f"{sampler:<10}copies left to write: {time.perf_counter() - began:.2f} s", flush=True)
    engine.dispose()


def _loss(params: Params) -> float:
    rates = math.fsum(math.log10(params[f"architecture.x{i}"] + 0.01) ** 2 for i in range(4))
    return rates + math.fsum((params[f"architecture.n{i}"] / 20 - 1) ** 2 for i in range(4))


def _resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _fields(kind: str, name: str) -> dict[str, FieldSchema]:
    if kind != "architectures":
        return {}
    return {k: FieldSchema(k, type_, type_(1)) for k, type_ in SETTINGS.items()}


def _compose(cell: GridCell, settings: Params, places: Places, seed: int, test: bool) -> RunSpec:
    by_field = {k.rpartition(".")[2]: v for k, v in settings.items()}
    architecture = PluginSpec("nothing", 1, tuple(by_field.items()))
    task = PluginSpec("nothing", 1)
    return RunSpec(task, architecture, (), Optimizer(), Budget(steps=200), seed, "", test)


def _lower(spec: RunSpec) -> bool:
    return False
