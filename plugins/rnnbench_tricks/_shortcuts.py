"""Layers around which their input is led."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rnnbench.contract import Cell, Layout, Refusal, State
from rnnbench.nn import CellWrapper, Stack
from rnnbench.nn.cells.gate_names import innermost_cells


class ShortcutCell(CellWrapper):
    """A layer whose output is joined with its input. Write `joined`, and `beside` if need be.

    It is outermost, since its output is no hidden state; what is carried from step to step is
    that of the cell inside.

    Attributes:
        trick: its name, for messages.
        besides: how many tensors `beside` gives.
    """

    trick: str
    besides: int = 0

    def beside(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return what else of the input is needed, each (..., H), for all time steps at once."""
        return ()

    def joined(self, y: Tensor, x: Tensor, *beside: Tensor) -> Tensor:
        """Return the output, from the cell's and from the input."""
        raise NotImplementedError

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        self.refuse_widths(x_BTD)
        y_BTH, state = self.inner(x_BTD, state, layout)  # so that a fused kernel stays in use
        return self.joined(y_BTH, x_BTD, *self.beside(x_BTD)), state

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        self.refuse_widths(x_BTD)
        return torch.cat([super().project(x_BTD, state), x_BTD, *self.beside(x_BTD)], -1)

    def _mixed(
        self, p_BG: Tensor, state: State, noise: Any, seen_BH: Tensor | None
    ) -> tuple[Tensor, State]:
        count = 1 + self.besides
        width_beside = count * self.width
        own_BG, besides_BG = p_BG[:, :-width_beside], p_BG[:, -width_beside:]
        y_BH, new = super()._mixed(own_BG, state, noise, seen_BH)
        return self.joined(y_BH, *besides_BG.chunk(count, -1)), new

    def refuse_widths(self, x: Tensor) -> None:
        """Refuse an input that is not as wide as the output.

        Raises:
            Refusal: naming both widths.
        """
        if x.shape[-1] != self.width:
            raise Refusal(
                f"{self.trick} joins a layer's output with its input, and here the input is "
                f"{x.shape[-1]} wide and the output {self.width}.\n"
                "  Set architecture.embedding to the width of the layers if it has this setting, "
                f"or drop {self.trick}."
            )


def lead_around(model: nn.Module, wrap: Any, trick: str) -> None:
    """Put a `ShortcutCell` around every layer that is a cell.

    Args:
        wrap: makes it of a cell.

    Raises:
        Refusal: there is no cell, or a layer has a shortcut.
    """
    innermost_cells(model, trick)
    for module in model.modules():
        if isinstance(module, ShortcutCell) or (isinstance(module, Stack) and module.residual):
            raise Refusal(
                f"{trick} leads the input around each layer, and here a shortcut does already.\n"
                f"  Drop {trick}, the other trick, or the architecture's setting `residual`."
            )
    _wrap_below(model, wrap)


def _wrap_below(module: nn.Module, wrap: Any) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, Cell):
            setattr(module, name, wrap(child))
        else:
            _wrap_below(child, wrap)
