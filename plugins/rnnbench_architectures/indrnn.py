"""The independently recurrent network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, setting, undecayed
from rnnbench.nn import FastCell, Stack, refuse_idle_dropout, scan

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


class IndRNNCell(FastCell):
    """A cell h_t = f(W x_t + b + u ⊙ h_{t-1}); `recurrent` is u.

    Args:
        limit: of |u|, or infinity: after each update u is brought back within it, as the authors'
            code does. (Clamped within the step, u would have no gradient beyond the limit, and a
            unit that once left could not come back.)
        last: u starts at 1, so that the layer can keep everything.
    """

    def __init__(self, d_in: int, hidden: int, activation: str, limit: float, last: bool):
        super().__init__()
        self.width, self.activation, self.limit = hidden, activation, limit
        self.weight_x = nn.Parameter(torch.empty(hidden, d_in))
        self.bias_x = undecayed(nn.Parameter(torch.zeros(hidden)))
        self.recurrent = undecayed(nn.Parameter(torch.ones(hidden)))
        bound = 1 / math.sqrt(d_in)
        nn.init.uniform_(self.weight_x, -bound, bound)
        if not last:
            nn.init.uniform_(self.recurrent, 0.0, min(1.0, limit))

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD.new_zeros(x_BD.shape[0], self.width),)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return scan.linear(x_BTD, self.weight_x, self.bias_x)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BH = state[0] if seen_BH is None else seen_BH
        new_BH = ACTIVATIONS[self.activation](p_BG + self.recurrent * h_BH)
        return new_BH, (new_BH,)

    def constrain(self) -> None:
        if self.limit < math.inf:
            self.recurrent.clamp_(-self.limit, self.limit)

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)


@dataclass(frozen=True)
class IndRNN(Architecture):
    """Recurrent network whose units are recurrent each by itself; layers above mix them.

    h_t = f(W x_t + u ⊙ h_{t-1} + b),   |u_n| ≤ 2^(1/horizon)

    With that limit, which holds after every update, a gradient at most doubles over `horizon`
    steps. horizon=null: no limit. u starts uniform in [0, 1], and in the last layer at 1, as the
    paper does for tasks whose target comes at the end. b starts at 0. u and b never decay with the
    weights, as in the authors' code.

    Source: Li, Li, Cook, Zhu & Gao (2018), arXiv:1803.04831, eqs. 2 and 8, and section 5.1.
    """

    name: ClassVar[str] = "indrnn"
    version: ClassVar[int] = 3

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(2, "layers, one above the other", low=1, search=(2, 6))
    horizon: int | None = setting(
        100, "T in the limit of the recurrent weights, 2^(1/T); null: none", unit="steps", low=1
    )
    activation: Literal["relu", "tanh"] = setting("relu", "f, of every unit")
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)
    residual: bool = setting(False, "every layer but the first adds its input to its output")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout, self.residual)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        limit = math.inf if self.horizon is None else 2 ** (1 / self.horizon)
        cells = (
            IndRNNCell(
                self.hidden if i else d_in, self.hidden, self.activation, limit,
                last=i == self.layers - 1,
            )
            for i in range(self.layers)
        )  # fmt: skip
        return Stack(cells, self.dropout, self.residual)
