"""Layers one above the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Backbone, Layout, State


class Stack(Backbone):
    """A backbone of layers one above the other; its state is the tuple of theirs.

    Args:
        layers: bottom first; each one's input width is the one below's output width.
        dropout: on the outputs of every layer but the last, as in `torch.nn.LSTM`.
        residual: every layer but the first adds its input to its output (Wu et al. 2016,
            arXiv:1609.08144, section 3.1). What it adds was not dropped.
    Raises:
        ValueError: residual, and a layer above the first is not as wide as the one below.
    """

    def __init__(self, layers: Iterable[Backbone], dropout: float = 0.0, residual: bool = False):
        super().__init__()
        bottom_up = list(layers)
        widths = [layer.width for layer in bottom_up]
        if residual and len(set(widths)) > 1:
            raise ValueError(f"residual connections need layers of equal width, not {widths}")
        self.layers = nn.ModuleList(bottom_up)
        self.dropout, self.residual = dropout, residual
        self.width = widths[-1]

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        states: list[State] = []
        for i, layer in enumerate(self.layers):
            below = x_BTD
            if i and self.dropout:
                x_BTD = F.dropout(x_BTD, self.dropout, self.training)
            x_BTD, s = layer(x_BTD, None if state is None else state[i], layout)
            if i and self.residual:
                x_BTD = x_BTD + below
            states.append(s)
        return x_BTD, tuple(states)

    def carry(self, state: State) -> State:
        pairs = zip(self.layers, state, strict=True)
        return tuple(cast(Backbone, layer).carry(s) for layer, s in pairs)
