"""Decides whether a trial whose worker is gone is run again or is lost: see `judge`.

The scheduler notices that a worker is gone, or silent for longer than its lease, and asks here.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from rnnbench.results.record import Record, Status, provenance
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import RunSpec
from rnnbench.sweep.engines.protocol import Died, Ending
from rnnbench.sweep.ledger.ledger import TrialRow

NODE_LOSSES = 20  # starts of a trial that may be lost with their nodes


class LostTrial(NamedTuple):
    """The verdict on a trial whose worker is gone.

    Attributes:
        status: how the trial failed; None: it is run again.
        text: why it failed, or the note that it is run again.
    """

    status: Status | None
    text: str


def judge(row: TrialRow, event: Died, reason: str, retries: int) -> LostTrial:
    """Decide whether a trial that lost its worker is run again.

    A lost node is not the trial's fault, however often it happens; but not without end. A trial
    that ran out of memory would run out again. A worker that died on a node that lives may have
    been killed by its trial.

    Args:
        reason: what happened to the worker, such as "was killed (SIGKILL)".
        retries: how many of its workers a trial may kill and still be run again.
    """
    deaths = row.deaths + (not event.lost)
    if event.too_large:
        return LostTrial(Status.OOM, reason)
    if event.lost and row.attempt < NODE_LOSSES:
        return LostTrial(None, f"node lost, {row.key} goes on elsewhere: its worker {reason}")
    if not event.lost and deaths <= retries:
        return LostTrial(None, f"worker lost, {row.key} is run again: its worker {reason}")
    if event.lost:
        what = f"was started {row.attempt} times and always lost with its node"
    else:
        times = {1: "once", 2: "twice"}.get(deaths, f"{deaths} times")
        what = f"killed its worker {times}"
    return LostTrial(Status.CRASHED, f"{what}; the last one {reason}")


def write_failure(store: Store, row: TrialRow, status: Status, reason: str) -> Ending:
    """Write the record of a run that could not leave its own; return its ending."""
    record = Record(
        spec=RunSpec.from_dict(json.loads(row.spec)),
        status=status,
        reason=reason,
        attempt=row.attempt,
        sweep=row.sweep,
        study=row.study,
        provenance=provenance(),
    )
    store.write(record)
    return Ending.of(record)


def index_record(store: Store, row: TrialRow, ending: Ending) -> None:
    """Enter the record that a worker left on disk into the database; only the driver may.

    Where there is no record, since the fault lay outside of the run, one is written.
    """
    try:
        store.index(row.run_id)
    except FileNotFoundError:
        write_failure(store, row, Status(ending.status), ending.reason or "no reason is known")
