"""Splits of a task as batches: items in random access, streams, pairs, generated items.

Each is a `contract.Data`: `order` gives the keys of an epoch and `batch` makes the batch of a
key, both pure in their arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Data
from rnnbench.errors import ShortTextError

__all__ = ["Generated", "Items", "Pairs", "Stream"]

StreamKey = tuple[int, int, int]


class Items(Data):
    """Independent items held in memory, shuffled in training.

    Args:
        items: tensors (or None) laid out as in `Batch`, with all items along the first axis.
    """

    def __init__(self, items: Batch) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items.x)

    def order(self, size: int, rng: torch.Generator | None) -> list[Tensor]:
        """Return index tensors of up to `size` items.

        Every item comes once; the last batch may be smaller.
        """
        n = len(self)
        index = torch.arange(n) if rng is None else torch.randperm(n, generator=rng)
        return list(index.split(size))

    def batch(self, key: Tensor, rng: torch.Generator | None) -> Batch:
        return Batch._make(v[key] if isinstance(v, Tensor) else v for v in self.items)


class Stream(Data):
    """One long token sequence, read in parallel rows whose state is carried.

    The N - 1 predictions of N tokens (the first has nothing before it) are shared among `size`
    rows whose lengths differ by at most one, and each row is cut into chunks of `length` steps.
    Every prediction is made exactly once: only in the last chunk do some rows end one step
    early, and `x_len`, `y_len` say so. A last chunk of one step that some rows lack is joined to
    the chunk before it, so that no row of a batch is ever empty. Order is that of the text, in
    training too, because the state is carried.

    Args:
        tokens_N: integers, one axis; may be memory-mapped.
        length: T, steps of a chunk.
        rows: most rows, whatever `size` is; None for `size`.
    """

    carried = True

    def __init__(self, tokens_N: np.ndarray, length: int, rows: int | None = None) -> None:
        if len(tokens_N) < 2:
            raise ShortTextError(f"a stream needs two tokens at least, got {len(tokens_N)}")
        self.tokens_N = tokens_N
        self.length = length
        self.rows = rows

    def __len__(self) -> int:
        """Return the number of predictions, N - 1."""
        return len(self.tokens_N) - 1

    def order(self, size: int, rng: torch.Generator | None) -> list[StreamKey]:
        """Return (rows, first step, end) of each chunk."""
        rows = min(size, len(self), self.rows or size)
        longest = -(-len(self) // rows)
        starts = list(range(0, longest, self.length))
        uneven = len(self) % rows > 0
        if uneven and longest - starts[-1] == 1 and len(starts) > 1:
            starts.pop()
        return [(rows, a, b) for a, b in zip(starts, [*starts[1:], longest], strict=True)]

    def batch(self, key: StreamKey, rng: torch.Generator | None) -> Batch:
        rows, first, end = key
        base, extra = divmod(len(self), rows)
        row_B = np.arange(rows)
        start_B = row_B * base + np.minimum(row_B, extra)
        index_BT = start_B[:, None] + np.arange(first, end + 1)
        chunk_BT = torch.from_numpy(
            self.tokens_N[np.minimum(index_BT, len(self))].astype(np.int64, copy=False)
        )
        x_BT, y_BT = chunk_BT[:, :-1], chunk_BT[:, 1:]
        len_B = np.minimum(base + (row_B < extra) - first, end - first)
        if len_B.min() == end - first:
            return Batch(x_BT, y_BT)
        lengths_B = torch.from_numpy(len_B)
        return Batch(x_BT, y_BT, x_len=lengths_B, y_len=lengths_B)


class Pairs(Data):
    """Pairs of token sequences of any lengths, batched with others of similar length.

    With a pool of `pool` batches, training pairs are shuffled, cut into pools, sorted by length
    inside a pool, and the batches shuffled: on ui-en-de, in batches of 64, 14% of the positions
    are then padding, against 63% without sorting. With pool=None all pairs are halved again and
    again, by the length of the side that differs most, until a half is a batch; pairs of equal
    lengths meet in other batches every epoch. That leaves 6% of padding there, and is the better
    choice for a new task. `python -m rnnbench.benchmarks padding` measures it.

    Args:
        x, y: (flat tokens, offsets): sequence i is `flat[offsets[i] : offsets[i + 1]]`.
        pad: token that fills the shorter rows; `x_len` and `y_len` say where it begins.
        pool: batches sorted together; None for halves.
        budget: of pool=None, most positions of a batch, both sides and padding counted, beside the
            limit on its rows; a longer pair is a batch of its own. None for no limit.
    """

    def __init__(
        self,
        x: tuple[np.ndarray, np.ndarray],
        y: tuple[np.ndarray, np.ndarray],
        pad: int = 0,
        pool: int | None = 100,
        budget: int | None = None,
    ) -> None:
        if len(x[1]) != len(y[1]):
            raise ValueError(f"{len(x[1]) - 1} sources and {len(y[1]) - 1} targets are not pairs")
        if pool is not None and budget is not None:
            raise ValueError("a budget of positions needs pool=None")
        self.x, self.y, self.pad, self.pool, self.budget = x, y, pad, pool, budget

    def __len__(self) -> int:
        return len(self.x[1]) - 1

    def order(self, size: int, rng: torch.Generator | None) -> list[np.ndarray]:
        """Return index arrays of up to `size` pairs; at evaluation the shortest come first."""
        x_len, y_len = np.diff(self.x[1]), np.diff(self.y[1])
        n = len(self)
        if rng is None and self.pool is not None:
            return _cut(np.lexsort((y_len, x_len)), size)
        shuffled = np.arange(n) if rng is None else torch.randperm(n, generator=rng).numpy()
        batches: list[np.ndarray] = []
        if self.pool is None:
            lengths_N2 = np.stack((x_len, y_len), 1)
            _halve(shuffled, lengths_N2, size, self.budget or math.inf, batches)
            if rng is None:
                return batches
        else:
            for members in _cut(shuffled, size * self.pool):
                batches += _cut(members[np.lexsort((y_len[members], x_len[members]))], size)
        return [batches[i] for i in torch.randperm(len(batches), generator=rng).tolist()]

    def batch(self, key: np.ndarray, rng: torch.Generator | None) -> Batch:
        x_BT, x_len = self._padded(*self.x, key)
        y_BS, y_len = self._padded(*self.y, key)
        return Batch(x_BT, y_BS, x_len=x_len, y_len=y_len)

    def _padded(
        self, flat: np.ndarray, offsets: np.ndarray, key: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        start_B, len_B = offsets[key], offsets[key + 1] - offsets[key]
        step_T = np.arange(len_B.max())
        index_BT = np.minimum(start_B[:, None] + step_T, len(flat) - 1)
        rows_BT = np.where(step_T < len_B[:, None], flat[index_BT], self.pad)
        return (
            torch.from_numpy(rows_BT.astype(np.int64, copy=False)),
            torch.from_numpy(len_B.astype(np.int64, copy=False)),
        )


class Generated(Data):
    """Items drawn afresh each time, so that training never sees one twice.

    It is for training: which items a batch holds depends on its size. A held-out split has to be
    the same for every size, so draw it once and wrap it in `Items`.

    Args:
        make: (rows, rng) -> Batch; must draw from `rng` only.
        items: number of items that count as an epoch.
        seed: of the items that stand for this split where it is read without `rng`.
    """

    def __init__(
        self, make: Callable[[int, torch.Generator], Batch], items: int, seed: int
    ) -> None:
        self.make, self.items, self.seed = make, items, seed

    def __len__(self) -> int:
        return self.items

    def order(self, size: int, rng: torch.Generator | None) -> list[tuple[int, int]]:
        """Return (first item, rows) of each batch."""
        return [(i, min(size, self.items - i)) for i in range(0, self.items, size)]

    def batch(self, key: tuple[int, int], rng: torch.Generator | None) -> Batch:
        first, rows = key
        if rng is None:
            state = np.random.SeedSequence([self.seed, first]).generate_state(1, np.uint64)
            rng = torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
        return self.make(rows, rng)


def _cut(index: np.ndarray, size: int) -> list[np.ndarray]:
    return [index[i : i + size] for i in range(0, len(index), size)]


def _halve(
    index: np.ndarray, lengths_N2: np.ndarray, size: int, budget: float, into: list[np.ndarray]
) -> None:
    """Append batches of pairs of similar lengths, which keep to the limits, the shorter first."""
    rows = len(index)
    sides_R2 = lengths_N2[index]
    fits = rows <= size and rows * int(sides_R2.max(0, initial=0).sum()) <= budget
    if fits or rows == 1:
        if rows:
            into.append(index)
        return
    side = int(np.ptp(sides_R2, 0).argmax())
    index = index[np.argsort(sides_R2[:, side], kind="stable")]
    # Halves of whole batches, so that only one batch of all is not full for want of pairs.
    half = -(-rows // size) // 2 * size if rows > size else rows // 2
    _halve(index[:half], lengths_N2, size, budget, into)
    _halve(index[half:], lengths_N2, size, budget, into)
