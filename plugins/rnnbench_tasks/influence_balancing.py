"""Influence balancing: a constant is asked for, and short-sighted gradients point the wrong way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Task, setting
from rnnbench.metrics import MeanSquaredError


class Ones(Data):
    """A stream of x = 0 and y = 1; y is missing in the first `settle` steps.

    In training as many equal rows as are asked for, and at evaluation one.
    """

    carried = True

    def __init__(self, steps: int, length: int, settle: int) -> None:
        self.steps, self.length, self.settle = steps, length, settle

    def __len__(self) -> int:
        return self.steps

    def order(self, size: int, rng: torch.Generator | None) -> Sequence[tuple[int, int]]:
        """Return (rows, first step) of each batch."""
        rows = 1 if rng is None else size
        return [(rows, first) for first in range(0, self.steps, self.length)]

    def batch(self, key: tuple[int, int], rng: torch.Generator | None) -> Batch:
        rows, first = key
        t_T = torch.arange(first, min(first + self.length, self.steps))
        y_BT1 = torch.where(t_T < self.settle, torch.nan, 1.0).expand(rows, -1)[..., None]
        return Batch(torch.zeros_like(y_BT1), y_BT1.contiguous())


@dataclass(frozen=True)
class InfluenceBalancing(Task):
    """Drive a system without input to 1 while it runs, from gradients that come step by step.

    The input is 0 and the target 1 at every step of an endless stream. It is meant for the
    architecture of the same name, whose one parameter θ helps at once and harms later: with 23
    units, 13 of them negative, the optimum is θ = -1/6 and truncated back-propagation of 1 to 100
    steps moves θ the other way, until the loss diverges; exact and unbiased estimates of
    the influence (rtrl, uoro) find it.

    Loss: core's (s_1 - 1)², twice that of the paper, so that a learning rate of 5e-4 here is one of
    1e-3 there; its schedule is inverse-sqrt. Training, validation and test are one: an evaluation
    starts at s = 0, and the first `settle` of its steps have no target, so that what is measured
    is the state at rest.
    Trivial baselines: always 1, mse 0, which any model with a bias at its output learns; θ = 0,
    which stays at 0: mse 1. Above 1 θ has the wrong sign, or is beyond twice the optimum.
    Solved: mse below 1e-4, θ within 0.0017 of the optimum.

    Source: Tallec & Ollivier (2017), arXiv:1702.05043, section 5, figure 1.
    """

    kind: ClassVar[Kind] = Kind.ALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("mse", "squared", help="(s_1 - 1)² at rest"),)
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.name": "sgd",
        "optimizer.lr": 5e-4,
        "optimizer.batch": 1,
        "budget.steps": 10_000,
        "budget.validate_every": 1000,
    }
    eval_batch: ClassVar[int] = 1
    memorised: ClassVar[bool] = True

    length: int = setting(1, "steps of a training batch: an update each", unit="steps", low=1)
    train_steps: int = setting(1_000_000, "steps of a stream in training, after which it begins "
                               "anew", unit="steps", low=1)  # fmt: skip
    eval_steps: int = setting(600, "steps of an evaluation", unit="steps", low=2)
    settle: int = setting(500, "first steps of an evaluation that are not measured",
                          unit="steps", low=0)  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.settle >= self.eval_steps:
            raise ValueError(
                f"{self.name}: settle = {self.settle} leaves nothing of the {self.eval_steps} "
                f"steps of an evaluation; set task.eval_steps={self.settle + 1} or more"
            )

    @property
    def source(self) -> Port:
        return Port(width=1)

    @property
    def target(self) -> Port:
        return Port(width=1)

    def data(self, split: str, seed: int) -> Data:
        if split == "train":
            return Ones(self.train_steps, self.length, 0)
        return Ones(self.eval_steps, self.eval_steps, self.settle)

    def meter(self, split: str) -> Meter:
        return MeanSquaredError()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score θ = 0, where the system stays at 0, and the target, which a bias would learn.

        The task is hard for the linear system that has no such bias, and for nothing else.
        """
        return {"theta 0": {"mse": 1.0}, "always 1": {"mse": 0.0}}
