"""The trials that workers of this driver run, and when each was last heard of."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from rnnbench.sweep.cell_search import CellSearch
from rnnbench.sweep.engines.protocol import Event, Usage
from rnnbench.sweep.ledger.ledger import TrialRow
from rnnbench.sweep.ledger.status import BusyWorker


@dataclass
class RunningTrial:
    """A trial that a worker runs.

    Attributes:
        heard_at: time of the last sign of life (`time.monotonic`).
        heard: whether there was one since the last beat.
        frozen: whether its worker was killed for want of a sign of life.
    """

    cell: CellSearch
    row: TrialRow
    worker: str
    node: str
    heard_at: float
    usage: Usage = field(default_factory=Usage)
    heard: bool = False
    frozen: bool = False


class RunningTrials:
    """All trials that workers of this driver run, by key."""

    def __init__(self) -> None:
        self._trials: dict[str, RunningTrial] = {}

    def __len__(self) -> int:
        return len(self._trials)

    def start(self, cell: CellSearch, row: TrialRow, worker: str, node: str) -> None:
        """Note that a worker was given a trial."""
        self._trials[row.key] = RunningTrial(cell, row, worker, node, time.monotonic())

    def hear(self, event: Event) -> RunningTrial | None:
        """Return the trial that an event is about, and note the sign of life.

        Returns:
            None where the event is about an attempt that was given up: it may not write.
        """
        trial = self._trials.get(event.key)
        if trial is None or trial.row.attempt != event.attempt:
            return None
        trial.heard_at, trial.heard = time.monotonic(), True
        return trial

    def remove(self, key: str) -> None:
        """Forget a trial whose worker runs it no longer."""
        del self._trials[key]

    def remove_all(self) -> list[RunningTrial]:
        """Forget all trials, and return them."""
        trials = list(self._trials.values())
        self._trials.clear()
        return trials

    def freeze_silent(self, seconds: float) -> list[str]:
        """Return the keys of trials not heard of for so many seconds, and mark them as frozen."""
        now = time.monotonic()
        silent = [key for key, trial in self._trials.items() if now - trial.heard_at > seconds]
        for key in silent:
            self._trials[key].frozen, self._trials[key].heard_at = True, now
        return silent

    def excuse(self, seconds: float) -> None:
        """Allow every worker so many seconds more: the driver did not listen for as long."""
        for trial in self._trials.values():
            trial.heard_at += seconds

    def take_heard(self) -> list[tuple[str, int]]:
        """Return (key, attempt) of the trials heard of since the last call."""
        heard = [trial for trial in self._trials.values() if trial.heard]
        for trial in heard:
            trial.heard = False
        return [(trial.row.key, trial.row.attempt) for trial in heard]

    def move_to(self, cells: Mapping[str, CellSearch]) -> None:
        """Hand each trial to the new object of its cell, by study: the cells were made anew."""
        for key, trial in self._trials.items():
            trial.cell = cells[trial.cell.plan.study]
            trial.row = trial.cell.take_over(key)

    def busy_workers(self) -> list[BusyWorker]:
        """Return the workers that run a trial, with what they use."""
        now = time.monotonic()
        return [
            BusyWorker(
                trial.worker, trial.node, key, trial.usage.memory, trial.usage.gpus,
                now - trial.heard_at,
            )
            for key, trial in self._trials.items()
        ]  # fmt: skip
