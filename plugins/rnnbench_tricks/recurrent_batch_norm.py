"""Batch normalisation inside a recurrent cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Cell, State, Trick, setting
from rnnbench.nn.cells.gate_wrappers import GateWrapper, StatefulGateWrapper, wrap_gates


class BatchNormCell(StatefulGateWrapper):
    """A cell wrapper that normalises both products over the rows of a batch.

    It remembers how many steps were made.

    Args:
        steps: time steps that have statistics of their own; later ones share the last's.
    """

    mean_x: Tensor
    mean_h: Tensor
    variance_x: Tensor
    variance_h: Tensor

    def __init__(self, inner: Cell, steps: int, gain: float, momentum: float, epsilon: float):
        super().__init__(inner)
        self.steps, self.momentum, self.epsilon = steps, momentum, epsilon
        weight = self.gated.weight_h
        for which in ("x", "h"):
            self.register_parameter(
                f"gain_{which}", nn.Parameter(torch.full_like(weight[:, 0], gain))
            )
            one_SG = torch.ones_like(weight[:, 0]).expand(steps, -1).detach()
            self.register_buffer(f"mean_{which}", torch.zeros_like(one_SG))
            self.register_buffer(f"variance_{which}", one_SG.clone())

    def remembered(self, x_BD: Tensor) -> Tensor:
        return torch.zeros(x_BD.shape[0], 1, dtype=torch.long, device=x_BD.device)

    def remember(self, old: Tensor, state: State) -> Tensor:
        return old + 1

    def recall(
        self, p_BG: Tensor, q_BG: Tensor, state: State, kept: Tensor
    ) -> tuple[Tensor, Tensor]:
        at_B = kept[:, 0].clamp(max=self.steps - 1)
        p_BG = self.normalised("x", p_BG, self.gated.bias_x, at_B)
        return p_BG, self.normalised("h", q_BG, self.gated.bias_h, at_B)

    def normalised(self, which: str, a_BG: Tensor, bias_G: Tensor, at_B: Tensor) -> Tensor:
        """Return γ ⊙ (a - mean) / deviation + b; the bias b is in `a` and is not normalised."""
        a_BG = a_BG - bias_G
        means_SG: Tensor = getattr(self, f"mean_{which}")
        variances_SG: Tensor = getattr(self, f"variance_{which}")
        if self.training:
            mean, variance = a_BG.mean(0), a_BG.var(0, unbiased=False)
            with torch.no_grad():
                at_1 = at_B[:1]  # all rows of a batch are at one time step
                rows = len(a_BG)
                unbiased = variance * (rows / max(1, rows - 1))
                for kept_SG, now_G in ((means_SG, mean), (variances_SG, unbiased)):
                    moved = torch.lerp(kept_SG[at_1], now_G.detach()[None], self.momentum)
                    kept_SG.index_copy_(0, at_1, moved)
        else:
            mean, variance = means_SG[at_B], variances_SG[at_B]
        gain_G: Tensor = getattr(self, f"gain_{which}")
        return gain_G * (a_BG - mean) * torch.rsqrt(variance + self.epsilon) + bias_G


@dataclass(frozen=True)
class RecurrentBatchNorm(Trick):
    """Normalises a cell's pre-activations over the rows of a batch, at every time step by itself.

    a_t = BN_t(W_h h_{t-1}; γ_h) + BN_t(W_x x_t; γ_x) + b
    BN_t(z; γ) = γ ⊙ (z - μ_t) / √(σ_t² + ε)

    In training μ_t and σ_t² are the batch's, at evaluation running means of theirs (of the unbiased
    variance, as batch normalisation does), kept for each of the first `steps` time steps; later
    ones share the last. Time is counted from where the state begins. b are the cell's own biases.
    Padding counts as input. The variant without BN(c_t) in the output of an LSTM:
    h_t = σ(o_t) ⊙ tanh(c_t).

    Source: Cooijmans et al. (2017), arXiv:1603.09025, section 3 (BN-LSTM) and section 4 (γ = 0.1).
    """

    version: ClassVar[int] = 2
    declares: ClassVar[Mapping[str, str]] = {
        "rows_keep_apart": "in training, statistics are those of the batch: that is the method"
    }

    steps: int = setting(100, "time steps with statistics of their own", unit="steps", low=1)
    gain: float = setting(0.1, "γ at the start", low=0.0, search=(0.01, 1.0, "log"))
    momentum: float = setting(0.1, "share of a new batch in the running means", low=0.0, high=1.0)
    epsilon: float = setting(1e-5, "ε, added to the variance", low=1e-12)

    def cell(self, cell: Cell) -> Cell:
        return wrap_gates(cell, self.around, self.name)

    def around(self, inner: Cell) -> GateWrapper:
        return BatchNormCell(inner, self.steps, self.gain, self.momentum, self.epsilon)
