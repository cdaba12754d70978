"""A learning rate that falls with the root of time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from rnnbench.contract import Moment, Trick, WrappedOptimizer, setting


class FallingRate(WrappedOptimizer):
    """A schedule that counts its own steps, since an estimator may take several in a batch."""

    def __init__(self, inner: torch.optim.Optimizer, alpha: float, form: str):
        super().__init__(inner)
        self.alpha, self.form = alpha, form
        self.memory["steps"] = 0

    def factor(self) -> float:
        """Return what the learning rate is multiplied by at the next step."""
        t: int = self.memory["steps"]
        if self.form == "inside":
            return 1 / math.sqrt(1 + self.alpha * t)
        return 1 / (1 + self.alpha * math.sqrt(t))

    def schedule(self, at: Moment) -> None:
        super().schedule(at)
        self.scale_lr(self.factor())

    def step(self, closure: Any = None) -> Any:
        done, before = self.inner.step(closure), self.factor()
        self.memory["steps"] += 1
        for group in self.param_groups:  # for a further step within the batch
            group["lr"] *= self.factor() / before
        return done


@dataclass(frozen=True)
class InverseSqrt(Trick):
    """The learning rate falls with the root of the number t of optimiser steps done.

    inside:   η_t = η / √(1 + α t)
    outside:  η_t = η / (1 + α √t)

    t counts every step, also those that an online estimator takes within a batch. Other schedules
    are multiplied with it.

    Null value: alpha = 0.

    Source: both forms are those of the experiments of Tallec & Ollivier (2017), arXiv:1702.05043,
    section 5; a sum of rates that diverges slowly: Robbins & Monro (1951),
    doi:10.1214/aoms/1177729586.
    """

    name: ClassVar[str] = "inverse-sqrt"
    null: ClassVar[Mapping[str, Any] | None] = {"alpha": 0.0}

    alpha: float = setting(1.0, "α: how fast it falls", low=0.0, search=(1e-3, 1.0, "log"))
    form: Literal["inside", "outside"] = setting("inside", "whether 1 stands under the root")

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        return FallingRate(optimizer, self.alpha, self.form) if self.alpha else optimizer
