"""Rows of a task's splits as one tensor each, for laws that compare them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnbench.contract import Task
from rnnbench.testing.tasks.read_splits import batches

MOST = 3000  # rows that are read of a split


@dataclass(frozen=True)
class Sample:
    """Rows of a split, padded with zeros to one length.

    Attributes:
        x: (N, T, D) values or (N, T) tokens. y: likewise, (N, H, V) or (N, H), or without H.
        length: (N,) of x.
    """

    x: Tensor
    y: Tensor
    length: Tensor


@functools.lru_cache(maxsize=6)
def read(task: Task, name: str) -> Sample:
    """Read rows of a split, spread over it."""
    data = task.data(name, 0)
    size = task.eval_batch
    chosen = [*batches(data, size, most=max(2, MOST // size))]
    lengths = [b.x_len if b.x_len is not None else torch.full((len(b.x),), b.x.shape[1])
               for b in chosen]  # fmt: skip
    return Sample(joined([b.x for b in chosen]), joined([b.y for b in chosen]),
                  torch.cat(lengths))  # fmt: skip


def joined(parts: list[Tensor]) -> Tensor:
    """Return tensors of unequal length, one below the other."""
    if parts[0].dim() < 2:
        return torch.cat(parts)
    longest = max(p.shape[1] for p in parts)
    padded = [torch.cat([p, p.new_zeros(len(p), longest - p.shape[1], *p.shape[2:])], 1)
              for p in parts]  # fmt: skip
    return torch.cat(padded)
