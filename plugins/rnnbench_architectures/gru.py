"""Gated recurrent unit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import FusedCell, Stack, refuse_idle_dropout


class GRUCell(FusedCell):
    """The gates are stacked in the order r, z, n, as in torch."""

    kernel = staticmethod(torch.gru)

    def __init__(self, d_in: int, hidden: int):
        super().__init__(d_in, hidden, gates=3)

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        rx, zx, nx = gates_x.chunk(3, -1)
        rh, zh, nh = gates_h.chunk(3, -1)
        z = torch.sigmoid(zx + zh)
        n = torch.tanh(nx + torch.sigmoid(rx + rh) * nh)
        return ((1 - z) * n + z * state[0],)


@dataclass(frozen=True)
class GRU(Architecture):
    """Gated recurrent unit, with the reset gate after the recurrent product (cuDNN's form).

    r = σ(W_r x_t + U_r h_{t-1}),   z = σ(W_z x_t + U_z h_{t-1})
    n = tanh(W_n x_t + b + r ⊙ (U_n h_{t-1} + b′)),   h_t = (1 − z) ⊙ n + z ⊙ h_{t-1}

    Each product has a bias of its own. Cho et al. put r inside, U_n (r ⊙ h_{t-1}).

    Source: Cho et al. (2014), arXiv:1406.1078, eqs. 5-8; the placement of r follows
    Appleyard et al. (2016), arXiv:1604.01946.
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
        return Stack((GRUCell(d, self.hidden) for d in widths), self.dropout)
