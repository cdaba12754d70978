"""Small architectures of unlike make, which the laws of tricks and tasks are held on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, Cell, Layout, State, setting
from rnnbench.nn import GatedCell, Stack


class ScannedCell(GatedCell):
    """h_t = tanh(W_x x_t + b_x + W_h h_{t-1} + b_h), without a fused path."""

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return (torch.tanh(gates_x + gates_h),)


@dataclass(frozen=True)
class Scanned(Architecture):
    """Plain recurrent layers, with dropout between them.

    Source: Elman (1990), Finding structure in time.
    """

    hidden: int = setting(6, "units of a layer", low=1)
    layers: int = setting(1, "layers, one above the other", low=1)
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.9)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        return Stack((ScannedCell(d, self.hidden) for d in widths), self.dropout)


class WholeCell(Cell):
    """A cell that defines `step` as a whole: a leaky average and a memory beside it."""

    def __init__(self, d_in: int, hidden: int):
        super().__init__()
        self.width = hidden
        self.mix = nn.Linear(d_in + hidden, hidden)
        self.leak = nn.Parameter(torch.zeros(hidden))

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        zero = x_BD.new_zeros(x_BD.shape[0], self.width)
        return zero, zero

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h, c = state
        fresh = torch.tanh(self.mix(torch.cat([x_BD, h], -1)))
        leak = torch.sigmoid(self.leak)
        c = leak * c + (1 - leak) * fresh
        h = torch.tanh(c + fresh)
        return h, (h, c)


@dataclass(frozen=True)
class Whole(Architecture):
    """One recurrent layer whose cell core cannot take apart.

    Source: Jaeger et al. (2007), Neural Networks 20(3), eq. 3, for the leaky units.
    """

    hidden: int = setting(6, "units", low=1)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        return WholeCell(d_in, self.hidden)


class RunningMean(Backbone):
    """y_t = tanh(W x_t + U mean(x_1 … x_t)); the state is the sum so far and its length."""

    def __init__(self, d_in: int, hidden: int):
        super().__init__()
        self.width = hidden
        self.now, self.mean = nn.Linear(d_in, hidden), nn.Linear(d_in, hidden, bias=False)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        rows, steps, width = x_BTD.shape
        sum_BD, count_B1 = state or (x_BTD.new_zeros(rows, width), x_BTD.new_zeros(rows, 1))
        sums_BTD = sum_BD[:, None] + x_BTD.cumsum(1)
        counts_BT = count_B1 + torch.arange(1, steps + 1, device=x_BTD.device)
        y_BTH = torch.tanh(self.now(x_BTD) + self.mean(sums_BTD / counts_BT[..., None]))
        return y_BTH, (sums_BTD[:, -1], counts_BT[:, -1:])


@dataclass(frozen=True)
class Averaging(Architecture):
    """A causal architecture without recurrent cells.

    Source: Iyyer et al. (2015), Deep averaging networks, for averaging in place of recurrence.
    """

    hidden: int = setting(6, "units", low=1)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        return RunningMean(d_in, self.hidden)


SMALL: dict[str, Architecture] = {
    "one scanned layer": Scanned(),
    "two scanned layers with dropout": Scanned(layers=2, dropout=0.3),
    "a cell whose step is whole": Whole(),
    "no recurrent cell": Averaging(),
}
