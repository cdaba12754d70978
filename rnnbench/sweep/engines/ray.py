"""The engine of a Ray cluster: Ray places a seat (`seat`) for each worker on its nodes.

Ray distributes seats, keeps account of resources, and asks for more nodes where it can. It decides
nothing about trials: a seat that is lost is replaced, and its job is reported as died.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayError

from rnnbench.results.outages import fault_named
from rnnbench.results.store import whole
from rnnbench.spec.run_spec import Trainer
from rnnbench.sweep.cluster.ask_nodes import check_cluster
from rnnbench.sweep.cluster.connection import RayConnection
from rnnbench.sweep.cluster.head_watch import HeadWatch
from rnnbench.sweep.cluster.ray_output import RayOutput
from rnnbench.sweep.engines.node_faults import FAULTS, NodeFaults
from rnnbench.sweep.engines.placed_seat import PlacedSeat
from rnnbench.sweep.engines.protocol import (
    Alive,
    Died,
    EngineError,
    Event,
    Finished,
    Job,
    Said,
    ValidationReport,
    cannot_start,
)
from rnnbench.sweep.engines.ray_actor import RaySeat
from rnnbench.sweep.engines.seat import Arrived, Gone
from rnnbench.sweep.engines.worker import WORK, CannotStart, TooLarge, WorkerSetup
from rnnbench.sweep.file.resources import Resources

LISTEN_SECONDS = 5.0  # a seat that has nothing to say says so
KILL_SECONDS = 5.0  # for a worker to be gone when it is killed, before its seat is
END_SECONDS = 5.0  # for all seats to end
FALSE_STARTS = 3  # workers a seat that die in a row before any gets ready: nothing will start
UNCHECKED = "RNNBENCH_UNCHECKED_CLUSTER"
COMPLAIN_SECONDS = 30.0  # between lines on what is waited for

# One thread of a seat listens to its worker, another one passes messages on.
_SEAT: Any = ray.remote(concurrency_groups={"listening": 1, "telling": 1})(RaySeat)  # type: ignore[call-overload]


def _call(actor: Any, method: str, *arguments: Any) -> Any:
    """Call a seat without waiting; return a reference to its answer."""
    group = "listening" if method == "listen" else "telling"
    return getattr(actor, method).options(concurrency_group=group).remote(*arguments)


class RayEngine:
    """Runs each job in a worker process on some node of a Ray cluster.

    Args:
        workers: number of seats wanted; there are as many as the cluster has room for.
        root: the store: a URL, or a folder that every node sees under this name.
        address: address of the cluster, as `ray.init` takes it; "auto": the one that RAY_ADDRESS
            or this machine has, otherwise one is started here for the time of the sweep.
        resources: the resources that each seat takes.
        say: prints a line for the user, such as about a node that is set aside.
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
        self._faults = NodeFaults()
        self._connection = RayConnection(address, say)
        self._output = RayOutput(Path(logs) / "ray.log")
        say(f"what Ray itself says stands in {self._output.log}")
        self._head = HeadWatch(self._connection.address)
        if self._connection.machines() > 1:
            self._refuse_unequal(root)
        self._seats = [self._place(number) for number in range(workers)]

    def _refuse_unequal(self, root: Path | str) -> None:
        """Raise EngineError where machines have other software, or see other results."""
        problems = check_cluster(self._connection, root, self._say)
        if problems and os.environ.get(UNCHECKED) != "1":
            self._head.stop()
            self._connection.close()
            self._output.close()
            listed = "\n  ".join(problems)
            raise EngineError(
                f"the machines of the cluster do not agree:\n  {listed}\n"
                f"  `rnnbench cluster check` shows it. To run all the same, set {UNCHECKED}=1."
            )

    # ------------------------------------------------------------------ called by the scheduler

    def idle(self) -> Sequence[str]:
        return [s.identity for s in self._seats if s.identity and s.job is None]

    def node(self, worker: str) -> str:
        return self._seat_of(worker).node

    def nodes(self) -> Sequence[str]:
        return sorted({s.node for s in self._seats if s.identity})

    def submit(self, worker: str, job: Job) -> None:
        seat = self._seat_of(worker)
        if seat.job is not None:
            raise ValueError(f"worker {worker} is not idle")
        seat.job = job
        _call(seat.actor, "tell", job)

    def reply(self, key: str, prune: bool) -> None:
        seat = self._seat_running(key)
        if seat is not None:
            _call(seat.actor, "tell", prune)

    def interrupt(self, key: str) -> None:
        seat = self._seat_running(key)
        if seat is not None:
            _call(seat.actor, "interrupt")

    def kill(self, key: str) -> None:
        seat = self._seat_running(key)
        if seat is not None and seat.kill_by is None:
            _call(seat.actor, "kill")
            seat.kill_by = time.monotonic() + KILL_SECONDS

    def stop(self) -> None:
        self._stopping = True
        for seat in self._seats:
            if seat.job is not None:
                _call(seat.actor, "interrupt")

    def poll(self, timeout: float) -> list[Event]:
        deadline = time.monotonic() + timeout
        events: list[Event] = []
        idle = len(self.idle())
        while True:
            self._head.raise_if_lost()
            seconds_left = max(0.0, deadline - time.monotonic())
            waiting = {s.listening: s for s in self._seats}
            if waiting:
                ready, _ = ray.wait(
                    list(waiting), num_returns=len(waiting), timeout=0, fetch_local=True
                )
                if not ready:
                    ready, _ = ray.wait(list(waiting), num_returns=1, timeout=seconds_left)
            else:
                ready = []
                time.sleep(seconds_left)
            for reference in ready:
                events += self._hear(waiting[reference])
            events += self._kill_overdue()
            self._complain()
            if events or len(self.idle()) > idle or time.monotonic() >= deadline:
                return events

    def close(self) -> None:
        self._stopping = True
        self._head.stop()
        if self._head.lost:  # nobody there to say goodbye to
            self._seats.clear()
            self._connection.abandon()  # Ray goes on complaining, to its log
            return
        ends = [_call(s.actor, "end") for s in self._seats]
        with contextlib.suppress(RayError, GetTimeoutError):
            ray.wait(ends, num_returns=len(ends), timeout=END_SECONDS) if ends else None
        for seat in self._seats:
            ray.kill(seat.actor)
        self._seats.clear()
        self._connection.close()
        self._output.close()

    # ------------------------------------------------------------------------- what seats say

    def _hear(self, seat: PlacedSeat) -> list[Event]:
        """Return the events that a seat tells of, and ask it to listen again."""
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
                able = [n for n, has in self._connection.nodes().items() if has.get("CPU")]
                if not self._faults.set_aside(seat.node, able):
                    raise cannot_start(message.reason, message.fault)
                self._leave_node(seat.node, f"cannot start workers:\n{message.reason}")
                return events
            if isinstance(message, Arrived):
                seat.identity = message.identity
                self._arrived, self._false_starts = True, 0
            elif isinstance(message, TooLarge):
                seat.too_large = message.reason
            elif isinstance(message, Gone):
                events += self._end_worker(seat, message.reason)
                if not message.was_ready:
                    self._count_false_start(message.reason)
            elif isinstance(message, (Alive, ValidationReport, Said, Finished)):
                events.append(message)
                if isinstance(message, Finished):
                    self._note_finished(seat, message)
        if seat in self._seats:  # and was not replaced
            seat.listening = _call(seat.actor, "listen", LISTEN_SECONDS)
        return events

    def _note_finished(self, seat: PlacedSeat, message: Finished) -> None:
        """Note that a seat is idle; a run that crashed or met a fault counts against its node."""
        seat.job, ending = None, message.ending
        if message.leaves:
            seat.identity = ""  # until the next worker of the seat arrives
        if ending.status == "crashed" or (ending.fault and fault_named(ending.fault).of_node):
            self._note_fault(seat.node, ending.reason or "a run crashed")
        elif not ending.fault:
            self._faults.clear(seat.node)

    def _end_worker(self, seat: PlacedSeat, reason: str, *, lost: bool = False) -> list[Event]:
        """Note that the worker of a seat is dead; the seat starts another one.

        Args:
            lost: whether it went with its node.
        """
        job, too_large, node = seat.job, seat.too_large, seat.node
        seat.job, seat.identity, seat.too_large, seat.kill_by = None, "", "", None
        if job is None:
            return []
        if not too_large and not lost:
            self._note_fault(node, reason)
        reason = too_large or reason
        return [Died(job.key, job.attempt, reason, node, too_large=bool(too_large), lost=lost)]

    def _lose(self, seat: PlacedSeat, reason: str) -> list[Event]:
        """Replace a seat that is gone, perhaps with its node, by one where there is room."""
        events = self._end_worker(seat, f"was lost with its node: {reason}", lost=True)
        ray.kill(seat.actor)
        if not self._stopping:
            self._seats[self._seats.index(seat)] = self._place(seat.number)
        else:
            self._seats.remove(seat)
        return events

    def _kill_overdue(self) -> list[Event]:
        """Replace seats that did not kill their worker in time: their node does not answer."""
        now, events = time.monotonic(), []
        for seat in [s for s in self._seats if s.kill_by is not None and s.kill_by < now]:
            events += self._lose(seat, "its node does not answer")
        return events

    def _note_fault(self, node: str, reason: str) -> None:
        """Count a fault of a node; set the node aside where it only loses and there are others."""
        if not self._faults.add(node, self._connection.nodes()):
            return
        self._leave_node(
            node,
            f"lost {FAULTS} trials in a row and ended none between them; the last one: {reason}",
        )

    def _leave_node(self, node: str, why: str) -> None:
        """Move the idle seats of a node that was set aside to others."""
        self._say(f"node set aside: {self._connection.name(node)} {why}")
        for seat in [s for s in self._seats if s.node == node and s.job is None]:
            self._lose(seat, "its node was set aside")

    def _count_false_start(self, reason: str) -> None:
        """Count a worker that died before it was ready; raise EngineError where all do."""
        self._false_starts += 1
        if self._false_starts >= FALSE_STARTS * len(self._seats) and not self._stopping:
            raise EngineError(
                f"{self._false_starts} workers in a row died before they were ready; the last "
                f"{reason}"
            )

    def _complain(self) -> None:
        """Tell the user that no worker is ready yet; raise EngineError at the end of patience."""
        now = time.monotonic()
        if self._arrived or now - self._said < COMPLAIN_SECONDS:
            return
        self._said = now
        if now - self._began > self._patience:
            raise EngineError(
                f"no worker was ready within {self._patience:.0f} s; the cluster has "
                f"{self._connection.described()}, and a trial takes {self._describe_trial()}"
            )
        self._say(
            f"waiting for room: the cluster has {self._connection.described()}, and a trial takes "
            f"{self._describe_trial()}"
        )

    def _describe_trial(self) -> str:
        """Return in words the resources that a trial takes."""
        options = self._resources.as_ray(self._devices())
        labels = "".join(f", on a node with {k}={v}" for k, v in self._resources.labels.items())
        return f"{options['num_cpus']:g} CPUs and {options['num_gpus']:g} GPUs{labels}"

    def _devices(self) -> int:
        """Return the number of GPUs of a trial where the sweep file does not say."""
        trainer = self._setup.trainer
        has_gpus = any(node.get("GPU") for node in self._connection.nodes().values())
        return trainer.devices if has_gpus and trainer.accelerator != "cpu" else 0

    # ------------------------------------------------------------------------------- its seats

    def _place(self, number: int) -> PlacedSeat:
        """Ask Ray for a seat, on no node that was set aside."""
        labels = {**self._resources.labels, **self._faults.label_selector()}
        actor = _SEAT.options(
            **self._resources.as_ray(self._devices()),
            label_selector=labels or None,
            max_restarts=0,
        ).remote(self._setup, self._logs, f"worker-{number}")
        listening = _call(actor, "listen", LISTEN_SECONDS)
        return PlacedSeat(number, actor, listening, _call(actor, "where"))

    def _seat_of(self, worker: str) -> PlacedSeat:
        return next(s for s in self._seats if s.identity == worker)

    def _seat_running(self, key: str) -> PlacedSeat | None:
        """Return the seat that runs a job; None where none does."""
        return next((s for s in self._seats if s.job is not None and s.job.key == key), None)
