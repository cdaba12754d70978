"""Lookahead: k steps forward, one step back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import Trick, setting
from rnnbench.nn import AveragingOptimizer, refuse_second_average


class SlowWeights(AveragingOptimizer):
    """An optimiser that keeps the slow weights φ and the number of steps since they moved."""

    changes_training = True

    def __init__(self, inner: torch.optim.Optimizer, k: int, alpha: float):
        super().__init__(inner)
        self.k, self.alpha = k, alpha

    def step(self, closure: Any = None) -> Any:
        if "slow" not in self.memory:
            self.memory |= {"slow": self.snapshot(), "ahead": 0}
        done = self.inner.step(closure)
        self.memory["ahead"] += 1
        if self.memory["ahead"] == self.k:
            self.memory["ahead"] = 0
            with torch.no_grad():
                for slow, p in zip(self.memory["slow"], self.parameters(), strict=True):
                    slow += self.alpha * (p - slow)
            self.put(self.memory["slow"])
        return done

    def average(self) -> list[Tensor] | None:
        return self.memory.get("slow")


@dataclass(frozen=True)
class Lookahead(Trick):
    """Slow weights follow the optimiser's, which begin from them anew every few steps.

    After every k steps of the optimiser: φ <- φ + α (θ - φ), and θ <- φ. The optimiser keeps its
    own state, such as momentum. What is validated, kept and tested is φ.

    Null value: alpha = 1.

    Source: Zhang, Lucas, Hinton & Ba (2019), arXiv:1907.08610, algorithm 1.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"alpha": 1.0}
    tiny: ClassVar[Mapping[str, Any]] = {"k": 2}

    k: int = setting(5, "steps of the optimiser between two of φ", unit="steps", low=1,
                     search=(5, 10))  # fmt: skip
    alpha: float = setting(0.5, "step size of φ", low=0.01, high=1.0, search=(0.2, 0.8))

    def sites(self) -> tuple[str, ...]:
        return () if self.alpha == 1 else super().sites()

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        refuse_second_average(optimizer, self.name)
        return SlowWeights(optimizer, self.k, self.alpha)
