"""Gradient noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from rnnbench.contract import Moment, Trick, setting
from torch import nn


@dataclass(frozen=True)
class GradientNoise(Trick):
    """Add Gaussian noise to the gradient, less of it as training goes on.

    g <- g + ε,  ε ~ N(0, σ²),  σ² = eta / (1 + t)^decay, with t the optimiser steps done

    Null value: eta = 0.

    Source: Neelakantan et al. (2015), arXiv:1511.06807, section 3.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"eta": 0.0}

    eta: float = setting(
        0.01, "variance at the first step", low=0.0, high=10.0, search=(1e-3, 1.0, "log")
    )
    decay: float = setting(0.55, "how fast the variance falls", low=0.0, high=2.0)

    def sites(self) -> tuple[str, ...]:
        return () if self.eta == 0 else super().sites()

    def deviation(self, step: int) -> float:
        """σ after so many optimiser steps."""
        return (self.eta / (1 + step) ** self.decay) ** 0.5

    def gradient(self, parameters: list[nn.Parameter], at: Moment) -> list[nn.Parameter]:
        sigma = self.deviation(at.step)
        for p in parameters:
            p.grad += sigma * torch.randn_like(p.grad)
        return parameters
