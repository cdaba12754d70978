"""The temporal order problem: which symbols came, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch

from rnnbench.contract import Batch, Port, setting
from rnnbench.data.tasks.synthetic import Classification

START, END, X, Y = 0, 1, 2, 3  # then the four distractors
_DISTRACTORS = 4


@dataclass(frozen=True)
class TemporalOrder(Classification):
    """Say in which order a few widely separated symbols X and Y stood among distractors.

    A sequence begins with a start symbol and ends with a trigger; all else are distractors, drawn
    uniformly from four, but for `relevant` steps, each of which is X or Y with equal chances. The
    class is their order: XX, XY, YX, YY for two, the first the most significant.

    Variant: that of the paper, for any number of relevant symbols. The length is drawn uniformly
    from T to T + T/10, and symbol k of K stands at a step drawn from kT/K to kT/K + T/10, but the
    first from T/10 to T/5. With T = 100 and K = 2 these are steps 10-20 and 50-60 (experiment 6a,
    4 classes), with K = 3 steps 10-20, 33-43 and 66-76 (6b, 8 classes); K = 4 goes on from there.
    Trivial baseline: any class, 1 / 2^K.
    Solved: fewer than 1% of the test sequences misclassified, accuracy above 0.99, the criterion
    of Martens & Sutskever (2011); the original asks for 2000 right ones in a row.
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: Hochreiter & Schmidhuber (1997), Neural Computation 9(8), experiments 6a and 6b.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 3e-3,
        "budget.steps": 4000,
        "budget.validate_every": 400,
    }
    tiny: ClassVar[Mapping[str, Any]] = {"length": 20, "train_items": 300, "valid_items": 50}

    length: int = setting(100, "steps of the shortest sequence (T)", unit="steps", low=10)
    relevant: int = setting(2, "symbols whose order is asked for", low=2, high=4)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            all(a < b for (_, a), (b, _) in pairwise(self.windows())),
            f"{self.relevant} relevant symbols cannot be kept apart in {self.length} steps; the "
            f"windows would be {self.windows()}.\n  Raise length.",
        )

    @property
    def source(self) -> Port:
        return Port(classes=Y + 1 + _DISTRACTORS)

    @property
    def target(self) -> Port:
        return Port(classes=2**self.relevant)

    def windows(self) -> list[tuple[int, int]]:
        """Return first and last step, from 0, at which each relevant symbol may stand."""
        firsts = [self.length * k // self.relevant for k in range(self.relevant)]
        firsts[0] = self.length // 10
        return [(first, first + self.length // 10) for first in firsts]

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items: x (rows, T) with x_len, y (rows,)."""
        longest = self.length + self.length // 10
        x_BT = torch.randint(Y + 1, Y + 1 + _DISTRACTORS, (rows, longest), generator=rng)
        y_B = torch.zeros(rows, dtype=torch.long)
        row_B = torch.arange(rows)
        for first, last in self.windows():
            at_B = torch.randint(first, last + 1, (rows,), generator=rng)
            which_B = torch.randint(2, (rows,), generator=rng)
            x_BT[row_B, at_B] = X + which_B
            y_B = 2 * y_B + which_B
        x_len = torch.randint(self.length, longest + 1, (rows,), generator=rng)
        x_BT[:, 0] = START
        x_BT[row_B, x_len - 1] = END
        there_BT = torch.arange(longest) < x_len[:, None]
        return Batch(x_BT * there_BT, y_B, x_len)
