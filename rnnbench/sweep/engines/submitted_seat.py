"""A seat of the Slurm engine, as the driver keeps account of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rnnbench.sweep.engines.mailbox import Inbox, Outbox, SeatFolder
from rnnbench.sweep.engines.protocol import Job
from rnnbench.sweep.engines.slurm_seat import Call


@dataclass
class SubmittedSeat:
    """A seat as the driver knows it.

    Attributes:
        number: of the seat; it gives the worker's log its name.
        start: of the seat that is listened to, counted from 0.
        id: of its job.
        identity: identity of its worker; "": it is not ready.
        job: the job that the worker runs; None: it is idle.
        too_large: why the worker ended for want of memory; "": it did not.
        leaving: whether Slurm asked for its node.
        kill_by: time when the job is cancelled, since its worker should be dead by then.
    """

    number: int
    folder: SeatFolder
    id: str = ""
    start: int = 0
    inbox: Inbox = field(init=False)
    outbox: Outbox = field(init=False)
    node: str = ""
    identity: str = ""
    job: Job | None = None
    too_large: str = ""
    leaving: bool = False
    kill_by: float | None = None

    def __post_init__(self) -> None:
        self.folder.path.mkdir(parents=True)
        self.outbox = Outbox(self.folder.to_seat)
        self.inbox = Inbox(self.folder.from_seat(0))

    def call(self, what: str, message: Any = None) -> None:
        """Send a message to the present start of the seat."""
        self.outbox.send(Call(self.start, what, message))

    def started_again(self) -> bool:
        """Tell whether a later start of the seat has begun, and listen to it from now on."""
        if not self.folder.from_seat(self.start + 1).exists():
            return False
        self.start += 1
        self.inbox = Inbox(self.folder.from_seat(self.start))
        return True
