"""Zoneout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import Cell, Trick, setting
from rnnbench.nn import CellWrapper


class ZoneoutCell(CellWrapper):
    """Keeps each unit's old value with a probability of its own for every state tensor."""

    def __init__(self, inner: Cell, hidden_rate: float, other_rate: float):
        super().__init__(inner)
        self.hidden_rate, self.other_rate = hidden_rate, other_rate

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """s_t = m ⊙ s_{t-1} + (1 - m) ⊙ s̃_t with m ~ Bernoulli(rate); its mean at evaluation."""
        y_BH, new = self.inner.advance(p_BG, state, seen_BH)
        mixed = tuple(
            self.mix(old, fresh, self.other_rate if i else self.hidden_rate)
            for i, (old, fresh) in enumerate(zip(state, new, strict=True))
        )
        # A cell whose output is its hidden state puts out the mixed one.
        return (mixed[0] if y_BH is new[0] else y_BH), mixed

    def mix(self, old: Tensor, new: Tensor, rate: float) -> Tensor:
        if rate == 0:
            return new
        if self.training:
            return torch.where(torch.rand_like(new) < rate, old, new)
        return rate * old + (1 - rate) * new


@dataclass(frozen=True)
class Zoneout(Trick):
    """Units keep their old value at random instead of dropping to zero.

    h_t = m ⊙ h_{t-1} + (1 - m) ⊙ h̃_t,  m ~ Bernoulli(rate); at evaluation m = rate.
    The memory cell of an LSTM has a mask and a rate of its own.

    Null value: rate = 0 and cell_rate = 0.

    Source: Krueger et al. (2017), arXiv:1606.01305, eqs. 4-6.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"rate": 0.0, "cell_rate": 0.0}

    rate: float = setting(
        0.1, "chance that a hidden unit keeps its value", low=0.0, high=1.0, search=(0.0, 0.5)
    )
    cell_rate: float | None = setting(
        None, "the same for the memory cell; null: as rate", low=0.0, high=1.0
    )

    def cell(self, cell: Cell) -> Cell:
        other = self.rate if self.cell_rate is None else self.cell_rate
        if self.rate == 0 and other == 0:
            return cell
        return ZoneoutCell(cell, self.rate, other)
