"""The engine of a cluster: Ray places seats (`ray_actor`) on its nodes, one a worker.

Ray does the distributing and the accounting of resources, and asks for more nodes where it can. It
decides nothing about trials: an actor that is lost is replaced, and its job reported as died.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayError

from rnnbench.results.store import whole
from rnnbench.spec.run_spec import Trainer
from rnnbench.sweep.cluster.ask_nodes import check_cluster
from rnnbench.sweep.cluster.connection import Head
from rnnbench.sweep.engines.protocol import (
    Alive,
    Died,
    EngineError,
    Event,
    Finished,
    Job,
    ValidationReport,
)
from rnnbench.sweep.engines.ray_actor import Arrived, Gone, Seat
from rnnbench.sweep.engines.worker import WORK, CannotStart, TooLarge, WorkerSetup
from rnnbench.sweep.file.resources import Resources

LISTEN_SECONDS = 5.0  # a seat that has nothing to say says so
KILL_SECONDS = 5.0  # for a worker to be gone when it is killed, before its seat is
END_SECONDS = 5.0  # for all seats to end
FAULTS = 3  # workers lost in a row on a node, none of which ended a job, before it is set aside
FALSE_STARTS = 3  # the same on the only node: nothing will start
UNCHECKED = "RNNBENCH_UNCHECKED_CLUSTER"
NODE_ID = "ray.io/node-id"
COMPLAIN_SECONDS = 30.0  # between lines on what is waited for


# One thread of a seat listens to its worker, another one passes messages on.
_SEAT: Any = ray.remote(concurrency_groups={"listening": 1, "telling": 1})(Seat)  # type: ignore[call-overload]


def _ask(actor: Any, method: str, *arguments: Any) -> Any:
    """Call a seat without waiting: a reference to what it will return."""
    group = "listening" if method == "listen" else "telling"
    return getattr(actor, method).options(concurrency_group=group).remote(*arguments)


@dataclass
class _Seat:
    """A seat as the driver sees it."""

    number: int
    actor: Any
    listening: Any  # reference to what `listen` will return
    placed: Any  # reference to the id of its node, then None
    node: str = ""
    identity: str = ""  # of the worker, once it is ready
    job: Job | None = None
    too_large: str = ""
    kill_by: float | None = None  # when the seat itself is killed


@dataclass
class _Faults:
    """What went wrong on nodes since they last ended a job."""

    lost: Counter[str] = field(default_factory=Counter)
    aside: dict[str, str] = field(default_factory=dict)  # node -> why


class RayEngine:
    """Runs each job in a worker process on some node of a Ray cluster.

    Args:
        workers: seats that are asked for; there are as many as the cluster has room for.
        root: of the store: a folder that every node sees under this name.
        address: of the cluster, as `ray.init` takes it; "auto": the one that RAY_ADDRESS or this
            machine has, otherwise one is started here for the time of the sweep.
        resources: that each seat takes.
        say: is told what the user should know, such as a node that is set aside.
        patience: seconds to wait for the first worker.

    Raises:
        EngineError: there is no cluster at the address, or it is open to strangers.
    """

    def __init__(
        self,
        *,
        workers: int,
        root: Path | str,
        logs: Path,
        trainer: Trainer = Trainer(),
        work: str = WORK,
        beat: float = 5.0,
        address: str = "auto",
        resources: Resources = Resources(),
        say: Callable[[str], None] = print,
        patience: float = 600.0,
    ) -> None:
        memory = resources.memory
        self._setup = WorkerSetup(work, whole(root), trainer, 0, beat, memory)
        self._logs, self._resources, self._say = str(Path(logs).absolute()), resources, say
        self._patience, self._said = patience, time.monotonic()
        self._began = time.monotonic()
        self._stopping, self._arrived = False, False
        self._false_starts = 0
        self._faults = _Faults()
        self._head = Head(address, say)
        if self._head.machines() > 1:
            self._refuse_unequal(root)
        self._seats = [self._place(number) for number in range(workers)]

    def _refuse_unequal(self, root: Path | str) -> None:
        """Several machines must have the same software, and see the same results."""
        problems = check_cluster(self._head, root, self._say)
        if problems and os.environ.get(UNCHECKED) != "1":
            self._head.close()
            told = "\n  ".join(problems)
            raise EngineError(
                f"the machines of the cluster do not agree:\n  {told}\n"
                f"  `rnnbench cluster check` shows it. To run all the same, set {UNCHECKED}=1."
            )

    # ----------------------------------------------------------------------- what the loop asks

    def idle(self) -> Sequence[str]:
        return [s.identity for s in self._seats if s.identity and s.job is None]

    def node(self, worker: str) -> str:
        return self._of(worker).node

    def nodes(self) -> Sequence[str]:
        return sorted({s.node for s in self._seats if s.identity})

    def submit(self, worker: str, job: Job) -> None:
        seat = self._of(worker)
        if seat.job is not None:
            raise ValueError(f"worker {worker} is not idle")
        seat.job = job
        _ask(seat.actor, "tell", job)

    def reply(self, key: str, prune: bool) -> None:
        seat = self._busy(key)
        if seat is not None:
            _ask(seat.actor, "tell", prune)

    def interrupt(self, key: str) -> None:
        seat = self._busy(key)
        if seat is not None:
            _ask(seat.actor, "interrupt")

    def kill(self, key: str) -> None:
        seat = self._busy(key)
        if seat is not None and seat.kill_by is None:
            _ask(seat.actor, "kill")
            seat.kill_by = time.monotonic() + KILL_SECONDS

    def stop(self) -> None:
        self._stopping = True
        for seat in self._seats:
            if seat.job is not None:
                _ask(seat.actor, "interrupt")

    def poll(self, timeout: float) -> list[Event]:
        deadline = time.monotonic() + timeout
        events: list[Event] = []
        idle = len(self.idle())
        while True:
            rest = max(0.0, deadline - time.monotonic())
            waiting = {s.listening: s for s in self._seats}
            if waiting:
                ready, _ = ray.wait(
                    list(waiting), num_returns=len(waiting), timeout=0, fetch_local=True
                )
                if not ready:
                    ready, _ = ray.wait(list(waiting), num_returns=1, timeout=rest)
            else:
                ready = []
                time.sleep(rest)
            for reference in ready:
                events += self._hear(waiting[reference])
            events += self._kill_overdue()
            self._complain()
            if events or len(self.idle()) > idle or time.monotonic() >= deadline:
                return events

    def close(self) -> None:
        self._stopping = True
        ends = [_ask(s.actor, "end") for s in self._seats]
        with contextlib.suppress(RayError, GetTimeoutError):
            ray.wait(ends, num_returns=len(ends), timeout=END_SECONDS) if ends else None
        for seat in self._seats:
            ray.kill(seat.actor)
        self._seats.clear()
        self._head.close()

    # ------------------------------------------------------------------------- what seats say

    def _hear(self, seat: _Seat) -> list[Event]:
        try:
            messages = ray.get(seat.listening)
            if seat.placed is not None:
                seat.node, seat.placed = ray.get(seat.placed), None
        except OutOfMemoryError as error:
            seat.too_large = f"Ray ended it for want of memory: {str(error).splitlines()[0]}"
            return self._lose(seat, seat.too_large)
        except RayError as error:
            return self._lose(seat, str(error).strip().splitlines()[0])
        events: list[Event] = []
        for message in messages:
            if isinstance(message, CannotStart):
                raise EngineError(f"a worker cannot start\n{message.reason}")
            if isinstance(message, Arrived):
                seat.identity = message.identity
                self._arrived, self._false_starts = True, 0
            elif isinstance(message, TooLarge):
                seat.too_large = message.reason
            elif isinstance(message, Gone):
                events += self._died(seat, message.reason)
                if not message.was_ready:
                    self._false_start(message.reason)
            elif isinstance(message, (Alive, ValidationReport, Finished)):
                events.append(message)
                if isinstance(message, Finished):
                    self._finished(seat, message)
        if seat in self._seats:  # and was not replaced
            seat.listening = _ask(seat.actor, "listen", LISTEN_SECONDS)
        return events

    def _finished(self, seat: _Seat, message: Finished) -> None:
        seat.job = None
        if message.ending.status == "crashed":
            self._fault(seat.node, message.ending.reason or "a run crashed")
        else:
            self._faults.lost[seat.node] = 0

    def _died(self, seat: _Seat, reason: str, lost: bool = False) -> list[Event]:
        """The worker of a seat is dead; the seat starts another one."""
        job, large, node = seat.job, seat.too_large, seat.node
        seat.job, seat.identity, seat.too_large, seat.kill_by = None, "", "", None
        if job is None:
            return []
        if not large and not lost:
            self._fault(node, reason)
        return [Died(job.key, job.attempt, large or reason, node, bool(large), lost)]

    def _lose(self, seat: _Seat, reason: str) -> list[Event]:
        """A seat is gone, with its node perhaps: place another one where there is room."""
        events = self._died(seat, f"was lost with its node: {reason}", lost=True)
        ray.kill(seat.actor)
        if not self._stopping:
            self._seats[self._seats.index(seat)] = self._place(seat.number)
        else:
            self._seats.remove(seat)
        return events

    def _kill_overdue(self) -> list[Event]:
        """Seats that did not kill their worker when they were asked to, their node being away."""
        now, events = time.monotonic(), []
        for seat in [s for s in self._seats if s.kill_by is not None and s.kill_by < now]:
            events += self._lose(seat, "its node does not answer")
        return events

    def _fault(self, node: str, reason: str) -> None:
        """Count against a node; set it aside where it only loses, and there are others."""
        self._faults.lost[node] += 1
        others = set(self._head.nodes()) - set(self._faults.aside) - {node}
        if self._faults.lost[node] < FAULTS or not others or node in self._faults.aside:
            return
        self._faults.aside[node] = reason
        self._say(
            f"node set aside: {self._head.name(node)} lost {FAULTS} trials in a row and ended none "
            f"between them; the last one: {reason}"
        )
        for seat in [s for s in self._seats if s.node == node and s.job is None]:
            self._lose(seat, "its node was set aside")

    def _false_start(self, reason: str) -> None:
        self._false_starts += 1
        if self._false_starts >= FALSE_STARTS * len(self._seats) and not self._stopping:
            raise EngineError(
                f"{self._false_starts} workers in a row died before they were ready; the last "
                f"{reason}"
            )

    def _complain(self) -> None:
        """Say so where trials wait for room that is not there."""
        now = time.monotonic()
        if self._arrived or now - self._said < COMPLAIN_SECONDS:
            return
        self._said = now
        if now - self._began > self._patience:
            raise EngineError(
                f"no worker was ready within {self._patience:.0f} s; the cluster has "
                f"{self._head.described()}, and a trial takes {self._asked()}"
            )
        self._say(
            f"waiting for room: the cluster has {self._head.described()}, and a trial takes "
            f"{self._asked()}"
        )

    def _asked(self) -> str:
        asked = self._resources.as_ray(self._devices())
        labels = "".join(f", on a node with {k}={v}" for k, v in self._resources.labels.items())
        return f"{asked['num_cpus']:g} CPUs and {asked['num_gpus']:g} GPUs{labels}"

    def _devices(self) -> int:
        """GPUs of a trial where the sweep file does not say."""
        trainer = self._setup.trainer
        here = any(node.get("GPU") for node in self._head.nodes().values())
        return trainer.devices if here and trainer.accelerator != "cpu" else 0

    # ------------------------------------------------------------------------------- its seats

    def _place(self, number: int) -> _Seat:
        aside = ",".join(sorted(self._faults.aside))
        labels = dict(self._resources.labels)
        if aside:
            labels[NODE_ID] = f"!in({aside})"
        actor = _SEAT.options(
            **self._resources.as_ray(self._devices()),
            label_selector=labels or None,
            max_restarts=0,
        ).remote(self._setup, self._logs, f"worker-{number}")
        listening = _ask(actor, "listen", LISTEN_SECONDS)
        return _Seat(number, actor, listening, _ask(actor, "where"))

    def _of(self, worker: str) -> _Seat:
        return next(s for s in self._seats if s.identity == worker)

    def _busy(self, key: str) -> _Seat | None:
        return next((s for s in self._seats if s.job is not None and s.job.key == key), None)
