"""The simple recurrent network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import FusedCell, Stack, refuse_idle_dropout


class ElmanCell(FusedCell):
    """h_t = tanh(W_x x_t + b_x + W_h h_{t-1} + b_h)."""

    kernel = staticmethod(torch.rnn_tanh)

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return (torch.tanh(gates_x + gates_h),)


@dataclass(frozen=True)
class Elman(Architecture):
    """Simple recurrent network with tanh units.

    h_t = tanh(W_x x_t + b_x + W_h h_{t-1} + b_h)

    Source: Elman (1990), Finding structure in time, doi:10.1207/s15516709cog1402_1.
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
        return Stack((ElmanCell(d, self.hidden) for d in widths), self.dropout)
