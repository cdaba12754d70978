"""Multidimensional recurrent network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import GridLayer, Stack, grid_pool, refuse_idle_dropout, refuse_looking_ahead


class MDRNNLayer(GridLayer):
    """A layer h_p = tanh(W x_p + Σ_d U_d h_{p - e_d} + b)."""

    def __init__(self, cfg: MDRNN, d_in: int):
        super().__init__(
            cfg.name,
            d_in,
            cfg.hidden,
            gates=1,
            states=1,
            dimensions=cfg.dimensions,
            every_direction=cfg.directions == "all",
            together=cfg.combine == "sum",
        )

    def update(self, a_RKBG: Tensor, near: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        return (torch.tanh(a_RKBG),)


@dataclass(frozen=True)
class MDRNN(Architecture):
    """Multidimensional recurrent network: a cell reads its neighbours along every dimension.

    h_p = tanh(W x_p + Σ_d U_d h_{p - e_d} + b),  h = 0 outside the grid

    p is a point of an n-dimensional grid and e_d a step along dimension d, so the hidden state at
    p has seen the box between the first corner and p. `directions: all` reads from each of the
    2^n corners with parameters of its own, so that every point is seen with the whole grid around
    it; the outputs of the directions stand side by side (`combine: concatenate`, width 2^n
    `hidden`) or are summed. All points with one sum of coordinates are computed at once. A task
    that asks for one vector reads each direction in the corner where it ends, or, where they are
    summed, the mean over the grid.

    Source: Graves, Fernández & Schmidhuber (2007), Multi-dimensional recurrent neural networks,
    arXiv:0705.2011, section 2.
    """

    layouts: ClassVar[tuple[str, ...]] = ("grid",)

    hidden: int = setting(128, "units of a direction", unit="units", low=1, search=(16, 256, "log"))
    dimensions: int = setting(2, "of the grids that are read", low=1, high=6)
    directions: Literal["one", "all"] = setting("one", "from the first corner, or from all")
    combine: Literal["concatenate", "sum"] = setting("concatenate", "outputs of all directions")
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)

    @property
    def pool(self) -> str:  # type: ignore[override]
        return grid_pool(self.directions, self.combine)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        if causal and self.directions == "all":
            refuse_looking_ahead(self.name, "Set architecture.directions=one")
        bottom = MDRNNLayer(self, d_in)
        above = (MDRNNLayer(self, bottom.width) for _ in range(self.layers - 1))
        return Stack((bottom, *above), self.dropout)
