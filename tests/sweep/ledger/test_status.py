"""`sweep status` tells what the ledger has, however the driver ended."""

import json
import os
from contextlib import closing

import pytest
from support.command_line import call
from support.small_sweeps import SWEEP, run

from rnnbench.results.store import Store
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.process_identity import identity
from rnnbench.sweep.ledger.requests import SweepRequests
from rnnbench.sweep.ledger.status import SweepStatus

TEXT = SWEEP.replace("architectures: [plain, explodes]", "architectures: [plain, impossible]")


def status(root):
    return json.loads(call("sweep", "status", "sweep", "--json", "--out", root))


def write_old_snapshot(root, pace):
    with closing(Store(root)) as store:
        SweepStatus(store.engine, "sweep").write(pace, [])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("finished")
    run(TEXT, root)
    return root, status(root)


def emptied(cells):
    """Return cells as they were when the sweep began."""
    zero = dict.fromkeys(("done", "pruned", "failed", "finals_done", "finals_failed"), 0)
    return [cell | zero | {"best": None} for cell in cells]


def test_a_snapshot_of_the_beginning_does_not_hide_what_ended_since(finished):
    root, right = finished
    old = {"seconds": 1.0, "per_minute": 9.0, "seconds_left": 7.0}
    write_old_snapshot(root, {"cells": emptied(right["cells"]), **old})
    now = status(root)
    assert now["cells"] == right["cells"]
    assert now["state"] == "complete"
    said = call("sweep", "status", "--out", root)
    assert "6 of 6 trials, 4 of 4 final runs" in said


def test_a_driver_that_wrote_nothing_leaves_the_cells_of_the_file(finished):
    root, right = finished
    write_old_snapshot(root, {})
    counts = ("trials", "done", "failed", "finals", "finals_done", "refused")
    assert [{k: c[k] for k in counts} for c in status(root)["cells"]] == [
        {k: c[k] for k in counts} for c in right["cells"]
    ]


def test_what_a_dead_driver_ran_is_left_to_do_and_not_running(finished, tmp_path):
    root, right = finished
    with closing(Store(root)) as store:
        ledger = Ledger(store.engine, "sweep", identity(os.getpid()))
        row = ledger.rows()[0]
        import sqlalchemy as sa

        from rnnbench.sweep.ledger.tables import trial

        def set_state(state):
            with store.engine.begin() as connection:
                one = sa.update(trial).where(trial.c.key == row.key)
                connection.execute(one.values(state=state))

        write_old_snapshot(root, {"cells": right["cells"], "seconds": 1.0, "per_minute": 9.0,
                                  "seconds_left": 7.0})  # fmt: skip
        set_state("running")
        now = status(root)
        set_state(row.state)
    assert sum(c["running"] + c["finals_running"] for c in now["cells"]) == 0
    assert now["state"] == "waiting for a driver"
    assert now["per_minute"] is None


def test_a_sweep_that_was_extended_wants_more_than_its_driver_knew(finished):
    root, right = finished
    write_old_snapshot(root, {"cells": right["cells"], "seconds": 1.0, "per_minute": 9.0,
                              "seconds_left": 7.0})  # fmt: skip
    with closing(Store(root)) as store:
        requests = SweepRequests(store.engine, "sweep")
        requests.extend(5, [7])
        now = status(root)
        requests.change(trials=None, seeds="[]")
    assert {(c["trials"], c["finals"]) for c in now["cells"] if not c["refused"]} == {(5, 3)}
    assert now["state"] == "waiting for a driver"
