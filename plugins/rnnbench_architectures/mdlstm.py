"""Multidimensional long short-term memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, Refusal, setting
from rnnbench.nn import GridLayer, Stack, grid_pool, refuse_idle_dropout, refuse_looking_ahead


class MDLSTMLayer(GridLayer):
    """The gates are stacked in the order i, o, f_1 … f_n, g; convex: i, o, f, λ_2 … λ_n, g.

    peephole (R, n + 2, H) holds w_i, w_o, w_1 … w_n.
    """

    def __init__(self, cfg: MDLSTM, d_in: int):
        super().__init__(
            cfg.name,
            d_in,
            cfg.hidden,
            gates=3 + cfg.dimensions,
            states=2,
            dimensions=cfg.dimensions,
            every_direction=cfg.directions == "all",
            together=cfg.combine == "sum",
        )
        self.convex = cfg.memory == "convex"
        self.peephole = None
        if cfg.peepholes:
            directions, bound = len(self.bias), 1 / math.sqrt(cfg.hidden)
            self.peephole = nn.Parameter(torch.empty(directions, cfg.dimensions + 2, cfg.hidden))
            nn.init.uniform_(self.peephole, -bound, bound)

    def update(self, a_RKBG: Tensor, near: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        i, o, *f, g = a_RKBG.chunk(3 + self.dimensions, -1)
        c_before = [c for _, c in near]
        if self.convex:
            return self.blended(i, o, f, g, c_before)
        if self.peephole is not None:
            w_i, w_o, *w = (p[:, None, None] for p in self.peephole.unbind(1))
            i = i + w_i * sum(c_before)
            f = [f_d + w_d * c_d for f_d, w_d, c_d in zip(f, w, c_before, strict=True)]
        c = torch.sigmoid(i) * torch.tanh(g)
        for f_d, c_d in zip(f, c_before, strict=True):
            c = torch.addcmul(c, torch.sigmoid(f_d), c_d)
        if self.peephole is not None:
            o = o + w_o * c
        return torch.sigmoid(o) * torch.tanh(c), c

    def blended(
        self, i: Tensor, o: Tensor, gates: list[Tensor], g: Tensor, c_before: list[Tensor]
    ) -> tuple[Tensor, ...]:
        """Blend the neighbours' memories to one, with one forget gate."""
        f, *share = gates
        # One of n shares is determined by the others, so the first has the fixed score 0.
        share_nRKBH = torch.stack([torch.zeros_like(f), *share]).softmax(0)
        before = (share_nRKBH * torch.stack(c_before)).sum(0)
        c = torch.sigmoid(i) * torch.tanh(g) + torch.sigmoid(f) * before
        return torch.sigmoid(o) * torch.tanh(c), c


@dataclass(frozen=True)
class MDLSTM(Architecture):
    """Multidimensional LSTM, with one forget gate for each dimension.

    With p a point of an n-dimensional grid, e_d a step along dimension d, and 0 outside the grid:

    a_p = W x_p + Σ_d U_d h_{p - e_d} + b                         (all gates see every neighbour)
    i = σ(a_i),   f_d = σ(a_{f,d}),   o = σ(a_o),   g = tanh(a_g)
    c_p = i ⊙ g + Σ_d f_d ⊙ c_{p - e_d},   h_p = o ⊙ tanh(c_p)

    `peepholes` adds w_i ⊙ Σ_d c_{p - e_d} to a_i, w_d ⊙ c_{p - e_d} to a_{f,d} and w_o ⊙ c_p to
    a_o. Since the forget gates sum to up to n, c may grow with the number of paths through the
    grid; `memory: convex` cannot: c_p = i ⊙ g + f ⊙ Σ_d λ_d ⊙ c_{p - e_d} with one forget gate f
    and shares λ that sum to 1 (for two dimensions λ_2 = σ(a_λ), λ_1 = 1 − λ_2; for more, a softmax
    that has this as its case of two).

    `directions: all` reads from each of the 2^n corners with parameters of its own; the outputs
    of the directions stand side by side (`combine: concatenate`, width 2^n `hidden`) or are
    summed. All points with one sum of coordinates are computed at once. A task that asks for one
    vector reads each direction in the corner where it ends, or, where they are summed, the mean
    over the grid.

    Source: Graves, Fernández & Schmidhuber (2007), Multi-dimensional recurrent neural networks,
    arXiv:0705.2011, sections 2 and 3; the convex memory of two dimensions is the stable cell of
    Leifert et al. (2016), Cells in multidimensional recurrent neural networks, JMLR 17(97).
    """

    layouts: ClassVar[tuple[str, ...]] = ("grid",)

    hidden: int = setting(128, "units of a direction", unit="units", low=1, search=(16, 256, "log"))
    dimensions: int = setting(2, "of the grids that are read", low=1, high=6)
    directions: Literal["one", "all"] = setting("one", "from the first corner, or from all")
    combine: Literal["concatenate", "sum"] = setting("concatenate", "outputs of all directions")
    memory: Literal["sum", "convex"] = setting("sum", "how the neighbours' memories are joined")
    peepholes: bool = setting(False, "gates see the memory as well; not with a convex one")
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)
        if self.peepholes and self.memory == "convex":
            raise Refusal(
                "mdlstm: peepholes are defined for memory = sum, and it is convex.\n"
                "  Drop peepholes, or set architecture.memory=sum."
            )

    @property
    def pool(self) -> str:  # type: ignore[override]
        return grid_pool(self.directions, self.combine)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        if causal and self.directions == "all":
            refuse_looking_ahead(self.name, "Set architecture.directions=one")
        bottom = MDLSTMLayer(self, d_in)
        above = (MDLSTMLayer(self, bottom.width) for _ in range(self.layers - 1))
        return Stack((bottom, *above), self.dropout)
