"""Gradient centralisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnbench.contract import Moment, Trick, setting
from torch import nn


@dataclass(frozen=True)
class GradientCentralisation(Trick):
    """Take its mean away from the gradient of each unit's weights.

    g_i <- g_i - share · mean(g_i),  g_i the gradient of row i of a matrix; vectors are left alone

    Null value: share = 0.

    Source: Yong, Huang, Hua & Zhang (2020), arXiv:2004.01461, eq. 1, where share = 1.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"share": 0.0}

    share: float = setting(
        1.0, "how much of the mean is taken away", low=0.0, high=1.0, search=(0.0, 1.0)
    )

    def gradient(self, parameters: list[nn.Parameter], at: Moment) -> list[nn.Parameter]:
        for p in parameters:
            if self.share and p.dim() > 1:
                p.grad -= self.share * p.grad.mean(tuple(range(1, p.dim())), keepdim=True)
        return parameters
