"""Runs a small sweep over fake work, and reads what it left in the ledger."""

import os
import time
from pathlib import Path

import pytest

from rnnbench.errors import SweepError
from rnnbench.results.database import open_database
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.process_identity import identity, start_time
from rnnbench.sweep.run_sweep import run_sweep
from support.fake_work import FAKE_PLUGINS, make_engine, starts

SWEEP = """\
name: sweep
tasks: [easy]
architectures: [plain, explodes]
tricks: [[], [zoneout]]
search:
  trials: 3
  sampler: random
  space:
    optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
final: {seeds: [1, 2]}
workers: 2
"""
RUNS = 4 * (3 + 2)


class Notes:
    """Keeps what a sweep tells."""

    def __init__(self):
        self.snapshots, self.notes = [], []

    def show(self, now):
        self.snapshots.append(now)

    def note(self, text):
        self.notes.append(text)


def run(text, root, **options):
    """Run a sweep to its end in processes of this machine; return its outcome."""
    options = {"lease": 2.0, "beat": 0.2, **options}
    options.setdefault("engine_factory", make_engine(Path(root)))
    return run_sweep(parse_sweep(text), root=root, plugins=FAKE_PLUGINS, **options)


def rows_of(root, name="sweep"):
    """Return all rows of a sweep in the ledger."""
    engine = open_database(Path(root) / "results.db")
    try:
        return Ledger(engine, name, identity(os.getpid())).rows()
    finally:
        engine.dispose()


def params_of(root):
    """Return the parameters of each row of the sweep, by key."""
    return {r.key: r.params for r in rows_of(root)}


def assert_nothing_is_left_behind(root):
    """Check that no worker that ever ran a trial under this root is alive."""
    deadline = time.monotonic() + 60
    alive = {pid for _, _, pid in starts(root)}
    while alive and time.monotonic() < deadline:
        alive = {pid for pid in alive if start_time(pid) is not None}
        time.sleep(0.02)
    assert not alive


def complaint_about(line):
    """Return what is said of a wrong line below the file, which has to name its number."""
    with pytest.raises(SweepError) as refused:
        parse_sweep(SWEEP + line)
    said = str(refused.value)
    assert said.startswith(f"sweep:{SWEEP.count(chr(10)) + 1}")
    return said
