"""What the driver of a sweep asks of whatever runs its trials: this machine, or a cluster.

An engine places jobs on warm workers and carries messages. It knows nothing of studies, of the
ledger, or of what is good. `rnnbench.sweep.engines.local` is the engine of one machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rnnbench.errors import UserError

if TYPE_CHECKING:
    from rnnbench.results.record import Record


class EngineError(UserError, RuntimeError):
    """The engine cannot run anything; the message says why and what to do."""

    exit_code = 1


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


class Usage(NamedTuple):
    """What a busy worker holds: bytes of memory, and of its GPUs (share in use, bytes, of bytes).

    The figures of a GPU are the whole device's, whoever uses it; `gpus` is by the device's id.
    """

    memory: int = 0
    gpus: Mapping[str, tuple[float, int, int]] = MappingProxyType({})


@dataclass(frozen=True)
class Ending:
    """How a run ended: the part of its record that the search needs.

    Attributes:
        status: of the record ("done", "pruned", "nan", ...), or "refused".
        value: best on validation, by the task's selection; None unless finite.
        curve: (optimiser step, value on validation), finite values only.
        costs: of `rnnbench.results.record.COSTS`, finite values only.
    """

    status: str
    reason: str | None = None
    value: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)

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
            costs={k: v for k, c in record.cost.items() if (v := _finite(c)) is not None},
        )


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


class Alive(NamedTuple):
    """The worker of this job gave a sign of life, and says what it uses."""

    key: str
    attempt: int
    usage: Usage = Usage()


class ValidationReport(NamedTuple):
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
    """The worker is gone, and the job with it; another worker takes its place.

    Attributes:
        node: where it was, see `Engine.nodes`.
        too_large: it held more memory than a trial may, and would again.
        lost: it went with its node, and through no fault of the job.
    """

    key: str
    attempt: int
    reason: str
    node: str
    too_large: bool = False
    lost: bool = False


Event = Alive | ValidationReport | Finished | Died


class Engine(Protocol):
    """Runs jobs on workers. All calls come from one thread."""

    def idle(self) -> Sequence[str]:
        """Identities (`sweep.ledger.process_identity`) of the workers that wait for a job."""
        ...

    def node(self, worker: str) -> str:
        """The node that an idle worker is on."""
        ...

    def nodes(self) -> Sequence[str]:
        """The nodes that have workers, bad ones that were set aside left out."""
        ...

    def submit(self, worker: str, job: Job) -> None:
        """Give a job to an idle worker. If that has just died, a `Died` follows."""
        ...

    def poll(self, timeout: float) -> list[Event]:
        """What happened, waiting up to `timeout` seconds for an event or an idle worker.

        Raises:
            EngineError: workers cannot be started, or the cluster is out of reach.
        """
        ...

    def reply(self, key: str, prune: bool) -> None:
        """Answer the last `Report` of a job."""
        ...

    def kill(self, key: str) -> None:
        """End the worker of a job at once; a `Died` follows."""
        ...

    def interrupt(self, key: str) -> None:
        """Ask a job to stop where it can be resumed; it ends as interrupted, or dies."""
        ...

    def stop(self) -> None:
        """Ask all running jobs to stop where they can be resumed; each ends or dies."""
        ...

    def close(self) -> None:
        """End every worker, and whatever they started."""
        ...
