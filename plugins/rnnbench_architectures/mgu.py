"""The minimal gated unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import GatedCell, Stack, refuse_idle_dropout


class MGUCell(GatedCell):
    """The gates are stacked in the order f, h̃, of which h̃'s product has to wait for f."""

    gate_names: ClassVar[tuple[str, ...]] = ("update", "candidate")

    def __init__(self, d_in: int, hidden: int):
        super().__init__(d_in, hidden, gates=2)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BH = state[0] if seen_BH is None else seen_BH
        n = self.hidden
        q_f = F.linear(h_BH, self.weight_h[:n], self.bias_h[:n])
        f_BH = torch.sigmoid(p_BG[:, :n] + q_f)
        q_c = F.linear(f_BH * h_BH, self.weight_h[n:], self.bias_h[n:])
        new_BH = (1 - f_BH) * state[0] + f_BH * torch.tanh(p_BG[:, n:] + q_c)
        return new_BH, (new_BH,)


@dataclass(frozen=True)
class MGU(Architecture):
    """Minimal gated unit: a GRU whose one gate both resets and updates.

    f = σ(W_f x_t + U_f h_{t-1} + b_f),   h̃ = tanh(W_h x_t + U_h (f ⊙ h_{t-1}) + b_h)
    h_t = (1 − f) ⊙ h_{t-1} + f ⊙ h̃

    Each product has a bias of its own, as in the cells of torch; the sum of both is the paper's b.

    Source: Zhou, Wu, Zhang & Zhou (2016), arXiv:1603.09420, eqs. 15-17.
    """

    name: ClassVar[str] = "mgu"

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)
    residual: bool = setting(False, "every layer but the first adds its input to its output")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout, self.residual)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        return Stack((MGUCell(d, self.hidden) for d in widths), self.dropout, self.residual)
