"""Independent items of an aligned task as an endless stream, for online learning."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Kind, Task
from rnnbench.spec.instantiate import create
from rnnbench.spec.plugin_text import named

__all__ = ["Joined", "named_task"]


def named_task(text: str, owner: str) -> Task:
    """Return the aligned task that a setting names, such as "dyck" or "anbncn:train_max=10".

    Raises:
        ValueError: it is of another kind, or it is the owner.
        SpecError, PluginError: there is no such task or setting.
    """
    spec, _ = named("tasks", text)
    if spec.name == owner:
        raise ValueError(f"{owner}: a stream of a stream is that stream: name another task")
    return _create_aligned(spec.name, spec, owner)


@lru_cache(maxsize=8)
def _create_aligned(name: str, spec: object, owner: str) -> Task:
    task: Task = create("tasks", spec)  # type: ignore[arg-type]
    if task.kind is not Kind.ALIGNED:
        raise ValueError(
            f"{owner}: {name} is {task.kind.value}: a stream asks for an answer at every step, as "
            "aligned tasks do. See: rnnbench list tasks"
        )
    return task


class _Epoch(NamedTuple):
    """All steps of an epoch, one after the other, and the rows that they are dealt out to."""

    x_N: Tensor
    y_N: Tensor
    start_B: np.ndarray  # of each row; they differ in length by one step at most
    length_B: np.ndarray


class Joined(Data):
    """The items of a split, one after the other without a gap, in chunks of some steps.

    An epoch's items are shuffled (or drawn) as the split does it, and put end to end. The stream
    is shared among the rows of a batch as `Stream` does, so each row but the first may begin
    within an item. Items have no marks of their own: where one ends is for the task's symbols to
    say. An epoch is held in memory.

    Args:
        data: of an aligned task, not carried.
        length: steps of a chunk; gradients of plain backpropagation go no further back.
    """

    carried = True
    READ = 256  # items that are read at once

    def __init__(self, data: Data, length: int) -> None:
        if data.carried:
            raise ValueError("these data are a stream already")
        self.data, self.length = data, length

    def __len__(self) -> int:
        return len(self.data)

    def order(self, size: int, rng: torch.Generator | None) -> list[tuple[_Epoch, int, int]]:
        """Return (the epoch, first step, end) of each chunk."""
        epoch = self._read_epoch(size, rng)
        longest, shortest = int(epoch.length_B.max()), int(epoch.length_B.min())
        starts = list(range(0, longest, self.length))
        if longest > shortest and longest - starts[-1] == 1 and len(starts) > 1:
            starts.pop()  # no row of a batch may be empty
        return [(epoch, a, b) for a, b in zip(starts, [*starts[1:], longest], strict=True)]

    def _read_epoch(self, size: int, rng: torch.Generator | None) -> _Epoch:
        x, y = [], []
        for key in self.data.order(min(self.READ, len(self.data)), rng):
            batch = self.data.batch(key, rng)
            steps = [batch.x.shape[1]] * len(batch.x)
            lengths = steps if batch.x_len is None else batch.x_len.tolist()
            x += [row[:n] for row, n in zip(batch.x, lengths, strict=True)]
            y += [row[:n] for row, n in zip(batch.y, lengths, strict=True)]
        x_N, y_N = torch.cat(x), torch.cat(y)
        rows = min(size, len(x_N))
        base, extra = divmod(len(x_N), rows)
        row_B = np.arange(rows)
        return _Epoch(x_N, y_N, row_B * base + np.minimum(row_B, extra), base + (row_B < extra))

    def batch(self, key: tuple[_Epoch, int, int], rng: torch.Generator | None) -> Batch:
        epoch, first, end = key
        step_BT = epoch.start_B[:, None] + np.arange(first, end)
        index_BT = torch.from_numpy(np.minimum(step_BT, len(epoch.x_N) - 1))
        x, y = epoch.x_N[index_BT], epoch.y_N[index_BT]
        len_B = np.minimum(epoch.length_B - first, end - first)
        if len_B.min() == end - first:
            return Batch(x, y)
        lengths_B = torch.from_numpy(len_B)
        return Batch(x, y, x_len=lengths_B, y_len=lengths_B)
