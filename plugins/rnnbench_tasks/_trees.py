"""Trees of tokens as batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Data
from rnnbench.data.text.tokens import ragged

__all__ = ["Trees"]


class Trees(Data):
    """Rows of tokens, each with the tree that it spells and an answer, shuffled in training.

    Args:
        tokens: of each row, children before their parents and the root last.
        parents: of each token: its parent's place in the row, -1 for the root.
        answers: (N,) classes.
    """

    def __init__(
        self, tokens: Sequence[Sequence[int]], parents: Sequence[Sequence[int]], answers: Tensor
    ) -> None:
        if not len(tokens) == len(parents) == len(answers):
            raise ValueError(
                f"{len(tokens)} rows, {len(parents)} trees and {len(answers)} answers do not match"
            )
        self.flat, self.offsets = ragged(tokens, np.int64)
        self.parents, offsets = ragged(parents, np.int64)
        if not np.array_equal(offsets, self.offsets):
            raise ValueError("a row has not as many parents as tokens")
        self.answers = answers

    def __len__(self) -> int:
        return len(self.answers)

    def order(self, size: int, rng: torch.Generator | None) -> list[Tensor]:
        """Return index tensors of up to `size` rows.

        Every row comes once; the last batch may be smaller.
        """
        n = len(self)
        index = torch.arange(n) if rng is None else torch.randperm(n, generator=rng)
        return list(index.split(size))

    def batch(self, key: Tensor, rng: torch.Generator | None) -> Batch:
        """Return the rows of a key, padded with token 0 and parent -1 to the longest of them."""
        start_B, end_B = self.offsets[key.numpy()], self.offsets[key.numpy() + 1]
        len_B = end_B - start_B
        step_T = np.arange(len_B.max())
        index_BT = np.minimum(start_B[:, None] + step_T, len(self.flat) - 1)
        inside_BT = step_T < len_B[:, None]
        return Batch(
            torch.from_numpy(np.where(inside_BT, self.flat[index_BT], 0)),
            self.answers[key],
            x_len=torch.from_numpy(len_B),
            parent_BT=torch.from_numpy(np.where(inside_BT, self.parents[index_BT], -1)),
        )
