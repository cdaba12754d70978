"""Recurrent building blocks: gated cells, wrappers around a cell, and stacks of layers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from rnnbench.contract import Backbone, Cell, Layout, Refusal, State
from rnnbench.nn import scan


class FastCell(Cell):
    """A cell whose `forward` runs in the fastest tier of the scan that its step fits.

    Any cell may derive from it; what is gained is in `rnnbench.nn.scan`. `scan` stays the eager
    loop, which every tier is checked against.
    """

    def draw_noise(self, steps: int, state: State) -> Any:
        """Random numbers of all steps, drawn before the first: a nested tuple of (T, B, ...)."""
        return ()

    def tick(
        self, p_BG: Tensor, state: State, noise: Any, seen_BH: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`advance` on random numbers that were drawn before."""
        return self.advance(p_BG, state, seen_BH)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        state = self.initial(x_BTD[:, 0]) if state is None else state
        p_BTG = self.project(x_BTD, state)
        noise = self.draw_noise(p_BTG.shape[1], state)
        done = scan.run(self, p_BTG, state, noise)
        return scan.unroll(self, p_BTG, state, noise) if done is None else done

    def scan(self, x_BTD: Tensor, state: State = None) -> tuple[Tensor, State]:
        state = self.initial(x_BTD[:, 0]) if state is None else state
        p_BTG = self.project(x_BTD, state)
        return scan.unroll(self, p_BTG, state, self.draw_noise(p_BTG.shape[1], state))


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
        """What `advance` does once both products are made: update, and project."""
        if self.projection is None:
            state = self.update(p_BG, q_BG, state)
            return state[0], state
        new = self.update(p_BG, q_BG, state[1:] if self.reads_hidden else state)
        r_BP = F.linear(new[0], self.weight_r)
        return r_BP, self.projected(r_BP, new)

    def projected(self, r_BP: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state of a cell with projection, from r and what `update` gives."""
        return (r_BP, *(state if self.reads_hidden else state[1:]))

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
        # torch has a kernel for projections on a GPU; on the CPU the scan is faster.
        projected = self.projection is not None
        if self.kernel is None or x_BTD.is_meta or (projected and not x_BTD.is_cuda):
            return super().forward(x_BTD, state, layout)
        scan.note(self, "fused")
        state = self.initial(x_BTD[:, 0]) if state is None else state
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


class CellWrapper(FastCell):
    """A cell around a cell: override what you change; the rest goes through.

    `noise`, `mix` and `read` keep the speed of a gated cell, as long as they are elementwise.
    `advance` may be overridden instead, and then draws its random numbers step by step: where it
    draws any, only the eager loop runs it.

    Attributes:
        fixed: how many tensors it appends to the state (in `initial`) that stay as they are
            through a scan, such as masks.
    """

    fixed: int = 0

    def __init__(self, inner: Cell):
        super().__init__()
        self.inner, self.width, self.apart = inner, inner.width, inner.apart

    def noise(self, steps: int, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Random numbers of all steps, each (T, B, ...): bool, or of the state's precision.

        Args:
            state: the part of it that changes.
        """
        return ()

    def mix(
        self,
        old: tuple[Tensor, ...],
        new: tuple[Tensor, ...],
        noise: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """The next state from the old one, the inner cell's, and this step's random numbers."""
        return new

    def read(self, h_BH: Tensor, own: tuple[Tensor, ...]) -> Tensor:
        """What the recurrent product reads in place of the hidden state.

        Args:
            own: the fixed tensors of this wrapper.
        """
        return h_BH

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return self.inner.initial(x_BD)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return self.inner.project(x_BTD, self._parts(state)[0])

    def draw_noise(self, steps: int, state: State) -> Any:
        return () if self._advances else self._drawn(steps, state)

    def tick(
        self, p_BG: Tensor, state: State, noise: Any, seen_BH: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if self._advances:
            return self.advance(p_BG, state, seen_BH)
        return self._mixed(p_BG, state, noise, seen_BH)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        noise = pytree.tree_map(lambda n: n[0], self._drawn(1, state))
        return self._mixed(p_BG, state, noise, seen_BH)

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.project(x_BD[:, None], state)[:, 0], state)

    def carry(self, state: State) -> State:
        inner, own = self._parts(state)
        return (*self.inner.carry(inner), *own)

    @property
    def still(self) -> int:
        """How many tensors at the end of the state stay fixed: its own and those below."""
        return self.fixed + getattr(self.inner, "still", 0)

    @property
    def _advances(self) -> bool:
        """A subclass has an `advance` of its own, which must be called."""
        return type(self).advance is not CellWrapper.advance

    def _parts(self, state: tuple[Tensor, ...]) -> tuple[Any, tuple[Tensor, ...]]:
        """The inner cell's state, and the tensors that are this wrapper's own."""
        if not self.fixed:  # the state may be of any form
            return state, ()
        return state[: -self.fixed], state[-self.fixed :]

    def _drawn(self, steps: int, state: State) -> Any:
        inner, _ = self._parts(state)
        below = self.inner.draw_noise(steps, inner) if isinstance(self.inner, FastCell) else ()
        return self.noise(steps, state[: len(state) - self.still]), below

    def _mixed(
        self, p_BG: Tensor, state: State, noise: Any, seen_BH: Tensor | None
    ) -> tuple[Tensor, State]:
        drawn, below = noise
        inner, own = self._parts(state)
        if type(self).read is not CellWrapper.read:
            seen_BH = self.read(inner[0] if seen_BH is None else seen_BH, own)
        if isinstance(self.inner, FastCell):
            y_BH, new = self.inner.tick(p_BG, inner, below, seen_BH)
        else:
            y_BH, new = self.inner.advance(p_BG, inner, seen_BH)
        moving = len(new) - getattr(self.inner, "still", 0)
        mixed = self.mix(inner[:moving], new[:moving], drawn)
        # A cell whose output is its hidden state puts out the mixed one.
        y_BH = mixed[0] if y_BH is new[0] else y_BH
        return y_BH, (*mixed, *new[moving:], *own)


def refuse_idle_dropout(name: str, layers: int, dropout: float, residual: bool = False) -> None:
    """Refuse what acts between layers where there is one layer: it would be ignored.

    Raises:
        Refusal: naming the architecture.
    """
    for what, given, none in (("dropout", dropout, 0), ("residual", residual, "false")):
        if given and layers == 1:
            shown = str(given).lower() if given is True else given
            raise Refusal(
                f"{name}: {what} = {shown} acts between layers, and there is one layer.\n"
                f"  Set layers to 2 or more, or {what} to {none}."
            )


def refuse_together(name: str, one: str, other: str, why: str) -> None:
    """Refuse two settings that contradict each other.

    Args:
        one, other: the settings with their values, such as "coupled = true".
    Raises:
        Refusal: naming both.
    """
    raise Refusal(f"{name}: {one} and {other}: {why}.\n  Drop one of the two.")


class Stack(Backbone):
    """Backbones one above the other; the state is the tuple of theirs.

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
