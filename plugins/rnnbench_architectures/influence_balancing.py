"""The linear system of the influence balancing experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Batch, Cell, Kind, Refusal, Result, State, Task, setting
from rnnbench.nn import Model
from rnnbench.nn.models.base import Feed


class LinearSystem(Cell):
    """A system s_t = A s_{t-1} + θ b (1 + mean of x_t); `theta` (1,) learns, A and b are fixed."""

    def __init__(self, units: int, negative: int):
        super().__init__()
        self.width = units
        self.theta = nn.Parameter(torch.zeros(1))
        a_HH = 0.5 * (torch.eye(units) + torch.diag(torch.ones(units - 1), 1))
        b_H = torch.where(torch.arange(units) < units - negative, 1.0, -1.0)
        self.register_buffer("a_HH", a_HH, persistent=False)
        self.register_buffer("b_H", b_H, persistent=False)
        self.a_HH: Tensor
        self.b_H: Tensor

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (x_BD.new_zeros(x_BD.shape[0], self.width),)

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        drive_BH = self.theta * self.b_H * (1 + x_BD.mean(1, keepdim=True))
        s_BH = state[0] @ self.a_HH.t() + drive_BH
        return s_BH, (s_BH,)


class FirstUnit(Model):
    """A readout of a system's first unit."""

    def __init__(self, system: Cell, task: Task):
        super().__init__(task.target)
        self.backbone = system

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        hidden, state = self.backbone(batch.x, state)
        return Result(hidden[..., :1], hidden, state)

    def carry(self, state: State) -> State:
        return self.backbone.carry(state)


@dataclass(frozen=True)
class InfluenceBalancing(Architecture):
    """A fixed linear system with a single parameter θ, whose influence changes sign with time.

    s_t = A s_{t-1} + θ b (1 + x_t),   out_t = the first unit of s_t,
    A_ii = A_{i,i+1} = ½,   b = 1 for the first units - negative units and -1 for the others.

    Unit i hears of unit i + 1 one step later, so the first unit feels the positive units first and
    all of the negative ones in the end: at rest with x = 0 it is 2 (units - 2 negative) θ, which
    is -6 θ by default. A gradient that looks a few steps back has the wrong sign. θ starts at 0.

    Source: Tallec & Ollivier (2017), arXiv:1702.05043, section 5 and figure 1 (influence
    balancing): 23 units, 13 of them negative.
    """

    tiny: ClassVar[dict[str, Any]] = {"units": 5, "negative": 3}

    units: int = setting(23, "n: units in a row", unit="units", low=2)
    negative: int = setting(13, "units at the far end that θ enters with a minus", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.negative > self.units:
            raise Refusal(
                f"{self.name}: {self.negative} negative ones among {self.units} units.\n"
                f"  Set negative to {self.units} or less."
            )

    def model(self, task: Task) -> nn.Module:
        values = task.source.width and task.target.width == 1
        if task.kind is not Kind.ALIGNED or not values:
            raise Refusal(
                f"{self.name} is a linear system that puts out one value a step; {task.name} asks "
                "for something else.\n  Choose the task influence-balancing."
            )
        return FirstUnit(LinearSystem(self.units, self.negative), task)
