"""The trials that workers of this driver run, and when each was last heard of."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

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
        metered_at: time up to which what it holds was told by `RunningTrials.take_uses`.
    """

    cell: CellSearch
    row: TrialRow
    worker: str
    node: str
    heard_at: float
    usage: Usage = field(default_factory=Usage)
    heard: bool = False
    frozen: bool = False
    metered_at: float = field(default_factory=time.monotonic)


class ChosenTrial(NamedTuple):
    """The next trial that needs a run.

    Attributes:
        above: attempt of an earlier record of it, or 0.
    """

    cell: CellSearch
    row: TrialRow
    above: int


class Use(NamedTuple):
    """For how many seconds a trial of a cell held its worker, and how many GPUs of its node."""

    study: str
    seconds: float
    gpus: float


class RunningTrials:
    """All trials that workers of this driver run, by key."""

    def __init__(self) -> None:
        self._trials: dict[str, RunningTrial] = {}
        self._uses: list[Use] = []  # of trials that run no longer

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
        trial = self._trials[key]
        sharers = self._count_sharers() if trial.usage.gpus else {}
        self._uses.append(self._meter(trial, sharers))
        del self._trials[key]

    def remove_all(self) -> list[RunningTrial]:
        """Forget all trials, and return them."""
        self._uses = self.take_uses()
        trials = list(self._trials.values())
        self._trials.clear()
        return trials

    def take_uses(self) -> list[Use]:
        """Return what trials held since the last call, also those that have ended since."""
        uses, self._uses = self._uses, []
        sharers = self._count_sharers()
        return uses + [self._meter(trial, sharers) for trial in self._trials.values()]

    def _count_sharers(self) -> Counter[str]:
        """Return how many trials see each GPU, by its id."""
        return Counter(gpu for trial in self._trials.values() for gpu in trial.usage.gpus)

    def _meter(self, trial: RunningTrial, sharers: Mapping[str, int]) -> Use:
        """Return what a trial held since it was last metered; a GPU that several use is shared."""
        now = time.monotonic()
        seconds, trial.metered_at = now - trial.metered_at, now
        gpus = sum(1 / sharers[gpu] for gpu in trial.usage.gpus)
        return Use(trial.cell.plan.study, seconds, gpus)

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
