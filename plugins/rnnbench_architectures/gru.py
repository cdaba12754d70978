"""Gated recurrent unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import FusedCell, Stack, refuse_idle_dropout, refuse_together


class GRUCell(FusedCell):
    """The gates are stacked in the order r, z, n, as in torch.

    With the reset gate before the product, the candidate's product has to wait for it, so that a
    step has two recurrent products instead of one.
    """

    gate_names: ClassVar[tuple[str, ...]] = ("reset", "forget", "candidate")  # z keeps

    def __init__(self, d_in: int, hidden: int, reset: str = "after", projection: int | None = None):
        super().__init__(d_in, hidden, gates=3, projection=projection)
        self.reset = reset
        self.kernel = torch.gru if reset == "after" and projection is None else None

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        rx, zx, nx = gates_x.chunk(3, -1)
        rh, zh, nh = gates_h.chunk(3, -1)
        z = torch.sigmoid(zx + zh)
        n = torch.tanh(nx + torch.sigmoid(rx + rh) * nh)
        return ((1 - z) * n + z * state[0],)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if self.reset == "after":
            return super().advance(p_BG, state, seen_BH)
        h_BH = state[0] if seen_BH is None else seen_BH
        both = 2 * self.hidden
        q_B2H = F.linear(h_BH, self.weight_h[:both], self.bias_h[:both])
        r, z = torch.sigmoid(p_BG[:, :both] + q_B2H).chunk(2, -1)
        candidate = F.linear(r * h_BH, self.weight_h[both:], self.bias_h[both:])
        n = torch.tanh(p_BG[:, both:] + candidate)
        new_BH = (1 - z) * n + z * state[0]
        return new_BH, (new_BH,)


@dataclass(frozen=True)
class GRU(Architecture):
    """Gated recurrent unit.

    r = σ(W_r x_t + U_r h_{t-1}),   z = σ(W_z x_t + U_z h_{t-1})
    n = tanh(W_n x_t + b + r ⊙ (U_n h_{t-1} + b′)),   h_t = (1 − z) ⊙ n + z ⊙ h_{t-1}

    Each product has a bias of its own. That is reset=after, cuDNN's and torch's form;
    reset=before is that of Cho et al.: n = tanh(W_n x_t + b + U_n (r ⊙ h_{t-1}) + b′). Their z and
    1 − z have changed places here, as in torch.
    projection=P: W_r h_t of width P is what the U, and the layer above, read in place of h_t.

    Source: Cho et al. (2014), arXiv:1406.1078, eqs. 5-8; the placement of r follows
    Appleyard et al. (2016), arXiv:1604.01946.
    """

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)
    reset: Literal["after", "before"] = setting(
        "after", "the reset gate acts after the recurrent product (cuDNN) or before it (Cho)"
    )
    projection: int | None = setting(
        None, "width of W_r h, which the recurrence and the layers above read; null: none", low=1
    )
    residual: bool = setting(False, "every layer but the first adds its input to its output")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout, self.residual)
        if self.projection is not None and self.reset == "before":
            refuse_together(
                self.name, f"projection = {self.projection}", "reset = before",
                "the reset gate is as wide as h, and the product reads its projection",
            )  # fmt: skip

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        width = self.hidden if self.projection is None else self.projection
        cells = (
            GRUCell(d, self.hidden, self.reset, self.projection)
            for d in [d_in] + [width] * (self.layers - 1)
        )
        return Stack(cells, self.dropout, self.residual)
