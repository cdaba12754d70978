"""Cells around cells: what a trick changes of a step, and the rest goes through."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from rnnbench.contract import Cell, State
from rnnbench.nn.cells.fast import FastCell


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
        """Draw the random numbers of all steps, (T, B, ...): bool, or of the state's precision.

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
        """Return the next state from the old one, the inner cell's, and this step's noise."""
        return new

    def read(self, h_BH: Tensor, own: tuple[Tensor, ...]) -> Tensor:
        """Return what the recurrent product reads in place of the hidden state.

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
        """Return how many tensors at the end of the state stay fixed: its own and those below."""
        return self.fixed + getattr(self.inner, "still", 0)

    @property
    def _advances(self) -> bool:
        """Tell whether a subclass has an `advance` of its own, which must be called."""
        return type(self).advance is not CellWrapper.advance

    def _parts(self, state: tuple[Tensor, ...]) -> tuple[Any, tuple[Tensor, ...]]:
        """Return the inner cell's state, and the tensors that are this wrapper's own."""
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
