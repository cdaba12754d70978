"""Hawk: blocks around a real-gated linear recurrent unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Layout, State, setting, undecayed
from rnnbench.nn import EachStep, GatedMLP, LinearCell, ShortConvolution, mapped, one_pass, tower


def start(module: nn.Linear | nn.Conv1d, variance: float = 1.0) -> None:
    """Let a map start normal, with this variance over the number of its inputs, its bias at 0."""
    nn.init.normal_(module.weight, std=math.sqrt(variance / module.weight[0].numel()))
    if module.bias is not None:
        nn.init.zeros_(module.bias)


class RGLRUCell(LinearCell):
    """The real-gated linear recurrent unit; the maps of x are stacked in the order r, i."""

    def __init__(self, width: int):
        super().__init__(width)
        self.gates = nn.Linear(width, 2 * width)
        start(self.gates)
        # exp(-softplus(Λ)), which a_t is where 8 r is 1, begins uniform on the area of the ring.
        rate = -0.5 * torch.empty(width).uniform_(0.9**2, 0.999**2).log()
        self.decay = undecayed(nn.Parameter(torch.expm1(rate).log()))  # the inverse of softplus

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        gates_BTG = mapped(x_BTD, self.gates.weight, self.gates.bias)
        return torch.cat([gates_BTG.transpose(0, 1), x_BTD.transpose(0, 1)], -1).transpose(0, 1)

    def factors(self, p: Tensor) -> tuple[Tensor, Tensor]:
        r, i, x = p.chunk(3, -1)
        log_a = -8 * F.softplus(self.decay) * torch.sigmoid(r)
        # expm1 keeps 1 - a² exact where a is near 1.
        kept = torch.sqrt(-torch.expm1(2 * log_a))
        return torch.exp(log_a), kept * torch.sigmoid(i) * x


class HawkMixer(Backbone):
    """A mixer W_o (GELU(W_1 x) ⊙ RGLRU(convolution(W_2 x)))."""

    def __init__(self, width: int, kernel: int, layers: int = 1):
        super().__init__()
        self.width = width
        self.into, self.out = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.convolution, self.cell = ShortConvolution(width, kernel), RGLRUCell(width)
        start(self.into)
        start(self.out, 2 / layers)
        start(self.convolution.convolve, 0.01)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        before, carried = (None, None) if state is None else state
        gate, u = self.into(x_BTD).chunk(2, -1)
        u, before = self.convolution(u, before)
        h, carried = self.cell(u, carried)
        y = one_pass.gated("tanh_gelu", gate, h)  # JAX's GELU, which the authors' code has
        return self.out(y), (before, carried)

    def carry(self, state: State) -> State:
        before, carried = state
        return self.convolution.carry(before), self.cell.carry(carried)


@dataclass(frozen=True)
class Hawk(Architecture):
    """Residual blocks of a real-gated linear recurrent unit (RG-LRU) and a gated MLP.

    r_t = σ(W_a x_t + b_a),   i_t = σ(W_x x_t + b_x),   log a_t = −8 · softplus(Λ) ⊙ r_t
    h_t = a_t ⊙ h_{t-1} + √(1 − a_t²) ⊙ i_t ⊙ x_t

    A block is x + W_o (GELU(W_1 x̂) ⊙ RGLRU(conv(W_2 x̂))), then y + MLP(ŷ), where the hat is
    RMSNorm and the convolution is over `kernel` steps, each channel alone. GELU is its tanh form.

    Starts are those of the authors' code (recurrentgemma): exp(−softplus(Λ)) on the ring from 0.9
    to 0.999, uniform by area (the paper says so of its eighth power); maps normal with variance
    1/inputs, those that end a branch 2/layers of it, the convolution a hundredth; biases 0; tables
    of tokens N(0, 1/H). Λ does not decay with the weights. Other than there, W_a and W_x are full:
    their blocks are of 256 channels, which is more than the default width. The recurrence is as
    wide as the model (4/3 of it in the paper); the first step is scaled by √(1 − a²) too, as in the
    paper (their code leaves it out where a text begins), since a chunk's first step is no text's.
    Half precision is summed in float32.

    Source: De et al. (2024), Griffin, arXiv:2402.19427, sections 2.2-2.4 and eqs. 1-4;
    github.com/google-deepmind/recurrentgemma.
    """

    name: ClassVar[str] = "hawk"
    version: ClassVar[int] = 2
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6, "layers": 1, "expand": 1}

    hidden: int = setting(128, "model width", unit="units", low=1, search=(32, 256, "log"))
    layers: int = setting(2, "blocks, one above the other", low=1, search=(1, 4))
    kernel: int = setting(4, "steps that the convolution sees", unit="steps", low=1, high=16)
    expand: int = setting(3, "inner width of the MLP over `hidden`", low=1, high=8)
    dropout: float = setting(0.0, "on each residual branch", low=0.0, high=0.95, search=(0.0, 0.5))

    def start_embedding(self, table_VD: nn.Parameter) -> None:
        nn.init.normal_(table_VD, std=self.input_width**-0.5)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        parts: list[Backbone] = []
        for _ in range(self.layers):
            parts.append(HawkMixer(self.hidden, self.kernel, self.layers))
            mlp = GatedMLP(self.hidden, self.expand * self.hidden, activation="tanh_gelu")
            start(mlp.into)
            start(mlp.out, 2 / self.layers)
            parts.append(EachStep(mlp, self.hidden))
        return tower(d_in, parts, self.dropout, always_mapped=False)
