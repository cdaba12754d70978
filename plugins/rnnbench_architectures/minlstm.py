"""The minimal long short-term memory of Feng et al., whose time steps are made at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import GatedLinearCell, Stack, refuse_idle_dropout


class MinLSTMCell(GatedLinearCell):
    """The gates are stacked in the order f, i, h̃."""

    def __init__(self, d_in: int, hidden: int, candidate: str):
        super().__init__(d_in, hidden, gates=3)
        self.candidate = candidate

    def factors(self, p: Tensor) -> tuple[Tensor, Tensor]:
        f, i, candidate = p.chunk(3, -1)
        if self.candidate == "positive":
            candidate = torch.where(candidate >= 0, candidate + 0.5, candidate.sigmoid())
        # σ(f) / (σ(f) + σ(i)) = (1 + e⁻ⁱ) / ((1 + e⁻ⁱ) + (1 + e⁻ᶠ)), each over the largest of its
        # terms, so that nothing overflows and there is no 0 / 0.
        largest = torch.maximum(-f, -i).clamp(min=0.0).detach()
        one = torch.exp(-largest)
        forgets, enters = one + torch.exp(-f - largest), one + torch.exp(-i - largest)
        share = 1 / (forgets + enters)
        return enters * share, forgets * share * candidate


@dataclass(frozen=True)
class MinLSTM(Architecture):
    """LSTM without output gate and memory cell, whose gates see the input only and sum to 1.

    f = σ(W_f x_t + b_f),   i = σ(W_i x_t + b_i),   f′ = f / (f + i),   i′ = i / (f + i)
    h_t = f′ ⊙ h_{t-1} + i′ ⊙ g(W_h x_t + b_h),   h_0 = 0

    g is as in `mingru`. The paper computes log h by a scan of logarithms; here the same h comes
    from core's linear scan, which needs no logarithm.

    Source: Feng, Tung, Ahmed, Bengio & Hajimirsadeghi (2024), Were RNNs all we needed?,
    arXiv:2410.01201, section 3.2 and appendix B.
    """

    name: ClassVar[str] = "minlstm"

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(2, "layers, one above the other", low=1, search=(1, 4))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)
    candidate: Literal["positive", "linear"] = setting(
        "positive", "g: keeps the state positive, or leaves the candidate as it is"
    )
    residual: bool = setting(False, "every layer but the first adds its input to its output")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout, self.residual)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        cells = (MinLSTMCell(d, self.hidden, self.candidate) for d in widths)
        return Stack(cells, self.dropout, self.residual)
