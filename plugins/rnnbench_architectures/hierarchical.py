"""Hierarchical recurrent network of two levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Backbone, Cell, Layout, State, setting
from rnnbench.nn import named_cell


class TwoLevels(Backbone):
    """A cell that reads every step, and one above it that reads its output every k steps.

    The state is (state of the lower cell, state of the upper cell, u (B, H), t (B, 1)): u is the
    upper cell's last output, t an integer that counts the steps done.

    Args:
        lower: reads the input beside u.
        upper: reads the lower one's output.
        every: k, in steps.
    """

    def __init__(self, lower: Cell, upper: Cell, every: int):
        super().__init__()
        self.lower, self.upper, self.every = lower, upper, every
        self.width = lower.width + upper.width

    def initial(self, x_BD: Tensor) -> State:
        u_BH = x_BD.new_zeros(x_BD.shape[0], self.upper.width)
        l_BH = x_BD.new_zeros(x_BD.shape[0], self.lower.width)
        t_B1 = x_BD.new_zeros(x_BD.shape[0], 1, dtype=torch.long)
        lower = self.lower.initial(torch.cat([x_BD, u_BH], -1))
        return lower, self.upper.initial(l_BH), u_BH, t_B1

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        if state is None:
            return self.in_blocks(x_BTD, self.initial(x_BTD[:, 0]), done=0)
        _, _, _, t_B1 = state
        if t_B1.is_meta or not bool((t_B1 == t_B1[0]).all()):
            return self.by_steps(x_BTD, state)
        return self.in_blocks(x_BTD, state, done=int(t_B1[0]))

    def in_blocks(self, x_BTD: Tensor, state: State, done: int) -> tuple[Tensor, State]:
        """Run the lower level from one step of the upper one to the next.

        Args:
            done: steps done so far, the same in all rows.
        """
        lower, upper, u_BH, t_B1 = state
        steps, lows, highs, t = x_BTD.shape[1], [], [], 0
        while t < steps:
            n = min(self.every - (done + t) % self.every, steps - t)
            u_BNH = u_BH[:, None].expand(-1, n, -1)
            l_BNH, lower = self.lower(torch.cat([x_BTD[:, t : t + n], u_BNH], -1), lower)
            lows.append(l_BNH)
            t += n
            if (done + t) % self.every:
                highs.append(u_BNH)
            else:
                u_BH, upper = self.upper.step(l_BNH[:, -1], upper)
                highs += [u_BNH[:, :-1], u_BH[:, None]]
        y_BTH = torch.cat([torch.cat(lows, 1), torch.cat(highs, 1)], -1)
        return y_BTH, (lower, upper, u_BH, t_B1 + steps)

    def by_steps(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Run step by step, where the rows' counters differ or cannot be read."""
        lower, upper, u_BH, t_B1 = state
        outputs = []
        for x_BD in x_BTD.unbind(1):
            l_BH, lower = self.lower.step(torch.cat([x_BD, u_BH], -1), lower)
            t_B1 = t_B1 + 1
            due_B = (t_B1 % self.every == 0)[:, 0]
            new_BH, after = self.upper.step(l_BH, upper)
            u_BH = _where(due_B, new_BH, u_BH)
            upper = tuple(_where(due_B, a, b) for a, b in zip(after, upper, strict=True))
            outputs.append(torch.cat([l_BH, u_BH], -1))
        return torch.stack(outputs, 1), (lower, upper, u_BH, t_B1)

    def carry(self, state: State) -> State:
        lower, upper, u_BH, t_B1 = state
        return self.lower.carry(lower), self.upper.carry(upper), u_BH.detach(), t_B1


def _where(due_B: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(due_B.view(-1, *[1] * (new.dim() - 1)), new, old)


@dataclass(frozen=True)
class Hierarchical(Architecture):
    """Two levels of recurrence, the upper of which is updated at regular intervals.

    l_t = lower([x_t; u_{t-1}], l_{t-1})
    u_t = upper(l_t, u_{t-1}) if t mod k = 0, else u_{t-1},   for t = 1, 2, …,   u_0 = 0
    y_t = [l_t; u_t]

    Long spans pass through few steps of the upper level, which feeds down to the lower one. The
    original has simple recurrent units; here each level is a cell by name.

    Source: El Hihi & Bengio (1996), Hierarchical recurrent neural networks for long-term
    dependencies, NIPS 8, 493-499.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4, "every": 2}

    hidden: int = setting(128, "units of each level", unit="units", low=1, search=(32, 256, "log"))
    every: int = setting(8, "k: steps from one update of the upper level to the next",
                         unit="steps", low=1, search=(2, 32, "log"))  # fmt: skip
    lower: str = setting("elman", "lower cell, by the name of its architecture",
                         plugin="architectures")  # fmt: skip
    upper: str = setting("elman", "upper cell, by the name of its architecture",
                         plugin="architectures")  # fmt: skip
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        lower = named_cell(self.lower, d_in + self.hidden, self.hidden, self.name)
        upper = named_cell(self.upper, self.hidden, self.hidden, self.name)
        return TwoLevels(lower, upper, self.every)
