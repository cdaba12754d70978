"""Connections from earlier hidden states."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Cell, State, Trick, setting
from rnnbench.nn.cells.gate_wrappers import GateWrapper, StatefulGateWrapper, wrap_gates


class DelaysCell(StatefulGateWrapper):
    """A cell wrapper that adds W_d h_{t-d}.

    It remembers h_{t-d} … h_{t-2} side by side, oldest first.
    """

    def __init__(self, inner: Cell, delay: int):
        super().__init__(inner)
        self.delay, weight = delay, self.gated.weight_h
        self.weight_delay = nn.Parameter(torch.empty_like(weight))
        bound = 1 / math.sqrt(self.gated.hidden)
        nn.init.uniform_(self.weight_delay, -bound, bound)

    def remembered(self, x_BD: Tensor) -> Tensor:
        return x_BD.new_zeros(x_BD.shape[0], (self.delay - 1) * self.width)

    def remember(self, old: Tensor, state: State) -> Tensor:
        return torch.cat([old[:, self.width :], state[0]], 1)

    def recall(
        self, p_BG: Tensor, q_BG: Tensor, state: State, kept: Tensor
    ) -> tuple[Tensor, Tensor]:
        return p_BG + F.linear(kept[:, : self.width], self.weight_delay), q_BG


@dataclass(frozen=True)
class Delays(Trick):
    """The hidden state of d steps ago joins each step through a matrix of its own.

    W_x x_t + W_d h_{t-d} + b takes the place of W_x x_t + b, for all gates; h before the first
    step is 0. A gradient that takes the shortcut passes d times fewer steps.

    Source: Lin, Horne, Tino & Giles (1996), Learning long-term dependencies in NARX recurrent
    neural networks, doi:10.1109/72.548162; Zhang et al. (2016), arXiv:1602.08210, section 3
    (recurrent skip coefficient), for connections of one length.
    """

    delay: int = setting(5, "d", unit="steps", low=2, search=(2, 50, "log"))

    def cell(self, cell: Cell) -> Cell:
        return wrap_gates(cell, self.around, self.name)

    def around(self, inner: Cell) -> GateWrapper:
        return DelaysCell(inner, self.delay)
