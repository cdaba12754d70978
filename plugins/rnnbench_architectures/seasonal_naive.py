"""Seasonal naive: the value of one season before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Refusal, Task, setting
from rnnbench.nn.direct_forecast import AtOnce


class SeasonalNaiveModel(AtOnce):
    """The model of `SeasonalNaive`."""

    def __init__(self, architecture: SeasonalNaive, task: Task):
        a = architecture
        super().__init__(a.name, task)
        if task.target.distribution is not None:
            raise Refusal(
                f"{a.name} forecasts points, and {task.name} asks for a distribution.\n"
                "  Choose point forecasts."
            )
        season = a.season or task.period
        if not season:
            raise Refusal(
                f"{a.name}: the data of {task.name} state no season.\n  Set architecture.season."
            )
        if season > self.context:
            raise Refusal(
                f"{a.name}: a season of {season} steps lies before the window of {self.context}.\n"
                f"  Set task.context={season} or more."
            )
        self.season = season
        # Nothing is learnt. A parameter without numbers lets the one training step run.
        self.nothing = nn.Parameter(torch.zeros(0))

    def ahead(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        last_BMV = x_BTD[:, self.context - self.season :, self.past]
        at_S = torch.arange(self.horizon, device=x_BTD.device) % self.season
        return last_BMV[:, at_S] + self.nothing.sum(), last_BMV.flatten(1)


@dataclass(frozen=True)
class SeasonalNaive(Architecture):
    """The last season again and again: a forecast that costs nothing, and has no parameters.

    ŷ_{T+s} = x_{T + s - m ⌈s / m⌉},  m the season

    Source: Hyndman and Athanasopoulos, Forecasting: principles and practice, 3rd edition,
    section 5.2.
    """

    name: ClassVar[str] = "seasonal-naive"
    tiny: ClassVar[Mapping[str, Any]] = {"season": 2}

    season: int = setting(0, "steps of a season; 0: that of the task", unit="steps", low=0)

    def model(self, task: Task) -> nn.Module:
        return SeasonalNaiveModel(self, task)
