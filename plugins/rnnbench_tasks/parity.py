"""Parity: one bit that must never slip, on strings longer than those of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rnnbench.contract import Batch, Port, setting
from rnnbench.data.tasks.synthetic import Classification


@dataclass(frozen=True)
class Parity(Classification):
    """Say whether the ones of a bit string are odd in number.

    Bits are drawn uniformly. In training and validation a string has `train_min` to `train_max` of
    them, drawn uniformly; in test it has more than `train_max`, up to `test_max`, so that what is
    measured is whether a rule was learnt that holds at any length.

    Variant: the lengths are those of Beck et al. (2024): training on 3 to 40 bits, test above 40
    and up to 256. Delétang et al. train on 1 to 40 and test on 41 to 500. Both report the scaled
    accuracy, which is 2 · accuracy - 1 here.
    Trivial baseline: either answer, 0.5. So is the best answer from all bits but one.
    Solved: test accuracy of at least 0.9, on lengths never seen, as in Delétang et al.
    Training items are drawn afresh in every epoch; validation and test are fixed. Of the short
    strings of validation many occur in training too; no string of test can.

    Source: Delétang et al. (2023), Neural networks and the Chomsky hierarchy, arXiv:2207.02098;
    the lengths: Beck et al. (2024), xLSTM, arXiv:2405.04517.
    """

    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 64,
        "optimizer.lr": 3e-3,
        "budget.steps": 4000,
        "budget.validate_every": 400,
    }
    held_out_seeds: ClassVar[Mapping[str, int]] = {"valid": 2023_01, "test": 2023_02}
    tiny: ClassVar[Mapping[str, Any]] = {"train_max": 24, "test_max": 40, "train_items": 300}

    train_min: int = setting(3, "fewest bits in training and validation", unit="steps", low=1)
    train_max: int = setting(40, "most bits in training and validation", unit="steps", low=1)
    test_max: int = setting(256, "most bits in test", unit="steps", low=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.train_min <= self.train_max < self.test_max,
            f"train_min = {self.train_min}, train_max = {self.train_max} and test_max = "
            f"{self.test_max} must rise in this order",
        )

    @property
    def source(self) -> Port:
        return Port(classes=2)

    @property
    def target(self) -> Port:
        return Port(classes=2)

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items: x (rows, T) with x_len, y (rows,), 1 where the ones are odd in
        number."""
        low, high = self.train_min, self.train_max
        if split == "test":
            low, high = self.train_max + 1, self.test_max
        x_len = torch.randint(low, high + 1, (rows,), generator=rng)
        x_BT = torch.randint(2, (rows, high), generator=rng)
        x_BT = x_BT * (torch.arange(high) < x_len[:, None])
        return Batch(x_BT, x_BT.sum(1) % 2, x_len)
