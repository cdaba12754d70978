"""The adding problem: remember two marked numbers over a long time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Task, setting
from rnnbench.data import Generated, Items
from rnnbench.nn.meters import MeanSquaredError

_FIXED_SEEDS = {"valid": 1997_01, "test": 1997_02}  # the same items for every run


@dataclass(frozen=True)
class Adding(Task):
    """Add the two marked numbers of a long sequence of random ones.

    Each step carries a value, uniform on [0, 1), and a marker, 1 at one step drawn uniformly
    from the first half and at one from the second half, else 0. The target is the sum of the
    two marked values.

    Variant: that of Le et al. and Arjovsky et al.: a fixed length, one marker in each half, the
    plain sum. The original drew values from [-1, 1), marked two steps of the first half and
    halved the scale.
    Trivial baseline: always answering the mean, 1, gives mse 1/6 = 0.1667, the variance of a
    sum of two uniform values.
    Solved: test mse below 0.0064. The original counts a sequence as correct at an absolute error
    below 0.04 on its scale, which is 0.08 on this one, and 0.08 squared is 0.0064.
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: Hochreiter & Schmidhuber (1997), Neural Computation 9(8), experiment 4; the variant:
    Le, Jaitly & Hinton (2015), arXiv:1504.00941, section 4.1.
    """

    kind: ClassVar[Kind] = Kind.SEQ_TO_VEC
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "squared", help="mean squared error of the sum"),
    )
    selection: ClassVar[str] = "loss"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 3e-3,
        "budget.steps": 2000,
        "budget.validate_every": 200,
    }
    eval_batch: ClassVar[int] = 256

    length: int = setting(100, "steps of a sequence", unit="steps", low=2)
    train_items: int = setting(10000, "items that count as an epoch", unit="items", low=1)
    valid_items: int = setting(1000, "items of the validation split", unit="items", low=1)
    test_items: int = setting(2000, "items of the test split", unit="items", low=1)

    @property
    def source(self) -> Port:
        return Port(width=2)

    @property
    def target(self) -> Port:
        return Port(width=1)

    def data(self, split: str, seed: int) -> Data:
        if split == "train":
            return Generated(self.draw, self.train_items, seed)
        items = {"valid": self.valid_items, "test": self.test_items}[split]
        return Items(self.draw(items, torch.Generator().manual_seed(_FIXED_SEEDS[split])))

    def draw(self, rows: int, rng: torch.Generator) -> Batch:
        """Some items: x (rows, length, 2) of value and marker, y (rows, 1)."""
        half = self.length // 2
        value_BT = torch.rand(rows, self.length, generator=rng)
        first_B = torch.randint(0, half, (rows,), generator=rng)
        second_B = torch.randint(half, self.length, (rows,), generator=rng)
        marked_B2 = torch.stack([first_B, second_B], 1)
        marker_BT = torch.zeros_like(value_BT).scatter_(1, marked_B2, 1.0)
        y_B1 = value_BT.gather(1, marked_B2).sum(1, keepdim=True)
        return Batch(torch.stack([value_BT, marker_BT], 2), y_B1)

    def meter(self, split: str) -> Meter:
        return MeanSquaredError()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Answering 1: "mean" as measured on the split, "mean, in theory" 1/6."""
        theory = {"mean, in theory": {"mse": 1 / 6}}
        if split == "train":  # drawn afresh: there is no fixed split to measure
            return theory
        data = self.data(split, 0)
        y_B1 = data.batch(data.order(len(data), None)[0], None).y
        return {"mean": {"mse": float((y_B1.double() - 1).square().mean())}, **theory}
