"""The simple recurrent unit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Layout, State, setting
from rnnbench.nn import FastCell, Stack, linear_scan, refuse_idle_dropout, refuse_seen, scan


class SRUCell(FastCell):
    """The state is (c,); the input's maps are stacked in the order x̃, f, r, and the highway's.

    Without peephole all time steps are made at once; with it they wait for each other, but have no
    matrix product.
    """

    def __init__(self, d_in: int, hidden: int, peephole: bool, highway_bias: float):
        super().__init__()
        self.width, self.peephole = hidden, peephole
        self.projects = d_in != hidden  # the highway then needs a map of its own
        self.weight_x = nn.Parameter(torch.empty((4 if self.projects else 3) * hidden, d_in))
        self.bias_f = nn.Parameter(torch.zeros(hidden))
        self.bias_r = nn.Parameter(torch.full((hidden,), highway_bias))
        bound = math.sqrt(3 / d_in)
        nn.init.uniform_(self.weight_x, -bound, bound)
        if peephole:
            self.peephole_f = nn.Parameter(torch.empty(hidden))
            self.peephole_r = nn.Parameter(torch.empty(hidden))
            # A gate then sees two terms, so both start with half of the variance.
            nn.init.uniform_(self.peephole_f, -math.sqrt(1.5), math.sqrt(1.5))
            nn.init.uniform_(self.peephole_r, -math.sqrt(1.5), math.sqrt(1.5))
        # α keeps the variance of h at that of x, given the bias of r.
        alpha = math.sqrt(1 + 2 * math.exp(highway_bias))
        self.scale = 1.0 if self.projects else alpha
        with torch.no_grad():
            if peephole:
                self.weight_x[hidden : 3 * hidden] *= math.sqrt(0.5)
            self.weight_x[3 * hidden :] *= alpha

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD.new_zeros(x_BD.shape[0], self.width),)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        n = self.width
        bias = torch.cat([torch.zeros_like(self.bias_f), self.bias_f, self.bias_r])
        p_BTG = scan.linear(x_BTD, self.weight_x[: 3 * n], bias)
        around = F.linear(x_BTD, self.weight_x[3 * n :]) if self.projects else x_BTD
        return torch.cat([p_BTG, around], -1)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        refuse_seen(self, seen_BH)
        x, f, r, around = p_BG.chunk(4, -1)
        (c,) = state
        if self.peephole:
            f, r = f + self.peephole_f * c, r + self.peephole_r * c
        f, r = torch.sigmoid(f), torch.sigmoid(r)
        c = f * c + (1 - f) * x
        return r * c + (1 - r) * self.scale * around, (c,)

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        if self.peephole:
            return super().forward(x_BTD, state, layout)
        state = self.initial(x_BTD[:, 0]) if state is None else state
        p_BTG = self.project(x_BTD, state)
        done = scan.run_linear(self, p_BTG, state)
        if done is not None:
            return done
        x, f, r, around = p_BTG.chunk(4, -1)
        f, r = torch.sigmoid(f), torch.sigmoid(r)
        c = linear_scan(f, (1 - f) * x, state[0])
        return r * c + (1 - r) * self.scale * around, (c[:, -1],)


@dataclass(frozen=True)
class SRU(Architecture):
    """Simple recurrent unit: a light recurrence with a highway around it.

    x̃ = W x_t,   f = σ(W_f x_t + v_f ⊙ c_{t-1} + b_f),   r = σ(W_r x_t + v_r ⊙ c_{t-1} + b_r)
    c_t = f ⊙ c_{t-1} + (1 − f) ⊙ x̃,   h_t = r ⊙ c_t + (1 − r) ⊙ α x_t

    peephole=false leaves out both v, as the first version of the paper did; then all time steps are
    made at once. Where the input is not as wide as h, a fourth map takes the place of x_t in the
    highway, starts α times as large, and is not scaled. Weights start uniform in ±√(3/D), and with
    peepholes those of f and r in ±√(1.5/D) and v in ±√1.5; α = √(1 + 2·exp(b_r)) with the start of
    b_r. All of them keep the variance from layer to layer, and are those of the authors' code.

    Source: Lei, Zhang, Wang, Dai & Artzi (2018), arXiv:1709.02755, section 2, eqs. 1-4, and 3.2.
    """

    name: ClassVar[str] = "sru"
    version: ClassVar[int] = 2

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(2, "layers, one above the other", low=1, search=(2, 6))
    peephole: bool = setting(True, "the gates see the memory cell, each unit its own")
    highway_bias: float = setting(0.0, "start of b_r; the paper's language models have -3")
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        cells = (SRUCell(d, self.hidden, self.peephole, self.highway_bias) for d in widths)
        return Stack(cells, self.dropout)
