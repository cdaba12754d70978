"""A vector that sets an oscillator, and the curve that it then draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import Batch, Kind, Meter, Metric, Port, Prediction, setting
from rnnbench.data.tasks.synthetic import Figures, Synthetic, score


@dataclass(frozen=True)
class Oscillator(Synthetic):
    """Draw the damped oscillation whose frequency, damping and phase a vector says.

    From x = (a, b, c), each uniform in [-1, 1), the curve is
    y_t = exp(-λ t/length) cos(2π f t/length + π c),   t = 0 … length - 1,
    with f = slowest · (fastest / slowest)^((1 + a)/2) cycles and λ = damping · (1 + b)/2. It is
    judged as produced without seeing y: a model reads its own outputs, and errors add up.

    Variant: this benchmark's own, of the oldest kind of vector-to-sequence task, in which a fixed
    plan vector is to set off a sequence of actions.
    Trivial baselines: at each step the mean of training curves, whatever x is: nmse is about 1.
    Solved: nmse below 0.01, as in sine-generation; this threshold is this benchmark's.
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: after Jordan (1986), Serial order: a parallel distributed processing approach,
    ICS report 8604, University of California, San Diego.
    """

    kind: ClassVar[Kind] = Kind.VEC_TO_SEQ
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("nmse", "of the variance", help="mse over the variance of the split's curves"),
        Metric("mse", "squared", help="mean squared error of curves produced without seeing y"),
    )
    selection: ClassVar[str] = "nmse"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 64,
        "optimizer.lr": 3e-3,
        "budget.steps": 3000,
        "budget.validate_every": 300,
    }
    held_out_seeds: ClassVar[Mapping[str, int]] = {"valid": 1986_01, "test": 1986_02}
    eval_batch: ClassVar[int] = 250
    tiny: ClassVar[Mapping[str, Any]] = {
        "length": 8, "train_items": 300, "valid_items": 50, "test_items": 70,
    }  # fmt: skip

    length: int = setting(32, "samples of a curve", unit="steps", low=2)
    slowest: float = setting(1.0, "least frequency, in cycles over the curve", low=1e-3)
    fastest: float = setting(4.0, "greatest frequency, in cycles over the curve", low=1e-3)
    damping: float = setting(2.0, "greatest λ: a curve shrinks by exp(-λ) over its length", low=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.slowest <= self.fastest,
            f"slowest = {self.slowest} is above fastest = {self.fastest}",
        )

    @property
    def source(self) -> Port:
        return Port(width=3, layout="vector")

    @property
    def target(self) -> Port:
        return Port(width=1, longest=self.length)

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items: x (rows, 3), y (rows, length, 1)."""
        x_B3 = 2 * torch.rand(rows, 3, generator=rng) - 1
        return Batch(x_B3, self.curve(x_B3)[..., None])

    def curve(self, x_B3: Tensor) -> Tensor:
        """Return the curves (B, length)."""
        a_B1, b_B1, c_B1 = x_B3.double().split(1, 1)
        f_B1 = self.slowest * (self.fastest / self.slowest) ** ((1 + a_B1) / 2)
        t_T = torch.arange(self.length) / self.length
        angle_BT = 2 * math.pi * f_B1 * t_T + math.pi * c_B1
        shrunk_BT = torch.exp(-self.damping * (1 + b_B1) / 2 * t_T)
        return (shrunk_BT * angle_BT.cos()).float()

    def meter(self, split: str) -> Meter:
        return Curves()

    def baselines(self, split: str) -> Figures:
        """Score the mean curve of 2000 training items, and 0 throughout."""
        mean_T1 = self.draw(2000, torch.Generator().manual_seed(0)).y.mean(0)
        return {
            "mean curve": score(self, split, lambda b: mean_T1.expand_as(b.y)),
            "zero": score(self, split, lambda b: torch.zeros_like(b.y)),
        }


class Curves(Meter):
    """Measures "nmse" and "mse" of decoded curves; see `Oscillator`."""

    decodes = True

    def __init__(self) -> None:
        self.count = 0
        self.squares = self.sum = self.sum_of_squares = 0.0

    def update(self, batch: Batch, prediction: Prediction) -> None:
        if prediction.decoded is None:
            raise ValueError("Curves are judged as decoded, and got no decoded output")
        mask = prediction.mask.cpu()
        y, guess = (v.cpu()[mask].double() for v in (batch.y, prediction.decoded))
        self.count += len(y)
        self.squares += float((guess - y).square().sum())
        self.sum += float(y.sum())
        self.sum_of_squares += float(y.square().sum())

    def compute(self) -> dict[str, float]:
        if not self.count:
            raise RuntimeError("Curves saw no target: the split was empty or wholly missing")
        mse = self.squares / self.count
        variance = self.sum_of_squares / self.count - (self.sum / self.count) ** 2
        return {"nmse": mse / variance, "mse": mse}
