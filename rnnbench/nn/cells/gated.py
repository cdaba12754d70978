"""Gated cells: linear maps of the input and of the old state, then an elementwise update."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Layout, State
from rnnbench.nn import scan
from rnnbench.nn.cells.fast import FastCell


class GatedCell(FastCell):
    """A cell of linear maps of the input and of the old hidden state, then an elementwise update.

        p_t = W_x x_t + b_x        (for all steps at once)
        q_t = W_h h_{t-1} + b_h
        s_t = update(p_t, q_t, s_{t-1}),   h_t = s_t[0] = y_t

    Write `update` only, elementwise, pure, and without random numbers: core makes it fast in
    training too. It may use other parameters and settings of the cell. Parameters are named and
    initialised as in `torch.nn.LSTM` (uniform in ±1/sqrt(H)), so tricks find `weight_h`, and a
    fused kernel may use them.

    With a projection, r_t = W_r h_t of width P is what W_h and the layers above read in place of
    h_t (Sak, Senior & Beaufays 2014, arXiv:1402.1128, section 2): W_h is (G, P), and r_t takes the
    place of h_t as state[0] and as the output. Where `update` reads h_{t-1}, the state is
    (r, h, ...).

    Args:
        d_in: D, input width.
        hidden: H, width of the hidden state, and of the output without projection.
        gates: G / H, how many pre-activations of width H each linear map yields.
        states: how many tensors of width H the state has; state[0] is the hidden state.
        projection: P, or None.
    Attributes:
        reads_hidden: `update` reads state[0], not only through its product.
    """

    reads_hidden: bool = True

    def __init__(
        self,
        d_in: int,
        hidden: int,
        *,
        gates: int = 1,
        states: int = 1,
        projection: int | None = None,
    ):
        super().__init__()
        self.hidden, self.states, self.projection = hidden, states, projection
        self.width = hidden if projection is None else projection
        self.weight_x = nn.Parameter(torch.empty(gates * hidden, d_in))
        self.weight_h = nn.Parameter(torch.empty(gates * hidden, self.width))
        self.bias_x = nn.Parameter(torch.empty(gates * hidden))
        self.bias_h = nn.Parameter(torch.empty(gates * hidden))
        if projection is not None:
            self.weight_r = nn.Parameter(torch.empty(projection, hidden))
        self.initialise(self.parameters())

    def initialise(self, parameters: Iterable[nn.Parameter]) -> None:
        """Initialise parameters uniformly in ±1/sqrt(H)."""
        bound = 1 / math.sqrt(self.hidden)
        for p in parameters:
            nn.init.uniform_(p, -bound, bound)

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Return the next state from (B, G) pre-activations and the old state of (B, H) tensors."""
        raise NotImplementedError

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        zero = x_BD.new_zeros(x_BD.shape[0], self.hidden)
        state = (zero,) * self.states
        if self.projection is None:
            return state
        return self.projected(x_BD.new_zeros(x_BD.shape[0], self.width), state)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return scan.linear(x_BTD, self.weight_x, self.bias_x)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BH = state[0] if seen_BH is None else seen_BH
        return self.settle(p_BG, F.linear(h_BH, self.weight_h, self.bias_h), state)

    def settle(
        self, p_BG: Tensor, q_BG: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Finish a step once both products are made: update, and project."""
        if self.projection is None:
            state = self.update(p_BG, q_BG, state)
            return state[0], state
        new = self.update(p_BG, q_BG, state[1:] if self.reads_hidden else state)
        r_BP = F.linear(new[0], self.weight_r)
        return r_BP, self.projected(r_BP, new)

    def projected(self, r_BP: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the state of a cell with projection, from r and what `update` gives."""
        return (r_BP, *(state if self.reads_hidden else state[1:]))

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)


class FusedCell(GatedCell):
    """A gated cell whose plain form torch has as one kernel (cuDNN on a GPU).

    On the CPU torch loops over the operators of a GRU and an Elman network; the C tier of the scan
    is quicker, and takes runs that are long enough to earn back its building.

    Attributes:
        kernel: function of torch with the signature of `torch.lstm`, or None for the scan.
        looped: the kernel is a loop over operators on the CPU, where the C tier is quicker, as
            `python -m rnnbench.benchmarks cells` measures.
    """

    kernel: Any = None
    looped: bool = True

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        # torch has a kernel for projections on a GPU; on the CPU the scan is faster.
        projected = self.projection is not None
        if self.kernel is None or x_BTD.is_meta or (projected and not x_BTD.is_cuda):
            return super().forward(x_BTD, state, layout)
        state = self.initial(x_BTD[:, 0]) if state is None else state
        if self.looped and scan.takes_plain_cells(x_BTD):
            done = scan.run(self, self.project(x_BTD, state), state, (), instead="fused")
            if done is not None:
                return done
        else:
            scan.note(self, "fused")
        h0 = tuple(s.unsqueeze(0).contiguous() for s in state)
        weights = [self.weight_x, self.weight_h, self.bias_x, self.bias_h]
        if projected:
            weights.append(self.weight_r)
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
