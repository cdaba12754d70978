"""Hierarchical multiscale LSTM."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Cell, Layout, Moment, State, setting


class HMLSTMCell(Cell):
    """A cell of all levels; see `HMLSTM`.

    The state is (h (B, L·H), c (B, L·H), z (B, L-1)), levels from the bottom up.

    Each level's gates are stacked in the order f, i, o, g and, but for the top, the boundary.
    `weight_h[l]` is [U D W], without W at the bottom (there it is `weight_x`) and D at the top.

    Args:
        d_in: D, input width.
        hidden: H, units of a level and width of the output.
        levels: L.
        slope, anneal: see `HMLSTM`.
    Attributes:
        slope: a, the present slope of the hard sigmoid; saved with the weights.
    """

    apart = (2,)

    def __init__(self, d_in: int, hidden: int, levels: int, slope: float, anneal: float):
        super().__init__()
        self.width, self.levels, self.steepest, self.anneal = hidden, levels, slope, anneal
        gates = [4 * hidden + 1] * (levels - 1) + [4 * hidden]
        read = [2] + [3] * (levels - 2) + [2]
        self.weight_x = nn.Parameter(torch.empty(gates[0], d_in))
        self.weight_h = nn.ParameterList(
            torch.empty(g, n * hidden) for g, n in zip(gates, read, strict=True)
        )
        self.bias = nn.ParameterList(torch.empty(g) for g in gates)
        self.weight_gate = nn.Parameter(torch.empty(levels, levels * hidden))
        self.weight_out = nn.Parameter(torch.empty(hidden, levels * hidden))
        bound = 1 / math.sqrt(hidden)
        for p in self.parameters():
            nn.init.uniform_(p, -bound, bound)
        self.slope: Tensor
        self.register_buffer("slope", torch.tensor(slope if anneal == 0 else 1.0))

    def schedule(self, at: Moment) -> None:
        done = min(1.0, at.progress / self.anneal) if self.anneal else 1.0
        self.slope.fill_(1 + (self.steepest - 1) * done)

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        zero = x_BD.new_zeros(x_BD.shape[0], self.levels * self.width)
        return zero, zero, x_BD.new_zeros(x_BD.shape[0], self.levels - 1)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return F.linear(x_BTD, self.weight_x, self.bias[0])

    def boundary(self, s_B1: Tensor) -> Tensor:
        """Return z = 1 where hard-sigmoid(a s) > ½, with the gradient of the hard sigmoid."""
        soft = ((self.slope * s_B1 + 1) / 2).clamp(0, 1)
        return (soft > 0.5).to(soft.dtype) + (soft - soft.detach())

    def climb(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Update all levels at one time step, from the bottom up.

        Args:
            seen: h_{t-1} (B, H) of each level, as the recurrent products read it.
        """
        h, c, z = state
        h_old, c_old, z_old = h.split(self.width, -1), c.split(self.width, -1), z.split(1, -1)
        hs: list[Tensor] = []
        cs: list[Tensor] = []
        zs: list[Tensor] = []
        for level in range(self.levels):
            bottom, top = level == 0, level == self.levels - 1
            read = [seen[level]]
            if not top:
                read.append(z_old[level] * seen[level + 1])
            if not bottom:
                read.append(zs[-1] * hs[-1])
            own_BG = p_BG if bottom else self.bias[level]
            s_BG = own_BG + F.linear(torch.cat(read, -1), self.weight_h[level])
            f, i, o = torch.sigmoid(s_BG[:, : 3 * self.width]).chunk(3, -1)
            new_BH = i * torch.tanh(s_BG[:, 3 * self.width : 4 * self.width])
            c_BH = f * c_old[level] + new_BH
            if not bottom:
                c_BH = _select(zs[-1], c_BH, c_old[level])
            if not top:
                c_BH = _select(z_old[level], new_BH, c_BH)
            h_BH = o * torch.tanh(c_BH)
            if not bottom:
                copy_B1 = 1 - zs[-1] if top else (1 - zs[-1]) * (1 - z_old[level])
                h_BH = _select(copy_B1, h_old[level], h_BH)
            hs.append(h_BH)
            cs.append(c_BH)
            if not top:
                zs.append(self.boundary(s_BG[:, -1:]))
        return torch.cat(hs, -1), torch.cat(cs, -1), torch.cat(zs, -1)

    def output(self, h: Tensor) -> Tensor:
        """Return h^e of all levels' hidden states: (..., L·H) -> (..., H)."""
        gate = torch.sigmoid(F.linear(h, self.weight_gate))
        gated = gate.unsqueeze(-1) * h.unflatten(-1, (self.levels, self.width))
        return torch.relu(F.linear(gated.flatten(-2), self.weight_out))

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        read = (state[0] if seen_BH is None else seen_BH).split(self.width, -1)
        state = self.climb(p_BG, state, read)
        return self.output(state[0]), state

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        """Scan, and run the output module for all steps at once."""
        state = self.initial(x_BTD[:, 0]) if state is None else state
        hidden = []
        for p_BG in self.project(x_BTD, state).unbind(1):
            state = self.climb(p_BG, state, state[0].split(self.width, -1))
            hidden.append(state[0])
        return self.output(torch.stack(hidden, 1)), state


def _select(z_B1: Tensor, one: Tensor, zero: Tensor) -> Tensor:
    """Return `one` where z is 1, `zero` where it is 0; z gets a gradient, unlike in torch.where."""
    return z_B1 * one + (1 - z_B1) * zero


@dataclass(frozen=True)
class HMLSTM(Architecture):
    """Hierarchical multiscale LSTM: levels that find the boundaries of segments by themselves.

    For levels l = 1 … L, with z^0_t = 1, h^0_t = x_t, z_0 = 0, and no z and no top-down input at L:
    s = U^l h^l_{t-1} + z^l_{t-1} D^l h^{l+1}_{t-1} + z^{l-1}_t W^l h^{l-1}_t + b^l,
    [f i o g] = [σ(s) σ(s) σ(s) tanh(s)],   z̃ = hard-sigmoid(a s) = max(0, min(1, (a s + 1) / 2)),
    z^l_t = 1 if z̃ > ½ else 0 (its gradient is that of z̃: straight-through).
    UPDATE, z^l_{t-1} = 0 and z^{l-1}_t = 1:  c_t = f ⊙ c_{t-1} + i ⊙ g,   h_t = o ⊙ tanh(c_t)
    COPY,   z^l_{t-1} = 0 and z^{l-1}_t = 0:  c_t = c_{t-1},               h_t = h_{t-1}
    FLUSH,  z^l_{t-1} = 1:                    c_t = i ⊙ g,                 h_t = o ⊙ tanh(c_t)
    Output: g^l = σ(w^l · [h^1_t; …; h^L_t]),   h^e_t = ReLU(Σ_l g^l W^l_e h^l_t).

    The slope a rises in a straight line from 1 to `slope`, which it reaches after the share
    `anneal` of the budget. The paper's a = min(5, 1 + 0.04 · epoch) is slope = 5 with
    anneal = 100 / epochs of the budget. Without the paper's layer normalisation.

    Source: Chung, Ahn & Bengio (2017), arXiv:1609.01704, the model and its output module.
    """

    name: ClassVar[str] = "hm-lstm"
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "levels": 2}
    declares: ClassVar[Mapping[str, str]] = {
        "gradients_are_true": "a boundary is a step, and learns by its hard sigmoid's slope "
        "(straight-through, section 2.2)"
    }

    hidden: int = setting(128, "units of a level", unit="units", low=1, search=(32, 256, "log"))
    levels: int = setting(3, "L: levels", low=2, search=(2, 3))
    slope: float = setting(5.0, "a at last: slope of the boundaries' hard sigmoid", low=1.0)
    anneal: float = setting(
        1.0, "share of the budget until the slope is reached; 0: from the start", low=0.0, high=1.0
    )
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        return HMLSTMCell(d_in, self.hidden, self.levels, self.slope, self.anneal)
