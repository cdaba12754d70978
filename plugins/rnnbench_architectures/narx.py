"""Recurrent network with several delays (NARX)."""

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


class NARXCell(DelayCell):
    """A cell h_t = tanh(W x_t + U_1 h_{t-1} + … + U_D h_{t-D} + b); weight_h = [U_1 … U_D]."""

    def __init__(self, d_in: int, hidden: int, delays: int):
        super().__init__(hidden, range(1, delays + 1))
        self.weight_x = nn.Parameter(torch.empty(hidden, d_in))
        self.weight_h = nn.Parameter(torch.empty(hidden, delays * hidden))
        self.bias = nn.Parameter(torch.empty(hidden))
        bound = 1 / math.sqrt(delays * hidden)  # so many units feed one
        for p in self.parameters():
            nn.init.uniform_(p, -bound, bound)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return F.linear(x_BTD, self.weight_x, self.bias)

    def recur(self, p_BG: Tensor, past: Sequence[Tensor]) -> Tensor:
        return torch.tanh(p_BG + F.linear(torch.cat(list(past), -1), self.weight_h))


@dataclass(frozen=True)
class NARX(Architecture):
    """Simple recurrent network whose hidden state is fed back with delays of 1 to D steps.

    h_t = tanh(W x_t + Σ_{d=1..D} U_d h_{t-d} + b),   h_t = 0 for t ≤ 0

    The gradient over n steps passes n / D products instead of n. The original feeds back the
    network's output; this one its hidden state, as DiPietro et al. put it.

    Source: Lin, Horne, Tiňo & Giles (1996), IEEE Trans. Neural Networks 7(6), 1329-1338; over
    hidden states: DiPietro et al. (2017), arXiv:1702.07805.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "delays": 3}

    hidden: int = setting(128, "units of a layer", unit="units", low=1, search=(32, 256, "log"))
    delays: int = setting(4, "D: h is fed back from 1 to D steps ago", unit="steps", low=1,
                          search=(2, 8))  # fmt: skip
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        return Stack((NARXCell(d, self.hidden, self.delays) for d in widths), self.dropout)
