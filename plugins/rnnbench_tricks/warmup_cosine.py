"""A learning rate that rises, then falls along a cosine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rnnbench.contract import Moment, Trick, WrappedOptimizer, setting


class WarmupCosineSchedule(WrappedOptimizer):
    """A schedule that multiplies the learning rate by the trick's factor."""

    def __init__(self, inner: torch.optim.Optimizer, trick: WarmupCosine):
        super().__init__(inner)
        self.trick = trick

    def schedule(self, at: Moment) -> None:
        super().schedule(at)
        self.scale_lr(self.trick.factor(at.progress))


@dataclass(frozen=True)
class WarmupCosine(Trick):
    """The learning rate rises linearly over a part of the budget, then falls along a cosine.

    With p the part of the budget that is spent when a step is done, and w = `warmup`, the initial
    learning rate is multiplied by

    p / w                                             for p < w
    last + (1 - last) (1 + cos(π (p - w) / (1 - w))) / 2   from there on

    Null value: warmup = 0 and last = 1.

    Source: Loshchilov & Hutter (2017), arXiv:1608.03983, eq. 5, without restarts; Goyal et al.
    (2017), arXiv:1706.02677, section 2.2, for the gradual warm-up.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"warmup": 0.0, "last": 1.0}
    tiny: ClassVar[Mapping[str, Any]] = {"last": 0.1}

    warmup: float = setting(0.05, "part of the budget in which it rises", low=0.0, high=0.99,
                            search=(0.0, 0.2))  # fmt: skip
    last: float = setting(0.0, "factor at the end of the budget", low=0.0, high=1.0)

    def sites(self) -> tuple[str, ...]:
        return () if self.warmup == 0 and self.last == 1 else super().sites()

    def factor(self, progress: float) -> float:
        """Return what multiplies the learning rate at a part of the budget between 0 and 1."""
        if progress < self.warmup:
            return progress / self.warmup
        done = min(1.0, (progress - self.warmup) / (1 - self.warmup))
        return self.last + (1 - self.last) * (1 + math.cos(math.pi * done)) / 2

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        return WarmupCosineSchedule(optimizer, self)
