"""Long short-term memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import FusedCell, Stack, claim, refuse_idle_dropout, refuse_together


class LSTMCell(FusedCell):
    """The state is (h, c); the gates are stacked in the order i, f, g, o.

    Without a forget gate, and with one that is coupled to the input gate, f is left out.
    """

    reads_hidden = False
    looped = False

    def __init__(
        self,
        d_in: int,
        hidden: int,
        forget_gate: bool = True,
        peepholes: bool = False,
        coupled: bool = False,
        forget_bias: float | None = None,
        projection: int | None = None,
    ):
        self_forgets = forget_gate and not coupled
        super().__init__(
            d_in, hidden, gates=4 if self_forgets else 3, states=2, projection=projection
        )
        self.forget_gate, self.coupled, self.peepholes = forget_gate, coupled, peepholes
        self.kernel = torch.lstm if self_forgets and not peepholes else None
        if peepholes:
            self.peephole_i = nn.Parameter(torch.empty(hidden))
            self.peephole_o = nn.Parameter(torch.empty(hidden))
            if self_forgets:
                self.peephole_f = nn.Parameter(torch.empty(hidden))
            self.initialise(p for name, p in self.named_parameters() if "peephole" in name)
        if forget_bias is not None:
            claim(self, "the bias of the forget gate", "the setting forget_bias of lstm")
            with torch.no_grad():
                self.bias_x[hidden : 2 * hidden] = forget_bias
                self.bias_h[hidden : 2 * hidden] = 0.0

    @property
    def gate_names(self) -> tuple[str, ...]:
        """Return the gates' names: see `rnnbench.nn.cells.gate_names`."""
        if self.coupled:
            return "update", "candidate", "output"
        return ("input", *(["forget"] if self.forget_gate else []), "candidate", "output")

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        gates, (_, c) = gates_x + gates_h, state
        if self.forget_gate and not self.coupled:
            i, f, g, o = gates.chunk(4, -1)
            if self.peepholes:
                f = f + self.peephole_f * c
        else:
            i, g, o = gates.chunk(3, -1)
        if self.peepholes:
            i = i + self.peephole_i * c
        i = torch.sigmoid(i)
        if self.coupled:
            c = (1 - i) * c + i * torch.tanh(g)
        elif self.forget_gate:
            c = torch.sigmoid(f) * c + i * torch.tanh(g)
        else:
            c = c + i * torch.tanh(g)
        if self.peepholes:
            o = o + self.peephole_o * c
        return torch.sigmoid(o) * torch.tanh(c), c


@dataclass(frozen=True)
class LSTM(Architecture):
    """Long short-term memory.

    [i f g o] = W_x x_t + b_x + W_h h_{t-1} + b_h
    c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(g),   h_t = σ(o) ⊙ tanh(c_t)

    forget_gate=false: c_t = c_{t-1} + σ(i) ⊙ tanh(g), the cell of 1997 with today's squashing.
    coupled=true: σ(f) = 1 − σ(i), so that there are three gates' parameters.
    peepholes=true: p_i ⊙ c_{t-1} is added to i, p_f ⊙ c_{t-1} to f, p_o ⊙ c_t to o: the output
    gate sees the new c.
    forget_bias=b: there are two bias vectors, as in torch; b_x of f starts at b and b_h of f at 0,
    so that their sum is b.
    projection=P: r_t = W_r h_t of width P is what W_h, and the layer above, read in place of h_t.

    Source: Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; forget gate: Gers,
    Schmidhuber & Cummins (2000), doi:10.1162/089976600300015015; peepholes: Gers & Schmidhuber
    (2000), doi:10.1109/IJCNN.2000.861302, and Graves (2013), arXiv:1308.0850, eqs. 7-11; coupled
    gates: Greff et al. (2017), arXiv:1503.04069, section 4; projection: Sak, Senior & Beaufays
    (2014), arXiv:1402.1128.
    """

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)
    forget_gate: bool = setting(True, "false: the cell of 1997, which cannot forget")
    peepholes: bool = setting(False, "gates see the memory cell")
    coupled: bool = setting(False, "the forget gate is 1 - the input gate")
    forget_bias: float | None = setting(
        None, "start of the forget gate's bias (of the sum of both vectors); null: as the others"
    )
    projection: int | None = setting(
        None, "width of W_r h, which the recurrence and the layers above read; null: none", low=1
    )
    residual: bool = setting(False, "every layer but the first adds its input to its output")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout, self.residual)
        if self.coupled and not self.forget_gate:
            refuse_together(
                self.name, "coupled = true", "forget_gate = false",
                "a coupled cell forgets by its input gate",
            )  # fmt: skip
        if self.forget_bias is not None and (self.coupled or not self.forget_gate):
            other = "coupled = true" if self.coupled else "forget_gate = false"
            refuse_together(
                self.name, f"forget_bias = {self.forget_bias}", other,
                "there is no forget gate with a bias of its own",
            )  # fmt: skip

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        width = self.hidden if self.projection is None else self.projection
        cells = (
            LSTMCell(
                d, self.hidden, self.forget_gate, self.peepholes, self.coupled, self.forget_bias,
                self.projection,
            )
            for d in [d_in] + [width] * (self.layers - 1)
        )  # fmt: skip
        return Stack(cells, self.dropout, self.residual)
