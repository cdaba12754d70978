"""Decides whether a trial whose worker is gone is run again or is lost: see `judge`.

The scheduler notices that a worker is gone, or silent for longer than its lease, and asks here.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from rnnbench.results.record import FINAL, Record, Status, provenance
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import RunSpec
from rnnbench.sweep.engines.protocol import Died, Ending
from rnnbench.sweep.ledger.ledger import TrialRow

NODE_LOSSES = 20  # starts of a trial that may be lost with their nodes before it is held


class LostTrial(NamedTuple):
    """The verdict on a trial whose worker is gone.

    Attributes:
        status: how the trial failed; None: it is run again.
        text: why it failed, or the note that it is run again.
        held: it is run again only when the sweep is started again.
    """

    status: Status | None
    text: str
    held: bool = False


def judge(row: TrialRow, event: Died, reason: str, retries: int) -> LostTrial:
    """Decide whether a trial that lost its worker is run again.

    A lost node is not the trial's fault, however often it happens; but a trial that may be what
    ends its nodes is not given others without end. A trial that ran out of memory would run out
    again. A worker that died on a node that lives may have been killed by its trial.

    Args:
        reason: what happened to the worker, such as "was killed (SIGKILL)".
        retries: how many of its workers a trial may kill and still be run again.
    """
    deaths = row.deaths + (not event.lost)
    if event.too_large:
        return LostTrial(Status.OOM, reason)
    if event.lost and row.attempt % NODE_LOSSES == 0:
        return LostTrial(
            None,
            f"{row.key} was started {row.attempt} times and lost with its node; it waits until the "
            f"sweep is started again: its worker {reason}",
            held=True,
        )
    if event.lost:
        return LostTrial(None, f"node lost, {row.key} goes on elsewhere: its worker {reason}")
    if deaths <= retries:
        return LostTrial(None, f"worker lost, {row.key} is run again: its worker {reason}")
    times = {1: "once", 2: "twice"}.get(deaths, f"{deaths} times")
    return LostTrial(Status.CRASHED, f"killed its worker {times}; the last one {reason}")


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


def index_record(store: Store, row: TrialRow, ending: Ending) -> bool:
    """Enter the record that a worker left on disk into the database; only the driver may.

    Where there is no record, since the fault lay outside of the run, one is written. The record of
    a run that left one may be on its way: the index takes it up when it is here.

    Returns:
        Whether the record is here.
    """
    try:
        store.index(row.run_id)
    except FileNotFoundError:
        if ending.status in FINAL:
            return False
        if ending.status == "refused":  # before there was a run
            return True
        write_failure(store, row, Status(ending.status), ending.reason or "no reason is known")
    return True
