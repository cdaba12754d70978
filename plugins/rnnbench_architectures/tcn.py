"""Temporal convolutional network: dilated causal convolutions in residual blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Backbone, Layout, State, setting


class CausalConvolution(nn.Module):
    """A dilated convolution over the past, with w = g v / |v| for each filter.

    The state is the inputs that it still needs.
    """

    def __init__(self, d_in: int, width: int, kernel: int, dilation: int):
        super().__init__()
        self.reach, self.dilation = (kernel - 1) * dilation, dilation
        start = nn.Conv1d(d_in, width, kernel)  # torch's initialisation
        self.direction = nn.Parameter(start.weight.detach())
        self.gain = nn.Parameter(start.weight.detach().flatten(1).norm(dim=1))
        assert start.bias is not None
        self.bias = nn.Parameter(start.bias.detach())

    def forward(self, x_BCT: Tensor, past_BCR: Tensor | None) -> tuple[Tensor, Tensor]:
        if past_BCR is None:
            past_BCR = x_BCT.new_zeros(*x_BCT.shape[:2], self.reach)
        with_past = torch.cat([past_BCR, x_BCT], 2)
        norm_C = self.direction.flatten(1).norm(dim=1)
        weight_CDK = self.direction * (self.gain / norm_C)[:, None, None]
        y_BCT = F.conv1d(with_past, weight_CDK, self.bias, dilation=self.dilation)
        return y_BCT, with_past[:, :, with_past.shape[2] - self.reach :]


class Block(nn.Module):
    """A block of two convolutions, and the input added; see `TCN`."""

    def __init__(self, d_in: int, width: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        self.first = CausalConvolution(d_in, width, kernel, dilation)
        self.second = CausalConvolution(width, width, kernel, dilation)
        self.skip = nn.Conv1d(d_in, width, 1) if d_in != width else nn.Identity()
        if isinstance(self.skip, nn.Conv1d):
            nn.init.normal_(self.skip.weight, std=0.01)
        self.dropout = dropout

    def forward(self, x_BCT: Tensor, state: State) -> tuple[Tensor, State]:
        one, two = (None, None) if state is None else state
        h, one = self.first(x_BCT, one)
        h, two = self.second(self.drop(F.relu(h)), two)
        return F.relu(self.drop(F.relu(h)) + self.skip(x_BCT)), (one, two)

    def drop(self, x_BCT: Tensor) -> Tensor:
        return F.dropout1d(x_BCT, self.dropout, self.training)


class TCNStack(Backbone):
    """The backbone of `TCN`. The state has each convolution's last inputs that it still needs."""

    def __init__(self, architecture: TCN, d_in: int):
        super().__init__()
        a = architecture
        self.width = a.hidden
        self.blocks = nn.ModuleList(
            Block(a.hidden if i else d_in, a.hidden, a.kernel, 2**i, a.dropout)
            for i in range(a.layers)
        )

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        h_BCT, new = x_BTD.transpose(1, 2), []
        states = (None,) * len(self.blocks) if state is None else state
        for block, old in zip(self.blocks, states, strict=True):
            h_BCT, kept = block(h_BCT, old)
            new.append(kept)
        return h_BCT.transpose(1, 2), tuple(new)


@dataclass(frozen=True)
class TCN(Architecture):
    """Stacked dilated causal convolutions: memory of a fixed length, and no recurrence.

    F(s) = (x *_d f)(s) = Σ_{i<k} f(i) x_{s - d i},  d = 2^i in block i
    o = ReLU(x + G(x)),  G = dropout ReLU F₂ dropout ReLU F₁;  a 1×1 convolution of x where its
    width is another

    Weights are normalised (w = g v / |v|); dropout drops whole channels. What lies before the
    first step is zero in every layer. A step sees 1 + 2 (k - 1) (2^layers - 1) steps. Convolutions
    start as torch's, the 1×1 one from N(0, 0.01²), as in the authors' code.

    Source: Bai, Kolter and Koltun (2018), arXiv:1803.01271, section 3.
    """

    name: ClassVar[str] = "tcn"
    version: ClassVar[int] = 2
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "layers": 2, "kernel": 2}

    hidden: int = setting(64, "channels of a layer", unit="units", low=1, search=(16, 256, "log"))
    layers: int = setting(6, "blocks; each doubles the dilation", low=1, search=(2, 9))
    kernel: int = setting(5, "steps that a filter sees", unit="steps", low=2, search=(2, 9))
    dropout: float = setting(0.0, "of channels, after each convolution", low=0.0, high=0.95)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        return TCNStack(self, d_in)
