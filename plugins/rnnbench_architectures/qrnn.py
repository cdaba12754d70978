"""The quasi-recurrent network: convolutions over time, and a pooling that has no parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Cell, Layout, Refusal, State, setting
from rnnbench.nn import Stack, linear_scan, mapped, refuse_idle_dropout, refuse_seen, scan

GATES = {"f": 2, "fo": 3, "ifo": 4}


class QRNNPooling(Cell):
    """The recurrence of the network, which reads gates and has no parameters; its state is (c,)."""

    def __init__(self, pooling: str):
        super().__init__()
        self.pooling = pooling

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        f, added, o = self.gates(p_BG)
        c_BH = f * state[0] + added
        return o * c_BH, (c_BH,)

    def pool(self, p_BTG: Tensor, c_BH: Tensor) -> tuple[Tensor, State]:
        """Take all steps at once."""
        done = scan.run_linear(self, p_BTG, (c_BH,))
        if done is not None:
            return done
        f, added, o = self.gates(p_BTG)
        c_BTH = linear_scan(f, added, c_BH)
        return o * c_BTH, (c_BTH[:, -1],)

    def gates(self, p: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
        """Return f, what is added to f ⊙ c, and by what c is multiplied for the output."""
        z, f, *more = p.chunk(GATES[self.pooling], -1)
        z, f = torch.tanh(z), torch.sigmoid(f)
        i = torch.sigmoid(more[1]) if self.pooling == "ifo" else 1 - f
        return f, i * z, torch.sigmoid(more[0]) if more else 1.0


POOLINGS = {pooling: QRNNPooling(pooling) for pooling in GATES}


class QRNNCell(Cell):
    """The state is (c, the last k - 1 inputs); the maps are stacked in the order z, f, o, i.

    `weight` reads a window of k inputs, the oldest first.
    """

    def __init__(self, d_in: int, hidden: int, kernel: int, pooling: str):
        super().__init__()
        self.width, self.kernel, self.pooling = hidden, kernel, pooling
        self.apart = (1,) if kernel > 1 else ()
        self.weight = nn.Parameter(torch.empty(GATES[pooling] * hidden, kernel, d_in))
        self.bias = nn.Parameter(torch.empty(GATES[pooling] * hidden))
        bound = 1 / math.sqrt(d_in * kernel)
        for p in (self.weight, self.bias):
            nn.init.uniform_(p, -bound, bound)

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        rows, width = x_BD.shape
        c_BH = x_BD.new_zeros(rows, self.width)
        return (c_BH, x_BD.new_zeros(rows, self.kernel - 1, width)) if self.apart else (c_BH,)

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        window_BKD = torch.cat([*state[1:], x_BD[:, None]], 1)
        p_BG = F.linear(window_BKD.flatten(1), self.weight.flatten(1), self.bias)
        y_BH, pooled = POOLINGS[self.pooling].advance(p_BG, state)
        past = (window_BKD[:, 1:],) if self.apart else ()
        return y_BH, (*pooled, *past)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        refuse_seen(self, seen_BH)
        return self.step(p_BG, state)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        state = self.initial(x_BTD[:, 0]) if state is None else state
        steps, whole_BLD = x_BTD.shape[1], torch.cat([*state[1:], x_BTD], 1)
        windows = [whole_BLD[:, k : k + steps] for k in range(self.kernel)]
        # One product over whole windows: a sum of products over parts of them would pass over all
        # gates once more for each.
        window_BTK = torch.cat(windows, -1) if self.apart else x_BTD
        p_BTG = mapped(window_BTK, self.weight.flatten(1), self.bias)
        past = (whole_BLD[:, steps:],) if self.apart else ()
        y_BTH, pooled = POOLINGS[self.pooling].pool(p_BTG, state[0])
        return y_BTH, (*pooled, *past)


@dataclass(frozen=True)
class QRNN(Architecture):
    """Quasi-recurrent network: gates by convolutions over time, then pooling over time.

    [z f o i] of step t are linear in x_{t-k+1} … x_t, then tanh for z and σ for the others:
    pooling=f:    h_t = f ⊙ h_{t-1} + (1 − f) ⊙ z
    pooling=fo:   c_t = f ⊙ c_{t-1} + (1 − f) ⊙ z,   h_t = o ⊙ c_t
    pooling=ifo:  c_t = f ⊙ c_{t-1} + i ⊙ z,         h_t = o ⊙ c_t

    Inputs before the first are 0. Only the first layer has the wide kernel unless `kernel_above`
    says otherwise; language models of this kind read two words there, and one state above.

    Source: Bradbury, Merity, Xiong & Socher (2016), arXiv:1611.01576, section 2; the kernels:
    Merity, Keskar & Socher (2018), An analysis of neural language modeling at multiple scales,
    arXiv:1803.08240.
    """

    name: ClassVar[str] = "qrnn"

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(2, "layers, one above the other", low=1, search=(2, 4))
    kernel: int = setting(2, "k of the first layer", unit="steps", low=1, high=8, search=(1, 4))
    kernel_above: int = setting(1, "k of the layers above it", unit="steps", low=1, high=8)
    pooling: Literal["f", "fo", "ifo"] = setting("fo", "which gates the pooling has")
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)
    residual: bool = setting(False, "every layer but the first adds its input to its output")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout, self.residual)
        if self.layers == 1 and self.kernel_above != 1:
            raise Refusal(
                f"qrnn: kernel_above = {self.kernel_above} is of the layers above the first, and "
                "there is one layer.\n"
                "  Set architecture.layers=2 or more, or architecture.kernel_above=1."
            )

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        cells = (
            QRNNCell(
                self.hidden if i else d_in, self.hidden,
                self.kernel_above if i else self.kernel, self.pooling,
            )
            for i in range(self.layers)
        )  # fmt: skip
        return Stack(cells, self.dropout, self.residual)
