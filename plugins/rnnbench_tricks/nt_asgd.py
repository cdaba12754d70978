"""Averaged gradient descent that begins where validation stops improving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import Trick, setting
from rnnbench.nn import AveragingOptimizer, refuse_second_average


class TriggeredAverage(AveragingOptimizer):
    """An optimiser that averages weights once it is triggered.

    It keeps the validations until then, and from then on the mean and how many are in it.
    """

    def __init__(self, inner: torch.optim.Optimizer, interval: int):
        super().__init__(inner)
        self.interval = interval
        self.memory["logs"] = []

    def observe(self, value: float, better: bool) -> None:
        super().observe(value, better)
        if "average" in self.memory:
            return
        logs = self.memory["logs"]
        if len(logs) > self.interval and value > min(logs[: len(logs) - self.interval]):
            self.memory |= {"average": self.snapshot(), "count": 1}
        logs.append(value)

    def step(self, closure: Any = None) -> Any:
        done = self.inner.step(closure)
        if "average" in self.memory:
            self.memory["count"] += 1
            with torch.no_grad():
                for a, p in zip(self.memory["average"], self.parameters(), strict=True):
                    a += (p - a) / self.memory["count"]
        return done

    def idle(self) -> str:
        if "average" in self.memory:
            return ""
        return (
            f"nt-asgd never acted: none of the {len(self.memory['logs'])} validations was worse "
            f"than the best of those more than {self.interval} before it, so nothing was averaged; "
            "a longer budget, a smaller budget.validate_every or a smaller "
            "tricks.nt-asgd.interval lets it"
        )

    def average(self) -> list[Tensor] | None:
        return self.memory.get("average")


@dataclass(frozen=True)
class NTASGD(Trick):
    """The weights are averaged from the moment at which validation has stopped improving.

    With v_0, v_1, ... the validations and t the present one, step T is where for the first time

    t > interval  and  v_t > min(v_0, ..., v_{t - interval - 1})

    From then on, at step k, what is validated, kept and tested is the mean of θ_T, ..., θ_k.
    Training is as without. `budget.validate_every` is the paper's logging interval L.

    Source: Merity, Keskar & Socher (2017), arXiv:1708.02182, algorithm 1.
    """

    name: ClassVar[str] = "nt-asgd"
    tiny: ClassVar[Mapping[str, Any]] = {"interval": 0}

    interval: int = setting(
        5, "n: how many of the latest validations are not compared with", unit="validations",
        low=0, search=(2, 10),
    )  # fmt: skip

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        refuse_second_average(optimizer, self.name)
        return TriggeredAverage(optimizer, self.interval)
