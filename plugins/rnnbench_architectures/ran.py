"""The recurrent additive network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import GatedCell, Stack, refuse_idle_dropout


class RANCell(GatedCell):
    """The state is (h, c); the gates are stacked in the order i, f, then what is added.

    What is added is linear in the input alone, so the recurrent matrix has two gates and the
    input's three.
    """

    gate_names: ClassVar[tuple[str, ...]] = ("input", "forget")
    reads_hidden = False

    def __init__(self, d_in: int, hidden: int, activation: str):
        super().__init__(d_in, hidden, gates=2, states=2)
        self.activation = activation
        self.weight_x = nn.Parameter(torch.empty(3 * hidden, d_in))
        self.bias_x = nn.Parameter(torch.empty(3 * hidden))
        self.initialise((self.weight_x, self.bias_x))
        with torch.no_grad():
            self.bias_x[2 * hidden :] = 0.0  # the paper's W_cx x has no bias

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        n, (_, c_old) = self.hidden, state
        i, f = torch.sigmoid(gates_x[..., : 2 * n] + gates_h).chunk(2, -1)
        c = i * gates_x[..., 2 * n :] + f * c_old
        return (torch.tanh(c) if self.activation == "tanh" else c), c


@dataclass(frozen=True)
class RAN(Architecture):
    """Recurrent additive network: an LSTM whose memory is a weighted sum of its inputs.

    [i f] = σ(W x_t + U h_{t-1} + b),   c_t = i ⊙ (W_c x_t) + f ⊙ c_{t-1},   h_t = g(c_t)

    g = tanh or the identity. W_c x has a bias here, which starts at 0 (the paper has none).

    Source: Lee, Levy & Zettlemoyer (2017), arXiv:1705.07393, eq. 2.
    """

    name: ClassVar[str] = "ran"

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    activation: Literal["tanh", "identity"] = setting("tanh", "g, of the output")
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)
    residual: bool = setting(False, "every layer but the first adds its input to its output")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout, self.residual)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        widths = [d_in] + [self.hidden] * (self.layers - 1)
        cells = (RANCell(d, self.hidden, self.activation) for d in widths)
        return Stack(cells, self.dropout, self.residual)
