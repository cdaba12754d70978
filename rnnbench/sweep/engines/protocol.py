"""The protocol between the driver of a sweep and the engine that runs its trials.

An engine places jobs on warm workers and carries messages. It knows nothing of studies, of the
ledger, or of which results are good. `rnnbench.sweep.engines.local` is the engine of one machine,
`rnnbench.sweep.engines.ray` that of a cluster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rnnbench.errors import OutageError, UserError
from rnnbench.results.outages import KIND, MISSING, fault_named
from rnnbench.results.selection import compared_value, compared_values

if TYPE_CHECKING:
    from rnnbench.results.record import Record


class EngineError(UserError, RuntimeError):
    """The engine cannot run anything; the message says why and what to do."""

    exit_code = 1


def cannot_start(reason: str, fault: str) -> UserError:
    """Return the error of a worker that cannot start, which an outage may be the cause of.

    Args:
        fault: kind of the infrastructure's fault (`results.outages`), or "".
    """
    text = f"a worker cannot start\n{reason}"
    if not fault:
        return EngineError(text)
    known = fault_named(fault)
    return OutageError(f"{text}\n  What to do: {known.advice}; then the same command goes on.")


@dataclass(frozen=True)
class Job:
    """One start of one trial.

    Attributes:
        spec: the run, as `RunSpec.as_dict` (plain values travel between versions and machines).
        asks: whether the worker asks at each validation if it should go on.
        seed_plan: how results decide on the seeds of its row (`SeedPlan.as_dict`), for the record.
    """

    key: str
    attempt: int
    spec: Mapping[str, Any]
    sweep: str
    study: str
    asks: bool
    seed_plan: Mapping[str, Any] | None = None


class Usage(NamedTuple):
    """The memory and the GPUs that a busy worker uses.

    Attributes:
        memory: bytes that its process holds.
        gpus: (share of the time in use, bytes held, bytes there are) by the id of the device; the
            figures are those of the whole device, whoever uses it.
    """

    memory: int = 0
    gpus: Mapping[str, tuple[float, int, int]] = MappingProxyType({})


@dataclass(frozen=True)
class Ending:
    """The end of a run: the part of its record that the search needs.

    Attributes:
        status: status of the record ("done", "pruned", "nan", ...), or "refused".
        value: best value on validation, by the task's selection; None unless finite. Where the
            selection metric told nothing, the loss tells it from equal ones, as in the curve
            (`rnnbench.results.selection`).
        curve: (optimiser step, value on validation), finite values only.
        costs: costs by their names in `rnnbench.results.record.COSTS`, finite values only.
        fault: the kind of the infrastructure's fault that it may be (`results.outages`), or "".
        missing: what the worker could not import, see `results.outages.missing_name`.
    """

    status: str
    reason: str | None = None
    value: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    fault: str = ""
    missing: str = ""

    @classmethod
    def of(cls, record: Record) -> Ending:
        """Return the ending of the run that left this record."""
        selection, figures = record.selection, [values for _, _, values in record.curve]
        values = compared_values(
            [_finite(f.get(selection.get("metric"))) for f in figures],
            [_finite(f.get("loss")) for f in figures],
            higher_is_better=bool(selection.get("higher_is_better")),
            by_loss=selection.get("metric") == "loss",
            unmeasurable=bool(selection.get("fallback", {}).get("unmeasurable")),
        )
        steps = [int(step) for step, _, _ in record.curve]
        return cls(
            status=record.status.value,
            reason=record.reason,
            value=_finite(compared_value(selection)),
            curve=tuple((s, v) for s, v in zip(steps, values, strict=True) if v is not None),
            costs={k: v for k, c in record.cost.items() if (v := _finite(c)) is not None},
            fault=record.provenance.get(KIND, ""),
            missing=record.provenance.get(MISSING, ""),
        )


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


class Alive(NamedTuple):
    """The worker of this job gave a sign of life, and told what it uses."""

    key: str
    attempt: int
    usage: Usage = Usage()


class ValidationReport(NamedTuple):
    """The job was validated, and its worker waits for `Engine.reply`.

    Attributes:
        step: optimiser steps so far.
        value: on validation, by the task's selection.
    """

    key: str
    attempt: int
    step: int
    value: float


class Finished(NamedTuple):
    """The job came to an end, and its record is in the store.

    Attributes:
        leaves: whether its worker ends, since it can do no more, and another takes its place.
    """

    key: str
    attempt: int
    ending: Ending
    leaves: bool = False


class Died(NamedTuple):
    """The worker is gone, and the job with it; another worker takes its place.

    Attributes:
        reason: what happened to the worker, such as "was killed (SIGKILL)".
        node: the node that it was on, see `Engine.nodes`.
        too_large: whether it held more memory than a trial may, and would again.
        lost: whether it went with its node, through no fault of the job.
    """

    key: str
    attempt: int
    reason: str
    node: str
    too_large: bool = False
    lost: bool = False


class Said(NamedTuple):
    """The worker of this job has something to say to whoever looks at the sweep."""

    key: str
    attempt: int
    text: str


Event = Alive | ValidationReport | Finished | Died | Said


class Engine(Protocol):
    """Runs jobs on workers. All calls come from one thread."""

    def idle(self) -> Sequence[str]:
        """Return the identities (`ledger.process_identity`) of the workers that wait for a job."""
        ...

    def node(self, worker: str) -> str:
        """Return the node that an idle worker is on."""
        ...

    def nodes(self) -> Sequence[str]:
        """Return the nodes that have workers, without bad nodes that were set aside."""
        ...

    def submit(self, worker: str, job: Job) -> None:
        """Give a job to an idle worker. If that has just died, a `Died` follows."""
        ...

    def poll(self, timeout: float) -> list[Event]:
        """Return the events, after waiting up to `timeout` seconds for one or an idle worker.

        Raises:
            EngineError: workers cannot be started, or the cluster is out of reach.
        """
        ...

    def reply(self, key: str, prune: bool) -> None:
        """Answer the last `ValidationReport` of a job: whether it is to stop."""
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


class EngineFactory(Protocol):
    """Starts an engine."""

    def __call__(self, workers: int, /) -> Engine:
        """Return an engine with so many workers."""
        ...
