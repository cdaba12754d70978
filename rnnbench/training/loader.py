"""Training batches in packs, from any point of a run on, up to the end of its budget.

Every batch is made from (seed, epoch, index) alone, so a run can be taken up at any step and reads
what an uninterrupted one would have read. A pack is what Lightning sees as one batch: several
optimiser steps, since Lightning's bookkeeping costs as much as a small model's step.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from rnnbench.contract import Batch, Data, Task
from rnnbench.errors import SpecError
from rnnbench.spec.run_spec import RunSpec
from rnnbench.training.checks.undeclared_files import noting
from rnnbench.training.train_step import count_targets

PACK = 25  # optimiser steps in what Lightning sees as one batch


class Position(NamedTuple):
    """A point in a run's stream of batches, from which a checkpoint goes on."""

    step: int = 0  # optimiser steps done
    tokens: int = 0  # target elements trained on
    epoch: int = 0
    batch: int = 0  # index of the next batch in its epoch


class Pack(NamedTuple):
    """Batches for consecutive optimiser steps, and the position after each."""

    batches: list[Batch]
    after: list[Position]
    fresh: list[bool]  # the batch begins an epoch, so carried state is dropped

    def to(self, device: torch.device) -> Pack:
        """Return this pack with its batches on `device`."""
        return self._replace(batches=[b.to(device, non_blocking=True) for b in self.batches])


def keyed_generator(*key: int) -> torch.Generator:
    """Return a generator that depends on the key alone, independent of those of other keys."""
    (word,) = np.random.SeedSequence(list(key)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(word) >> 1)


@functools.lru_cache(maxsize=8)
def split_of(task: Task, split: str, seed: int) -> Data:
    """Return a task's split, which warm workers keep from run to run."""
    with noting(task):
        return task.data(split, seed)


class Loader:
    """Packs of training batches from a position up to the next validation or the budget's end.

    Args:
        size: rows of a batch.
        pack: most optimiser steps in a pack.
        round_steps: optimiser steps between validations; every iteration ends at a multiple.
        steps, tokens, seconds: the budget, None where it is not in this unit.
    """

    def __init__(
        self,
        data: Data,
        size: int,
        seed: int,
        *,
        pack: int,
        round_steps: int,
        steps: int | None = None,
        tokens: int | None = None,
        seconds: float | None = None,
    ):
        self.data, self.size, self.seed = data, size, seed
        self.pack, self.round_steps, self.steps, self.tokens = pack, round_steps, steps, tokens
        self.seconds = seconds
        self.position = Position()
        self.stopped = False  # by a budget that only the clock knows
        self._order_of: tuple[int, list] = (-1, [])

    @classmethod
    def of_run(cls, spec: RunSpec, data: Data) -> Loader:
        """Return the loader of a run's training split."""
        budget = spec.budget
        loader = cls(
            data,
            spec.optimizer.batch,
            spec.seed,
            pack=PACK,
            round_steps=budget.validate_every,
            steps=budget.steps,
            tokens=budget.tokens,
            seconds=budget.seconds,
        )
        if budget.epochs is not None:
            loader.steps = max(1, round(budget.epochs * len(loader.order(0))))
        return loader

    def order(self, epoch: int) -> list:
        """Return the keys of an epoch's batches.

        Raises:
            SpecError: there is none.
        """
        if self._order_of[0] != epoch:
            keys = list(self.data.order(self.size, keyed_generator(self.seed, epoch)))
            if not keys:
                raise SpecError("the training split yields no batch: lower optimizer.batch")
            self._order_of = (epoch, keys)
        return self._order_of[1]

    def spent(self, at: Position, train_seconds: float = 0.0) -> bool:
        """Tell whether the budget is used up at a position, after so much time of training."""
        return (
            (self.steps is not None and at.step >= self.steps)
            or (self.tokens is not None and at.tokens >= self.tokens)
            or (self.seconds is not None and train_seconds >= self.seconds)
        )

    def part_spent(self, at: Position, train_seconds: float) -> float:
        """Return the part of the budget that is spent, 0 to 1."""
        if self.seconds is not None:
            return min(1.0, train_seconds / self.seconds)
        if self.tokens is not None:
            return min(1.0, at.tokens / self.tokens)
        assert self.steps is not None
        return at.step / self.steps

    def __iter__(self) -> Iterator[Pack]:
        at = self.position
        last = (at.step // self.round_steps + 1) * self.round_steps
        while at.step < last and not self.spent(at):
            batches: list[Batch] = []
            after: list[Position] = []
            fresh: list[bool] = []
            # Packs end at fixed steps, so that a run taken up anywhere packs alike.
            end = min(last, (at.step // self.pack + 1) * self.pack)
            while at.step < end and not self.spent(at):
                fresh.append(at.batch == 0)
                batch, at = self.next(at)
                batches.append(batch)
                after.append(at)
            yield Pack(batches, after, fresh)
            if self.stopped:
                return

    def next(self, at: Position) -> tuple[Batch, Position]:
        """Return the batch at a position, and the position after it."""
        order = self.order(at.epoch)
        batch = self.data.batch(order[at.batch], keyed_generator(self.seed, at.epoch, at.batch, 1))
        epoch, index = (at.epoch, at.batch + 1) if at.batch + 1 < len(order) else (at.epoch + 1, 0)
        return batch, Position(at.step + 1, at.tokens + count_targets(batch), epoch, index)
