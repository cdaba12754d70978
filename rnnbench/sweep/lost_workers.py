"""What follows when a worker is gone: its trial is run again, or has failed."""

from __future__ import annotations

from typing import NamedTuple

from rnnbench.results.record import Status
from rnnbench.sweep.engines.protocol import Died
from rnnbench.sweep.ledger.ledger import TrialRow

NODE_LOSSES = 20  # starts of a trial that may be lost with their nodes


class LostTrial(NamedTuple):
    """How the trial failed and why; status None: it is run again, and `text` says so."""

    status: Status | None
    text: str


def judge(row: TrialRow, event: Died, reason: str, retries: int) -> LostTrial:
    """Whether a trial that lost its worker is run again.

    A node that is lost is no fault of the trial, however often; but not without end. Memory would
    run out again. A worker that died on a node that lives may have been killed by its trial.

    Args:
        reason: what became of the worker, such as "was killed (SIGKILL)".
        retries: deaths of its workers that a trial may have.
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
