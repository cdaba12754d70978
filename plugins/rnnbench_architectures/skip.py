"""Recurrent network with skip connections through time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import Stack, refuse_idle_dropout
from rnnbench_architectures._delays import DelayCell


class SkipCell(DelayCell):
    """A cell h_t = tanh(W x_t + U h_{t-1} + U′ h_{t-s} + b).

    Its parameters are weight_x, weight_h, weight_skip and bias.
    """

    def __init__(self, d_in: int, hidden: int, skip: int):
        super().__init__(hidden, (1, skip))
        self.weight_x = nn.Parameter(torch.empty(hidden, d_in))
        self.weight_h = nn.Parameter(torch.empty(hidden, hidden))
        self.weight_skip = nn.Parameter(torch.empty(hidden, hidden))
        self.bias = nn.Parameter(torch.empty(hidden))
        bound = 1 / math.sqrt(2 * hidden)  # so many units feed one
        for p in self.parameters():
            nn.init.uniform_(p, -bound, bound)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return F.linear(x_BTD, self.weight_x, self.bias)

    def recur(self, p_BG: Tensor, past: Sequence[Tensor]) -> Tensor:
        last_BH, skipped_BH = past
        recurrent_BH = F.linear(last_BH, self.weight_h) + F.linear(skipped_BH, self.weight_skip)
        return torch.tanh(p_BG + recurrent_BH)


@dataclass(frozen=True)
class Skip(Architecture):
    """Simple recurrent network with a shortcut from the hidden state of s steps ago.

    h_t = tanh(W x_t + U h_{t-1} + U′ h_{t-s} + b),   h_t = 0 for t ≤ 0

    Source: Zhang et al. (2016), arXiv:1602.08210, on recurrent skip coefficients.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "skip": 3}

    hidden: int = setting(128, "units of a layer", unit="units", low=1, search=(32, 256, "log"))
    skip: int = setting(8, "s: length of the shortcut", unit="steps", low=2, search=(2, 32, "log"))
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        return Stack((SkipCell(d, self.hidden, self.skip) for d in widths), self.dropout)
