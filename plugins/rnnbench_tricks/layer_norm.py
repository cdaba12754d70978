"""Layer normalisation inside a recurrent cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Cell, State, Trick, setting
from rnnbench.nn.cells.gate_names import gates
from rnnbench.nn.cells.gate_wrappers import GateWrapper, gated_of, wrap_gates
from rnnbench.nn.estimators.observe_cells import sums_its_products


class LayerNormCell(GateWrapper):
    """A cell wrapper that normalises both products of a gated cell.

    Args:
        sizes: how many pre-activations are normalised together, from the first to the last.
    """

    def __init__(self, inner: Cell, sizes: tuple[int, ...], epsilon: float):
        super().__init__(inner)
        self.sizes, self.epsilon = sizes, epsilon
        weight = self.gated.weight_h
        self.gain_x = nn.Parameter(torch.ones_like(weight[:, 0]))
        self.gain_h = nn.Parameter(torch.ones_like(weight[:, 0]))

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return self.normalised(super().project(x_BTD, state), self.gain_x, self.gated.bias_x)

    def gates(
        self, p_BG: Tensor, q_BG: Tensor, state: State, drawn: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        return p_BG, self.normalised(q_BG, self.gain_h, self.gated.bias_h)

    def normalised(self, a: Tensor, gain_G: Tensor, bias_G: Tensor) -> Tensor:
        """Return α ⊙ (a - mean) / deviation + b; the bias b is in `a` and is not normalised."""
        parts = [
            F.layer_norm(part, part.shape[-1:], eps=self.epsilon)
            for part in (a - bias_G).split(self.sizes, -1)
        ]
        return gain_G * torch.cat(parts, -1) + bias_G


@dataclass(frozen=True)
class LayerNorm(Trick):
    """Normalises a cell's pre-activations over the units of a layer, at every step and row apart.

    a_t = LN(W_h h_{t-1}; α_h) + LN(W_x x_t; α_x) + b,   LN(z; α) = α ⊙ (z - μ) / √(σ² + ε)

    μ and σ² are the mean and the variance of z; gains begin at 1, and b are the cell's own biases,
    so that what sets a forget bias acts as it says. over=all: all gates together, as in the
    paper's LSTM; a candidate whose two products do not act through their sum, as in a GRU, is
    normalised by itself, as there. over=gate: every gate by itself. The variant without LN(c_t) in
    the output of an LSTM: h_t = σ(o_t) ⊙ tanh(c_t).

    Source: Ba, Kiros & Hinton (2016), arXiv:1607.06450, section 3.1 and supplementary material.
    """

    over: Literal["all", "gate"] = setting("all", "what is normalised together")
    epsilon: float = setting(1e-5, "ε, added to the variance", low=1e-12)

    def cell(self, cell: Cell) -> Cell:
        return wrap_gates(cell, self.around, self.name)

    def around(self, inner: Cell) -> GateWrapper:
        bare = gated_of(inner)
        cell_gates = gates(bare, self.name)
        if self.over == "gate":
            sizes = tuple(g.rows.stop - g.rows.start for g in cell_gates)
        else:
            together = bare.weight_h.shape[0]
            apart = [g for g in cell_gates if g.name == "candidate" and g is cell_gates[-1]]
            alone = bare.hidden if apart and not sums_its_products(bare) else 0
            sizes = (together - alone, alone) if alone else (together,)
        return LayerNormCell(inner, sizes, self.epsilon)
