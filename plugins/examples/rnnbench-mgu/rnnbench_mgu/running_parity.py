"""Running parity: one bit of memory that must never slip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Task, setting
from rnnbench.data import Generated, Items
from rnnbench.metrics import Accuracy

_FIXED_SEEDS = {"valid": 1996_01, "test": 1996_02}  # the same items for every run


@dataclass(frozen=True)
class RunningParity(Task):
    """Say after each bit of a random sequence whether the ones so far are odd in number.

    y_t = (x_1 + … + x_t) mod 2, with bits drawn uniformly.

    Variant: a target at every step, where the original has one at the end.
    Trivial baseline: always the parity that is commoner, about half right.
    Solved: test accuracy of at least 0.99 over all steps.
    Training items are drawn afresh in every epoch; validation and test are fixed. Sequences are long
    enough that those do not turn up in training.

    Source: Schmidhuber & Hochreiter (1996), Guessing can outperform many long time lag
    algorithms, technical note IDSIA-19-96, the parity problem.
    """

    kind: ClassVar[Kind] = Kind.ALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "share", higher_is_better=True, help="steps answered rightly"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 1e-2,
        "budget.steps": 1000,
        "budget.validate_every": 100,
    }
    eval_batch: ClassVar[int] = 250

    length: int = setting(40, "bits of a sequence", unit="steps", low=1)
    train_items: int = setting(10000, "items that count as an epoch", unit="items", low=1)
    held_out_items: int = setting(
        1000, "items of the validation and of the test split", unit="items", low=1
    )

    @property
    def source(self) -> Port:
        return Port(classes=2)

    @property
    def target(self) -> Port:
        return Port(classes=2)

    def data(self, split: str, seed: int) -> Data:
        if split == "train":
            return Generated(self.draw, self.train_items, seed)
        rng = torch.Generator().manual_seed(_FIXED_SEEDS[split])
        return Items(self.draw(self.held_out_items, rng))

    def draw(self, rows: int, rng: torch.Generator) -> Batch:
        """Draw some items: bits x and parities y, both (rows, length)."""
        x_BT = torch.randint(2, (rows, self.length), generator=rng)
        return Batch(x_BT, x_BT.cumsum(1) % 2)

    def meter(self, split: str) -> Meter:
        return Accuracy()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score the parity that is commoner in the split: no constant answer does better."""
        data = self.data(split, 0)
        y_BT = data.batch(data.order(len(data), None)[0], None).y
        odd = float(y_BT.double().mean())
        return {"commoner parity": {"accuracy": max(odd, 1 - odd)}}
