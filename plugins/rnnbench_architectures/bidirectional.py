"""Any recurrent layer, read in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Backbone, Layout, State, setting
from rnnbench.nn import (
    Stack,
    WholeInputBackbone,
    named_backbone,
    refuse_idle_dropout,
    refuse_looking_ahead,
    reversed_rows,
)


class BothDirections(WholeInputBackbone):
    """A pair of layers over a row, one over the row reversed; padding stays where it is."""

    def __init__(self, owner: str, forwards: Backbone, backwards: Backbone, together: bool):
        super().__init__(owner)
        self.forwards, self.backwards, self.together = forwards, backwards, together
        self.width = forwards.width if together else forwards.width + backwards.width

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        self.refuse_state(state)
        len_B = None if layout is None else layout.len_B
        read = Layout(len_B)
        ahead_BTH, _ = self.forwards(x_BTD, None, read)
        back_BTH, _ = self.backwards(reversed_rows(x_BTD, len_B), None, read)
        back_BTH = reversed_rows(back_BTH, len_B)
        if self.together:
            return ahead_BTH + back_BTH, None
        return torch.cat([ahead_BTH, back_BTH], -1), None


@dataclass(frozen=True)
class Bidirectional(Architecture):
    """Recurrent layers of any cell, each read forwards and backwards.

    y_t = [h→_t; h←_t],   h→_t = cell→(x_t, h→_{t-1}),   h←_t = cell←(x_t, h←_{t+1})

    The two directions have parameters of their own and do not see each other; with more layers,
    each reads both directions' outputs of the one below. `combine: sum` gives y_t = h→_t + h←_t.
    Backwards starts at each row's own last step. A task that asks for one vector reads forwards
    at the last step and backwards at the first, where each has seen the whole row; where they are
    summed, it reads the mean over the steps.

    It looks ahead, so causal tasks refuse it. A task with a decoder gets a bidirectional encoder
    and a decoder of the same cell and layers that reads left to right.

    Source: Schuster & Paliwal (1997), Bidirectional recurrent neural networks,
    doi:10.1109/78.650093; as an encoder: Bahdanau, Cho & Bengio (2015), arXiv:1409.0473,
    section 3.2.
    """

    hidden: int = setting(128, "units of a direction", unit="units", low=1, search=(16, 256, "log"))
    cell: str = setting("lstm", "cell, by the name of its architecture", plugin="architectures")
    combine: Literal["concatenate", "sum"] = setting("concatenate", "outputs of both directions")
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)

    @property
    def pool(self) -> str:  # type: ignore[override]
        return "ends" if self.combine == "concatenate" else "mean"

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        if causal:
            refuse_looking_ahead(self.name, f"Choose {self.cell} itself")
        return Stack(self.both(d_in), self.dropout)

    def both(self, d_in: int) -> Iterator[BothDirections]:
        """Build the layers, bottom first."""
        for _ in range(self.layers):
            forwards, backwards = (
                named_backbone(self.cell, d_in, self.hidden, self.name) for _ in range(2)
            )
            layer = BothDirections(self.name, forwards, backwards, self.combine == "sum")
            d_in = layer.width
            yield layer

    def decoder(self, d_in: int, memory_width: int) -> Backbone:
        """Return an architecture of the same cell and layers that reads left to right."""
        bottom = named_backbone(self.cell, d_in, self.hidden, self.name)
        above = (
            named_backbone(self.cell, bottom.width, self.hidden, self.name)
            for _ in range(self.layers - 1)
        )
        return Stack((bottom, *above), self.dropout)
