"""A seat of the Ray engine, as the driver keeps account of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnbench.sweep.engines.protocol import Job


@dataclass
class PlacedSeat:
    """A seat as the driver knows it.

    Attributes:
        listening: reference to the answer of `Seat.listen`.
        placed: reference to the id of its node; None once it is known.
        node: id of its node; "": not known yet.
        identity: identity of its worker; "": it is not ready.
        job: the job that the worker runs; None: it is idle.
        too_large: why the worker ended for want of memory; "": it did not.
        kill_by: time when the seat itself is killed, since its worker should be dead by then.
    """

    number: int
    actor: Any
    listening: Any
    placed: Any
    node: str = ""
    identity: str = ""
    job: Job | None = None
    too_large: str = ""
    kill_by: float | None = None
