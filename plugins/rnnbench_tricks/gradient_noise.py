"""Gradient noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from rnnbench.contract import Moment, Trick, setting


@dataclass(frozen=True)
class GradientNoise(Trick):
    """Add Gaussian noise to the gradient, less of it as training goes on.

    g <- g + ε,  ε ~ N(0, σ²),  σ² = eta / (1 + t)^gamma, with t the optimiser steps done.
    Listed after `clip`, the noise is not clipped, as in the paper.

    Null value: eta = 0.

    Source: Neelakantan et al. (2015), arXiv:1511.06807, section 3, eq. 1.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"eta": 0.0}

    eta: float = setting(
        0.01, "variance at the first step; the paper tries 0.01, 0.3 and 1", low=0.0,
        search=(1e-3, 1.0, "log"),
    )  # fmt: skip
    gamma: float = setting(0.55, "how fast the variance falls", low=0.0)

    def sites(self) -> tuple[str, ...]:
        return () if self.eta == 0 else super().sites()

    def deviation(self, step: int) -> float:
        """Return σ after so many optimiser steps."""
        return (self.eta / (1 + step) ** self.gamma) ** 0.5

    def gradient(self, parameters: list[nn.Parameter], at: Moment) -> list[nn.Parameter]:
        sigma = self.deviation(at.step)
        for p in parameters:
            assert p.grad is not None
            p.grad.add_(torch.randn_like(p.grad), alpha=sigma)
        return parameters
