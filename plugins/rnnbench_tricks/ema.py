"""An exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import Trick, setting
from rnnbench.nn import AveragingOptimizer, refuse_second_average


class ExponentialAverage(AveragingOptimizer):
    """An optimiser that keeps a of `EMA` in its memory, and the number of steps in it."""

    def __init__(self, inner: torch.optim.Optimizer, decay: float, bias_correction: bool):
        super().__init__(inner)
        self.decay, self.bias_correction = decay, bias_correction

    def step(self, closure: Any = None) -> Any:
        if "average" not in self.memory:
            start = self.snapshot()
            if self.bias_correction:
                start = [torch.zeros_like(p) for p in start]
            self.memory |= {"average": start, "steps": 0}
        done = self.inner.step(closure)
        with torch.no_grad():
            for a, p in zip(self.memory["average"], self.parameters(), strict=True):
                a.lerp_(p, 1 - self.decay)
        self.memory["steps"] += 1
        return done

    def average(self) -> list[Tensor] | None:
        if "average" not in self.memory:
            return None
        weight = 1 - self.decay ** self.memory["steps"] if self.bias_correction else 1.0
        return [a / weight for a in self.memory["average"]]


@dataclass(frozen=True)
class EMA(Trick):
    """Validates, keeps and tests a moving average of the weights.

    a_t = decay · a_{t-1} + (1 - decay) · θ_t after each optimiser step, with a_0 = θ_0, or with
    `bias_correction` a_0 = 0 and a_t / (1 - decay^t) in the place of a_t. Training is as without.

    Null value: decay = 0.

    Source: Polyak & Juditsky (1992), doi:10.1137/0330046, for averaging; Kingma & Ba (2015),
    arXiv:1412.6980, section 7.2, for the moving average and its correction.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"decay": 0.0}

    decay: float = setting(
        0.999, "weight of the past; about the last 1 / (1 - decay) steps count", low=0.0,
        high=0.999999, search=(0.9, 0.9999),
    )  # fmt: skip
    bias_correction: bool = setting(True, "early averages do not lean on the initial weights")

    def sites(self) -> tuple[str, ...]:
        return () if self.decay == 0 else super().sites()

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        refuse_second_average(optimizer, self.name)
        return ExponentialAverage(optimizer, self.decay, self.bias_correction)
