"""Training batches in packs, from any point of a run on.

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
from rnnbench.training.train_step import count_targets


class Position(NamedTuple):
    """How far a run has come: what a checkpoint needs to go on."""

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
        return self._replace(batches=[b.to(device, non_blocking=True) for b in self.batches])


def keyed_generator(*key: int) -> torch.Generator:
    """A generator that depends on the key alone, and is independent of those of other keys."""
    (word,) = np.random.SeedSequence(list(key)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(word) >> 1)


@functools.lru_cache(maxsize=8)
def split_of(task: Task, split: str, seed: int) -> Data:
    """A task's split, kept by warm workers from run to run."""
    return task.data(split, seed)


class Loader:
    """Packs of training batches from a position up to the next validation or the budget's end.

    Args:
        size: rows of a batch.
        pack: most optimiser steps in a pack.
        round_steps: optimiser steps between validations; every iteration ends at a multiple.
        steps, tokens: the budget, None where it is not in this unit.
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
    ):
        self.data, self.size, self.seed = data, size, seed
        self.pack, self.round_steps, self.steps, self.tokens = pack, round_steps, steps, tokens
        self.position = Position()
        self.stopped = False  # by a budget that only the clock knows
        self._order_of: tuple[int, list] = (-1, [])

    def order(self, epoch: int) -> list:
        """The keys of an epoch's batches."""
        if self._order_of[0] != epoch:
            keys = list(self.data.order(self.size, keyed_generator(self.seed, epoch)))
            if not keys:
                raise ValueError("the training split yields no batch: lower optimizer.batch")
            self._order_of = (epoch, keys)
        return self._order_of[1]

    def spent(self, at: Position) -> bool:
        """The budget is used up."""
        return (self.steps is not None and at.step >= self.steps) or (
            self.tokens is not None and at.tokens >= self.tokens
        )

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
        """The batch at a position, and the position after it."""
        order = self.order(at.epoch)
        batch = self.data.batch(order[at.batch], keyed_generator(self.seed, at.epoch, at.batch, 1))
        epoch, index = (at.epoch, at.batch + 1) if at.batch + 1 < len(order) else (at.epoch + 1, 0)
        return batch, Position(at.step + 1, at.tokens + count_targets(batch), epoch, index)
