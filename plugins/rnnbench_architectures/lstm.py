"""Long short-term memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import FusedCell, Stack, refuse_idle_dropout


class LSTMCell(FusedCell):
    """The state is (h, c); the gates are stacked in the order i, f, g, o."""

    kernel = staticmethod(torch.lstm)

    def __init__(self, d_in: int, hidden: int):
        super().__init__(d_in, hidden, gates=4, states=2)

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        i, f, g, o = (gates_x + gates_h).chunk(4, -1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


@dataclass(frozen=True)
class LSTM(Architecture):
    """Long short-term memory with a forget gate, without peepholes.

    [i f g o] = W_x x_t + b_x + W_h h_{t-1} + b_h
    c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(g),   h_t = σ(o) ⊙ tanh(c_t)

    Source: Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; forget gate:
    Gers, Schmidhuber & Cummins (2000), doi:10.1162/089976600300015015.
    """

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        return Stack((LSTMCell(d, self.hidden) for d in widths), self.dropout)
