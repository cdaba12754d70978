"""Highway connections around recurrent layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from rnnbench.contract import Cell, Task, Trick, setting
from rnnbench_tricks._shortcuts import ShortcutCell, lead_around


class HighwayCell(ShortcutCell):
    """A cell y_t = T ⊙ h_t + (1 - T) ⊙ x_t with T = σ(W_T x_t + b_T)."""

    trick = "highway"
    besides = 1

    def __init__(self, inner: Cell, bias: float):
        super().__init__(inner)
        self.gate = nn.Linear(inner.width, inner.width)
        nn.init.constant_(self.gate.bias, bias)

    def beside(self, x: Tensor) -> tuple[Tensor, ...]:
        return (torch.sigmoid(self.gate(x)),)

    def joined(self, y: Tensor, x: Tensor, *beside: Tensor) -> Tensor:
        (t,) = beside
        return t * y + (1 - t) * x


@dataclass(frozen=True)
class Highway(Trick):
    """A gate chooses, unit by unit, between a recurrent layer's output and its input.

    y_t = T ⊙ h_t + (1 - T) ⊙ x_t,   T = σ(W_T x_t + b_T)

    The recurrence itself stays as it is. With a negative b_T layers begin as wires. Layers must be
    as wide as their input.

    Source: Srivastava, Greff & Schmidhuber (2015), arXiv:1505.00387, eq. 3; section 2.2 for
    b_T.
    """

    bias: float = setting(-2.0, "b_T at the start", search=(-4.0, 0.0))

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        lead_around(model, partial(HighwayCell, bias=self.bias), self.name)
        return model
