"""Wrappers that change the pre-activations of a gated cell, between its products and its update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from rnnbench.contract import Cell, Refusal, State
from rnnbench.nn.cells.fast import FastCell
from rnnbench.nn.cells.gated import GatedCell
from rnnbench.nn.cells.wrapper import CellWrapper
from rnnbench.nn.estimators.observe_cells import plainly_gated


class GateWrapper(CellWrapper):
    """A wrapper next to a gated cell. Override `gates`, or `settle` for more than that.

    `gates` keeps the speed of the scan as far as its operators are elementwise or products by
    parameters. What it appends to the state (in `initial`) it declares as `apart`, and changes in
    `settle`.
    """

    def gates(
        self, p_BG: Tensor, q_BG: Tensor, state: State, drawn: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Return what the update reads in place of W_x x + b_x and W_h h + b_h.

        Args:
            state: before the step.
            drawn: this step's random numbers.
        """
        return p_BG, q_BG

    def settle(self, p_BG: Tensor, q_BG: Tensor, state: State, noise: Any) -> tuple[Tensor, State]:
        """Return output and next state from both products; `noise` is (own, of cells inside)."""
        drawn, below = noise
        return self.inside(*self.gates(p_BG, q_BG, state, drawn), state, below)

    def inside(self, p_BG: Tensor, q_BG: Tensor, state: State, below: Any) -> tuple[Tensor, State]:
        """Run the wrapped cell's `settle`."""
        inner = self.inner
        if isinstance(inner, GateWrapper):
            return inner.settle(p_BG, q_BG, state, below)
        assert isinstance(inner, GatedCell)
        return inner.settle(p_BG, q_BG, state)

    @property
    def gated(self) -> GatedCell:
        """Return the gated cell inside all wrappers."""
        return gated_of(self.inner)

    def _mixed(
        self, p_BG: Tensor, state: State, noise: Any, seen_BH: Tensor | None
    ) -> tuple[Tensor, State]:
        cell, h_BH = self.gated, state[0] if seen_BH is None else seen_BH
        return self.settle(p_BG, F.linear(h_BH, cell.weight_h, cell.bias_h), state, noise)


def gated_of(cell: Cell) -> GatedCell:
    """Return the gated cell inside wrappers of gates."""
    while isinstance(cell, GateWrapper):
        cell = cell.inner
    assert isinstance(cell, GatedCell)
    return cell


class StatefulGateWrapper(GateWrapper):
    """A gate wrapper that appends one tensor to the state, which is no unit."""

    def __init__(self, inner: Cell):
        super().__init__(inner)
        d_in = self.gated.weight_x.shape[1]
        before = len(inner.initial(self.gated.weight_x.new_zeros(1, d_in)))
        self.apart = (*inner.apart, before)

    def remembered(self, x_BD: Tensor) -> Tensor:
        """Return the tensor before the first step, batch first."""
        raise NotImplementedError

    def remember(self, old: Tensor, state: State) -> Tensor:
        """Return the tensor after a step; `state` is the wrapped cell's before the step."""
        raise NotImplementedError

    def recall(
        self, p_BG: Tensor, q_BG: Tensor, state: State, kept: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what the update reads, as `gates` does, from the remembered tensor too."""
        raise NotImplementedError

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (*self.inner.initial(x_BD), self.remembered(x_BD))

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return self.inner.project(x_BTD, state[:-1])

    def carry(self, state: State) -> State:
        return (*self.inner.carry(state[:-1]), state[-1].detach())

    def _drawn(self, steps: int, state: State) -> Any:
        inner = self.inner
        return (), inner.draw_noise(steps, state[:-1]) if isinstance(inner, FastCell) else ()

    def settle(self, p_BG: Tensor, q_BG: Tensor, state: State, noise: Any) -> tuple[Tensor, State]:
        *inner, kept = state
        _, below = noise
        p_BG, q_BG = self.recall(p_BG, q_BG, tuple(inner), kept)
        y_BH, new = self.inside(p_BG, q_BG, tuple(inner), below)
        return y_BH, (*new, self.remember(kept, tuple(inner)))


def wrap_gates(
    cell: Cell, wrap: Callable[[Cell], GateWrapper], trick: str, first: bool = False
) -> Cell:
    """Put a wrapper between a gated cell and the wrappers that are around it already.

    Args:
        wrap: makes it of what it stands next to.
        first: it stands next to the update; otherwise outside of others of this kind.

    Raises:
        Refusal: this is no gated cell whose step is its two products and an update.
    """
    outside: list[CellWrapper] = []
    inner = cell
    while isinstance(inner, CellWrapper) and (first or not isinstance(inner, GateWrapper)):
        outside.append(inner)
        inner = inner.inner
    bare = inner
    while isinstance(bare, CellWrapper):
        bare = bare.inner
    if not isinstance(bare, GatedCell) or not plainly_gated(bare):
        raise Refusal(
            f"{trick} acts on what a gated cell makes of its input and of its state before it "
            f"updates; {type(bare).__name__} has another step.\n"
            f"  Drop {trick}, or choose another cell, such as lstm, gru (reset=after) or elman."
        )
    wrapped = wrap(inner)
    if not outside:
        return wrapped
    outside[-1].inner = wrapped
    if wrapped.apart != inner.apart:
        for wrapper in outside:
            wrapper.apart = wrapped.apart
    return cell
