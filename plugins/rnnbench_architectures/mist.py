"""Mixed-history recurrent network."""

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


class MISTCell(DelayCell):
    """The cell of `MIST`.

    weight_x and bias are stacked in the order a, r, h; weight_h in the order a, r.

    weight_m is U_h, which reads the mixture.
    """

    def __init__(self, d_in: int, hidden: int, delays: int):
        super().__init__(hidden, [2**i for i in range(delays)])
        self.weight_x = nn.Parameter(torch.empty(delays + 2 * hidden, d_in))
        self.weight_h = nn.Parameter(torch.empty(delays + hidden, hidden))
        self.weight_m = nn.Parameter(torch.empty(hidden, hidden))
        for p in self.parameters():
            nn.init.normal_(p, std=1 / math.sqrt(hidden))
        self.bias = nn.Parameter(torch.zeros(delays + 2 * hidden))

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return F.linear(x_BTD, self.weight_x, self.bias)

    def recur(self, p_BG: Tensor, past: Sequence[Tensor]) -> Tensor:
        n, hidden = len(self.delays), self.width
        p_a, p_r, p_h = p_BG.split([n, hidden, hidden], -1)
        q_a, q_r = F.linear(past[0], self.weight_h).split([n, hidden], -1)
        a_BN = torch.softmax(p_a + q_a, -1)
        r_BH = torch.sigmoid(p_r + q_r)
        mixed_BH = (a_BN[:, None] @ torch.stack(list(past), 1)).squeeze(1)
        return torch.tanh(p_h + F.linear(r_BH * mixed_BH, self.weight_m))


@dataclass(frozen=True)
class MIST(Architecture):
    """Mixed-history network: attends to hidden states of 1, 2, 4, … steps ago.

    a_t = softmax(W_a x_t + U_a h_{t-1} + b_a)       one weight for each of n delays
    r_t = σ(W_r x_t + U_r h_{t-1} + b_r)
    h_t = tanh(W_h x_t + U_h [r_t ⊙ Σ_{i=0..n-1} a_{t,i} h_{t-2^i}] + b_h),   h_t = 0 for t ≤ 0

    Weights start N(0, 1/H) and biases at 0, as in the authors' code.

    Source: DiPietro, Rupprecht, Navab & Hager (2017), arXiv:1702.07805.
    """

    version: ClassVar[int] = 2
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "delays": 3}

    hidden: int = setting(128, "units of a layer", unit="units", low=1, search=(32, 256, "log"))
    delays: int = setting(8, "n: h of 1, 2, …, 2^(n-1) steps ago", low=1, high=16, search=(4, 10))
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        return Stack((MISTCell(d, self.hidden, self.delays) for d in widths), self.dropout)
