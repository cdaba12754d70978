"""The minimal gated unit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from rnnbench.contract import Architecture, Backbone, Cell, setting
from rnnbench.nn import Stack
from torch import Tensor, nn
from torch.nn import functional as F


class MGUCell(Cell):
    """One gate, which is both the forget gate and the reset gate.

    The candidate's product reads f ⊙ h_{t-1}, so it has to wait for the gate. `GatedCell` makes
    all recurrent products of one h_{t-1} at once, and could only do the variant f ⊙ (U_h h_{t-1}),
    which is another network. So this is a general `Cell`. Its step is still split in two:
    `project` makes the input's products for all time steps at once, and `advance` does the rest
    and lets tricks mask what the recurrent products read.

    Both linear maps stack the gate's rows above the candidate's.
    """

    def __init__(self, d_in: int, hidden: int):
        super().__init__()
        self.width = hidden
        self.weight_x = nn.Parameter(torch.empty(2 * hidden, d_in))
        self.weight_h = nn.Parameter(torch.empty(2 * hidden, hidden))
        self.bias = nn.Parameter(torch.empty(2 * hidden))
        bound = 1 / math.sqrt(hidden)
        for p in self.parameters():
            nn.init.uniform_(p, -bound, bound)

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD.new_zeros(x_BD.shape[0], self.width),)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return F.linear(x_BTD, self.weight_x, self.bias)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BH = state[0]
        seen_BH = h_BH if seen_BH is None else seen_BH
        gate_x, candidate_x = p_BG.chunk(2, -1)
        weight_f, weight_c = self.weight_h.chunk(2)
        f_BH = torch.sigmoid(gate_x + F.linear(seen_BH, weight_f))
        candidate_BH = torch.tanh(candidate_x + F.linear(f_BH * seen_BH, weight_c))
        h_BH = (1 - f_BH) * h_BH + f_BH * candidate_BH
        return h_BH, (h_BH,)

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)


@dataclass(frozen=True)
class MGU(Architecture):
    """Minimal gated unit: a GRU with one gate.

    f = σ(W_f x_t + U_f h_{t-1} + b_f),   h̃ = tanh(W_h x_t + U_h (f ⊙ h_{t-1}) + b_h)
    h_t = (1 − f) ⊙ h_{t-1} + f ⊙ h̃

    Source: Zhou, Wu, Zhang & Zhou (2016), arXiv:1603.09420, the unit's three equations.
    """

    name: ClassVar[str] = "my-mgu"  # where it is not the class's own name in small letters

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        return Stack((MGUCell(d, self.hidden) for d in widths), self.dropout)
