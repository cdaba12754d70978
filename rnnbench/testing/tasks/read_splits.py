"""Read a task's splits for its laws: some batches, rows as bytes, streams as one sequence."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Task
from rnnbench.testing.every_plugin import fresh
from rnnbench.testing.law import Broken
from rnnbench.training.determinism import seed_everything
from rnnbench.training.loader import keyed_generator

SPLITS = ("train", "valid", "test")
WINDOW = 64  # steps of a stream that are compared at once


def batches(
    data: Data, size: int, *, most: int = 10**6, seed: int | None = None
) -> Iterator[Batch]:
    """Yield batches of an epoch: all, or `most` spread over it; training order if a seed is given.

    Raises:
        Broken: there is none, or one is no Batch.
    """
    keys = list(data.order(size, None if seed is None else keyed_generator(seed, 0)))
    if not keys:
        raise Broken(f"order({size}) gives no batch")
    n = len(keys)
    chosen = (
        range(n) if n <= most else sorted({round(i * (n - 1) / (most - 1)) for i in range(most)})
    )
    for i in chosen:
        batch = data.batch(keys[i], None if seed is None else keyed_generator(seed, 0, i, 1))
        if not isinstance(batch, Batch):
            raise Broken(f"batch() gave a {type(batch).__name__}, not a Batch")
        yield batch


def split(task: Task, name: str, seed: int = 0, disturb: int = 0) -> Data:
    """Read a split by a task that has cached nothing, after other random numbers were drawn."""
    seed_everything(disturb)
    torch.rand(disturb)
    np.random.rand(disturb)
    random.random()
    return fresh(task).data(name, seed)


def same(a: Batch, b: Batch) -> bool:
    """Tell whether two batches are equal; missing values are equal to each other."""
    return all(_equal(x, y) for x, y in zip(a, b, strict=True))


def _equal(x: Any, y: Any) -> bool:
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        return x is y or x == y
    if x.is_floating_point():
        x, y = x.nan_to_num(nan=1e30), y.nan_to_num(nan=1e30)
    return torch.equal(x, y)


def rows(batch: Batch) -> Iterator[bytes]:
    """Yield each row, x with y, as bytes, without its padding."""
    for i in range(len(batch.x)):
        parts = []
        for value, lengths in ((batch.x, batch.x_len), (batch.y, batch.y_len)):
            row = value[i] if lengths is None else value[i, : int(lengths[i])]
            parts.append(np.ascontiguousarray(row.numpy()).tobytes())
        yield b"|".join(parts)


def counted(batch: Batch) -> int:
    """Count the target elements that are neither padding nor missing."""
    if batch.y_len is None:
        seen = torch.ones_like(batch.y, dtype=torch.bool)
    else:
        seen = torch.arange(batch.y.shape[1]) < batch.y_len[:, None]
        seen = seen.reshape(*seen.shape, *[1] * (batch.y.dim() - 2)).expand_as(batch.y)
    return int((seen & ~batch.y.isnan()).sum())


def stream(data: Data, size: int) -> list[np.ndarray]:
    """Return each row of a carried split as one sequence of numbers that stand for (x_t, y_t)."""
    parts_by_row: list[list[np.ndarray]] = []
    for batch in batches(data, size):
        steps = batch.x.shape[1]
        codes_BT = _code(batch.x) * np.uint64(0x9E3779B97F4A7C15) + _code(batch.y)
        lengths = [steps] * len(batch.x) if batch.x_len is None else batch.x_len.tolist()
        parts_by_row += [[] for _ in range(len(codes_BT) - len(parts_by_row))]
        for row, length in enumerate(lengths):
            parts_by_row[row].append(codes_BT[row, :length])
    return [np.concatenate(row) for row in parts_by_row]


def _code(values: Tensor) -> np.ndarray:
    """Return numbers (B, T) that stand for tokens or for vectors of values."""
    if not values.is_floating_point():
        return values.numpy().astype(np.uint64)
    bits = np.ascontiguousarray(values.float().numpy()).view(np.uint32).astype(np.uint64)
    powers = np.cumprod(np.full(bits.shape[-1], 0x100000001B3, np.uint64))
    return (bits * powers).sum(-1, dtype=np.uint64)


def windows(sequences: list[np.ndarray], width: int) -> np.ndarray:
    """Hash every window of `width` steps (a power of two) of every sequence."""
    hashes = []
    for h in sequences:
        span, base = 1, np.uint64(0x9FB21C651E98DF25)
        while span < width and len(h) > span:  # a window twice as wide is one beside the other
            h = h[:-span] * base + h[span:]
            base, span = base * base, 2 * span
        hashes.append(h if span == width else h[:0])
    return np.concatenate(hashes)


def share_found(windows_N: np.ndarray, among_M: np.ndarray) -> float:
    """Return the share of some hashes that are among others, of which there may be millions."""
    bits = np.uint64(2**24 - 1)
    marked = np.zeros(2**24, bool)
    marked[windows_N & bits] = True
    candidates = among_M[marked[among_M & bits]]  # nearly all others are ruled out, unsorted
    return float(np.isin(windows_N, candidates).mean())
