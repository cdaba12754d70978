"""What the driver of a sweep asks of whatever runs its trials: this machine, or a cluster.

An engine places jobs on warm workers and carries messages. It knows nothing of studies, of the
ledger, or of what is good. `rnnbench.sweep.local` is the engine of one machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from rnnbench.record import Record


class EngineError(RuntimeError):
    """The engine cannot run anything; the message says why and what to do."""


@dataclass(frozen=True)
class Job:
    """One start of one trial.

    Attributes:
        spec: the run, as `RunSpec.as_dict` (plain values travel between versions and machines).
        asks: whether the worker is to ask, at each validation, if it should go on.
    """

    key: str
    attempt: int
    spec: Mapping[str, Any]
    sweep: str
    study: str
    asks: bool


@dataclass(frozen=True)
class Ending:
    """How a run ended: the part of its record that the search needs.

    Attributes:
        status: of the record ("done", "pruned", "nan", ...), or "refused".
        value: best on validation, by the task's selection; None unless finite.
        curve: (optimiser step, value on validation), finite values only.
    """

    status: str
    reason: str | None = None
    value: float | None = None
    curve: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(cls, record: Record) -> Ending:
        """The ending that a record tells."""
        metric = record.selection.get("metric")
        curve = [(int(step), values.get(metric)) for step, _, values in record.curve]
        return cls(
            status=record.status.value,
            reason=record.reason,
            value=_finite(record.selection.get("value")),
            curve=tuple((s, float(v)) for s, v in curve if _finite(v) is not None),
        )


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


class Alive(NamedTuple):
    """The worker of this job gave a sign of life."""

    key: str
    attempt: int


class Report(NamedTuple):
    """A validation; the worker waits for `reply`."""

    key: str
    attempt: int
    step: int
    value: float


class Finished(NamedTuple):
    """The job came to an end, and its record is in the store."""

    key: str
    attempt: int
    ending: Ending


class Died(NamedTuple):
    """The worker is gone, and the job with it; another worker takes its place."""

    key: str
    attempt: int
    reason: str


Event = Alive | Report | Finished | Died


class Engine(Protocol):
    """Runs jobs on workers. All calls come from one thread."""

    def idle(self) -> Sequence[str]:
        """Identities (`rnnbench.sweep.owner`) of the workers that wait for a job."""
        ...

    def submit(self, worker: str, job: Job) -> None:
        """Give a job to an idle worker. If that has just died, a `Died` follows."""
        ...

    def poll(self, timeout: float) -> list[Event]:
        """What happened, waiting up to `timeout` seconds for an event or an idle worker.

        Raises:
            EngineError: workers cannot be started.
        """
        ...

    def reply(self, key: str, prune: bool) -> None:
        """Answer the last `Report` of a job."""
        ...

    def kill(self, key: str) -> None:
        """End the worker of a job at once; a `Died` follows."""
        ...

    def stop(self) -> None:
        """Ask all running jobs to stop where they can be resumed; each ends or dies."""
        ...

    def close(self) -> None:
        """End every worker, and whatever they started."""
        ...
