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
from torch.utils.checkpoint import checkpoint

from rnnbench.contract import Architecture, Backbone, Layout, State, setting, undecayed
from rnnbench.nn import ShortConvolution, linear_scan, tower

CHUNK = 256  # steps whose expanded states are kept at once; those of others are made anew


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
        rows, steps, n = x_BTE.shape[0], x_BTE.shape[1], self.units
        h_BEN = x_BTE.new_zeros(rows, self.width, n) if state is None else state[0]
        low_BTR, b_BTN, c_BTN = self.select(x_BTE).split([self.rank, n, n], -1)
        step_BTE = F.softplus(self.steps(low_BTR))
        outputs = []
        # Not slices, whose gradients are as long as the whole sequence, each.
        for parts in zip(
            *(v.split(CHUNK, 1) for v in (x_BTE, step_BTE, b_BTN, c_BTN)), strict=True
        ):
            if steps > CHUNK and torch.is_grad_enabled():
                y_BTE, h_BEN = checkpoint(
                    self.scan, *parts, h_BEN, use_reentrant=False, preserve_rng_state=False
                )
            else:
                y_BTE, h_BEN = self.scan(*parts, h_BEN)
            outputs.append(y_BTE)
        return torch.cat(outputs, 1) + self.around * x_BTE, (h_BEN,)

    def scan(
        self, x_BTE: Tensor, step_BTE: Tensor, b_BTN: Tensor, c_BTN: Tensor, h_BEN: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return y_t = C_t h_t of h_t = exp(Δ_t A) ⊙ h_{t-1} + Δ_t x_t B_t, and the last h."""
        a_BTEN = torch.exp(-step_BTE[..., None] * self.log_decay.exp())
        h_BTEN = linear_scan(a_BTEN, (step_BTE * x_BTE)[..., None] * b_BTN[:, :, None], h_BEN)
        return (h_BTEN @ c_BTN[..., None]).squeeze(-1), h_BTEN[:, -1]


class MambaMixer(Backbone):
    """A mixer W_o (SSM(SiLU(convolution(W_1 x))) ⊙ SiLU(W_2 x))."""

    def __init__(self, width: int, expand: int, units: int, kernel: int, layers: int = 1):
        super().__init__()
        self.width, inner = width, expand * width
        self.into = nn.Linear(width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)
        self.convolution = ShortConvolution(inner, kernel)
        self.selection = Selection(inner, units, math.ceil(width / 16))
        with torch.no_grad():
            self.out.weight /= math.sqrt(layers)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        before, carried = (None, None) if state is None else state
        u_BTE, gate_BTE = self.into(x_BTD).chunk(2, -1)
        u_BTE, before = self.convolution(u_BTE, before)
        y_BTE, carried = self.selection(F.silu(u_BTE), carried)
        return self.out(y_BTE * F.silu(gate_BTE)), (before, carried)


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

    Sequences of more than 256 steps are trained in chunks, whose inner states are made anew in the
    backward pass, so that memory is that of the inputs.

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
            d_in, mixers, self.dropout, norm=partial(nn.RMSNorm, eps=1e-5), always_mapped=False
        )
