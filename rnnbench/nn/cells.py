"""Recurrent building blocks: gated cells, wrappers around a cell, and stacks of layers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Backbone, Cell, Layout, Refusal, State


class GatedCell(Cell):
    """A cell of linear maps of the input and of the old hidden state, then an elementwise update.

        p_t = W_x x_t + b_x        (for all steps at once)
        q_t = W_h h_{t-1} + b_h
        s_t = update(p_t, q_t, s_{t-1}),   h_t = s_t[0] = y_t

    Write `update` only. Parameters are named and initialised as in `torch.nn.LSTM`
    (uniform in ±1/sqrt(H)), so tricks find `weight_h`, and a fused kernel may use them.

    Args:
        d_in: D, input width.
        hidden: H, width of the hidden state and of the output.
        gates: G / H, how many pre-activations of width H each linear map yields.
        states: how many tensors of width H the state has; state[0] is the hidden state.
    """

    def __init__(self, d_in: int, hidden: int, *, gates: int = 1, states: int = 1):
        super().__init__()
        self.width, self.states = hidden, states
        self.weight_x = nn.Parameter(torch.empty(gates * hidden, d_in))
        self.weight_h = nn.Parameter(torch.empty(gates * hidden, hidden))
        self.bias_x = nn.Parameter(torch.empty(gates * hidden))
        self.bias_h = nn.Parameter(torch.empty(gates * hidden))
        bound = 1 / math.sqrt(hidden)
        for p in self.parameters():
            nn.init.uniform_(p, -bound, bound)

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Return the next state from (B, G) pre-activations and the old state of (B, H) tensors."""
        raise NotImplementedError

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        zero = x_BD.new_zeros(x_BD.shape[0], self.width)
        return (zero,) * self.states

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return F.linear(x_BTD, self.weight_x, self.bias_x)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BH = state[0] if seen_BH is None else seen_BH
        state = self.update(p_BG, F.linear(h_BH, self.weight_h, self.bias_h), state)
        return state[0], state

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)


class FusedCell(GatedCell):
    """A gated cell whose plain form torch has as one kernel (cuDNN on a GPU).

    Attributes:
        kernel: function of torch with the signature of `torch.lstm`, or None for the scan.
    """

    kernel: Any = None

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        if self.kernel is None or x_BTD.is_meta:
            return self.scan(x_BTD, state)
        state = self.initial(x_BTD[:, 0]) if state is None else state
        h0 = tuple(s.unsqueeze(0).contiguous() for s in state)
        weights = [self.weight_x, self.weight_h, self.bias_x, self.bias_h]
        y_BTH, *final = self.kernel(
            x_BTD,
            h0 if len(h0) > 1 else h0[0],
            weights,
            True,  # has biases
            1,  # layers
            0.0,  # dropout
            self.training,
            False,  # bidirectional
            True,  # batch first
        )
        return y_BTH, tuple(s.squeeze(0) for s in final)


class CellWrapper(Cell):
    """A cell around a cell: override `initial`, `advance` or `carry`; the rest goes through."""

    def __init__(self, inner: Cell):
        super().__init__()
        self.inner, self.width = inner, inner.width

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return self.inner.initial(x_BD)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return self.inner.project(x_BTD, state)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.inner.advance(p_BG, state, seen_BH)

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)

    def carry(self, state: State) -> State:
        return self.inner.carry(state)


def refuse_idle_dropout(name: str, layers: int, dropout: float) -> None:
    """Refuse dropout between layers where there is one layer: it would be ignored.

    Raises:
        Refusal: naming the architecture.
    """
    if dropout and layers == 1:
        raise Refusal(
            f"{name}: dropout = {dropout} acts between layers, and there is one layer.\n"
            "  Set layers to 2 or more, or dropout to 0."
        )


class Stack(Backbone):
    """Backbones one above the other; the state is the tuple of theirs.

    Args:
        layers: bottom first; each one's input width is the one below's output width.
        dropout: on the outputs of every layer but the last, as in `torch.nn.LSTM`.
    """

    def __init__(self, layers: Iterable[Backbone], dropout: float = 0.0):
        super().__init__()
        bottom_up = list(layers)
        self.layers = nn.ModuleList(bottom_up)
        self.dropout = dropout
        self.width = bottom_up[-1].width

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        states: list[State] = []
        for i, layer in enumerate(self.layers):
            if i and self.dropout:
                x_BTD = F.dropout(x_BTD, self.dropout, self.training)
            x_BTD, s = layer(x_BTD, None if state is None else state[i], layout)
            states.append(s)
        return x_BTD, tuple(states)

    def carry(self, state: State) -> State:
        pairs = zip(self.layers, state, strict=True)
        return tuple(cast(Backbone, layer).carry(s) for layer, s in pairs)
