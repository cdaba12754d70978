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
    """A cell wrapper that keeps each unit's old value with a probability for each state tensor."""

    def __init__(self, inner: Cell, hidden_rate: float, other_rate: float):
        super().__init__(inner)
        self.hidden_rate, self.other_rate = hidden_rate, other_rate

    def noise(self, steps: int, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Draw which units keep their old value, (T, B, H) for every state tensor with a rate."""
        if not self.training:
            return ()
        return tuple(
            torch.rand(steps, *s.shape, dtype=s.dtype, device=s.device) < rate
            for s, rate in zip(state, self.rates(state), strict=True)
            if rate
        )

    def mix(
        self,
        old: tuple[Tensor, ...],
        new: tuple[Tensor, ...],
        noise: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return s_t = m ⊙ s_{t-1} + (1 - m) ⊙ s̃_t with m ~ Bernoulli(rate).

        At evaluation m is its mean, the rate.
        """
        mixed, kept = [], iter(noise)
        for before, after, rate in zip(old, new, self.rates(old), strict=True):
            if not rate:
                mixed.append(after)
            elif self.training:
                mixed.append(torch.where(next(kept), before, after))
            else:
                mixed.append(rate * before + (1 - rate) * after)
        return tuple(mixed)

    def rates(self, state: tuple[Tensor, ...]) -> list[float]:
        """Return a rate for each state tensor; 0 for what is no unit."""
        rates = [self.hidden_rate, *(self.other_rate for _ in state[1:])]
        return [
            0.0 if i in self.apart or not s.is_floating_point() else rate
            for i, (s, rate) in enumerate(zip(state, rates, strict=True))
        ]


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
