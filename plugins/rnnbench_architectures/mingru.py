"""The minimal gated recurrent unit of Feng et al., whose time steps are made at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import GatedLinearCell, Stack, refuse_idle_dropout


class MinGRUCell(GatedLinearCell):
    """The gates are stacked in the order z, h̃."""

    def __init__(self, d_in: int, hidden: int, candidate: str):
        super().__init__(d_in, hidden, gates=2)
        self.candidate = candidate

    def factors(self, p: Tensor) -> tuple[Tensor, Tensor]:
        z, candidate = p.chunk(2, -1)
        if self.candidate == "positive":
            candidate = torch.where(candidate >= 0, candidate + 0.5, candidate.sigmoid())
        return torch.sigmoid(-z), torch.sigmoid(z) * candidate


@dataclass(frozen=True)
class MinGRU(Architecture):
    """GRU without reset gate, whose gate and candidate see the input only.

    z_t = σ(W_z x_t + b_z),   h̃_t = g(W_h x_t + b_h),   h_t = (1 − z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t

    g(a) = a + 0.5 where a ≥ 0, else σ(a), which keeps the state positive (candidate=positive, the
    form that the paper trains, in log-space); or g(a) = a (candidate=linear). h_0 = 0. The paper
    computes log h by a scan of logarithms; here the same h comes from core's linear scan, which
    needs no logarithm.

    Source: Feng, Tung, Ahmed, Bengio & Hajimirsadeghi (2024), Were RNNs all we needed?,
    arXiv:2410.01201, section 3.1 and appendix B.
    """

    name: ClassVar[str] = "mingru"

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
        cells = (MinGRUCell(d, self.hidden, self.candidate) for d in widths)
        return Stack(cells, self.dropout, self.residual)
