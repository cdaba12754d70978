"""Mamba: state-space models whose step and maps depend on the input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Layout, State, setting, undecayed
from rnnbench.nn import ShortConvolution, one_pass, rms_norm, selective_scan, tower


class Selection(Backbone):
    """The selective state-space model; E channels, each with a state of N real numbers."""

    def __init__(self, width: int, units: int, rank: int):
        super().__init__()
        self.width, self.units, self.rank = width, units, rank
        self.select = nn.Linear(width, rank + 2 * units, bias=False)  # of Δ, B and C
        self.steps = nn.Linear(rank, width)
        rates_EN = torch.arange(1.0, units + 1).repeat(width, 1)
        self.log_decay = undecayed(nn.Parameter(rates_EN.log()))  # of -A
        self.around = undecayed(nn.Parameter(torch.ones(width)))  # D
        nn.init.uniform_(self.steps.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():  # Δ begins log-uniform in [0.001, 0.1]
            step = torch.empty(width).uniform_(math.log(0.001), math.log(0.1)).exp()
            undecayed(self.steps.bias).copy_(torch.expm1(step).log())

    def forward(
        self, x_BTE: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        rows, n = x_BTE.shape[0], self.units
        h_BEN = x_BTE.new_zeros(rows, self.width, n) if state is None else state[0]
        low_BTR, b_BTN, c_BTN = self.select(x_BTE).split([self.rank, n, n], -1)
        step_BTE = F.softplus(self.steps(low_BTR))
        y_BTE, h_BEN = selective_scan(x_BTE, step_BTE, b_BTN, c_BTN, -self.log_decay.exp(), h_BEN)
        return one_pass.scaled_sum(y_BTE, self.around, x_BTE), (h_BEN,)


class MambaMixer(Backbone):
    """A mixer W_o (SSM(SiLU(convolution(W_1 x))) ⊙ SiLU(W_2 x))."""

    def __init__(self, width: int, expand: int, units: int, kernel: int, layers: int = 1):
        super().__init__()
        self.width, inner = width, expand * width
        self.into = nn.Linear(width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)
        self.convolution = ShortConvolution(inner, kernel, bent=True)
        self.selection = Selection(inner, units, math.ceil(width / 16))
        with torch.no_grad():
            self.out.weight /= math.sqrt(layers)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        before, carried = (None, None) if state is None else state
        u_BTE, gate_BTE = self.into(x_BTD).chunk(2, -1)
        u_BTE, before = self.convolution(u_BTE, before)
        y_BTE, carried = self.selection(u_BTE, carried)
        return self.out(one_pass.gated("silu", gate_BTE, y_BTE)), (before, carried)


@dataclass(frozen=True)
class Mamba(Architecture):
    """Residual blocks of a selective state-space model: what is kept depends on what is read.

    Δ_t = softplus(W_Δ W_r x_t + b_Δ),   B_t = W_B x_t,   C_t = W_C x_t
    h_t = exp(Δ_t A) ⊙ h_{t-1} + Δ_t B_t x_t,   y_t = C_t h_t + D ⊙ x_t

    in each of expand · hidden channels with a state of `units` numbers. A block is x + W_o
    (SSM(SiLU(conv(W_1 x̂))) ⊙ SiLU(W_2 x̂)), where the hat is RMSNorm and the convolution is over
    `kernel` steps, each channel alone. A = −(1 … units) and D = 1 at the start (S4D-Real); Δ starts
    in [0.001, 0.1]; W_r maps to hidden / 16 numbers. W_o starts 1/√layers as large as other maps,
    tables of tokens N(0, 0.02²). A, D and b_Δ never decay with the weights. All of this is as in
    the authors' code.

    Inner states are kept at the beginnings of chunks alone and made anew in the backward pass, so
    that memory is that of the inputs.

    Source: Gu & Dao (2023), arXiv:2312.00752, algorithm 2, sections 3.4-3.6 and figure 3;
    github.com/state-spaces/mamba.
    """

    name: ClassVar[str] = "mamba"
    version: ClassVar[int] = 2
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6, "layers": 1, "units": 3}

    hidden: int = setting(128, "model width", unit="units", low=1, search=(32, 256, "log"))
    layers: int = setting(2, "blocks, one above the other", low=1, search=(1, 4))
    units: int = setting(16, "numbers in the state of a channel", low=1, search=(4, 32, "log"))
    expand: int = setting(2, "inner width over `hidden`", low=1, high=4)
    kernel: int = setting(4, "steps that the convolution sees", unit="steps", low=1, high=16)
    dropout: float = setting(0.0, "on each residual branch", low=0.0, high=0.95, search=(0.0, 0.5))

    def start_embedding(self, table_VD: nn.Parameter) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        mixers = (
            MambaMixer(self.hidden, self.expand, self.units, self.kernel, self.layers)
            for _ in range(self.layers)
        )
        return tower(
            d_in, mixers, self.dropout, norm=partial(rms_norm, eps=1e-5), always_mapped=False
        )
