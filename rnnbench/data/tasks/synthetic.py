"""Tasks whose items are drawn at random: training afresh in every epoch, held-out splits once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import (
    Batch,
    Data,
    Kind,
    Meter,
    Metric,
    Port,
    Prediction,
    Task,
    setting,
)
from rnnbench.data.batches import Generated, Items
from rnnbench.metrics.base import Accuracy, MeanSquaredError
from rnnbench.nn import Model

__all__ = ["Classification", "MarkedNumbers", "Synthetic", "pad", "score"]

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Synthetic(Task):
    """Base of tasks whose items are drawn; subclasses are dataclasses and write `draw`.

    Class attributes:
        held_out_seeds: of the validation and the test split, the same items for every run.
    """

    held_out_seeds: ClassVar[Mapping[str, int]] = {"valid": 1997_01, "test": 1997_02}

    train_items: int = setting(10000, "items that count as an epoch", unit="items", low=1)
    valid_items: int = setting(1000, "items of the validation split", unit="items", low=1)
    test_items: int = setting(2000, "items of the test split", unit="items", low=1)

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items of a split, from `rng` only."""
        raise NotImplementedError

    def data(self, split: str, seed: int) -> Data:
        if split == "train":
            return Generated(partial(self.draw, split=split), self.train_items, seed)
        items = {"valid": self.valid_items, "test": self.test_items}[split]
        rng = torch.Generator().manual_seed(self.held_out_seeds[split])
        return Items(self.draw(items, rng, split))

    def require(self, holds: bool, wrong: str) -> None:
        """Raise a ValueError that says what is wrong with the settings, unless it holds."""
        if not holds:
            raise ValueError(f"{self.name}: {wrong}")


def score(task: Task, split: str, answer: Callable[[Batch], Tensor]) -> dict[str, float]:
    """Measure what a rule reaches on a split, by the task's own meter.

    Args:
        answer: batch -> outputs as those of a model (`Result.out`): log-probabilities or values.
    """
    meter, model, data = task.meter(split), Model(task.target), task.data(split, 0)
    for key in data.order(task.eval_batch, None):
        batch = data.batch(key, None)
        out = answer(batch)
        decoded = out.argmax(-1) if task.target.classes else out
        meter.update(batch, Prediction(*model.nll(out, batch), out, decoded))
    return meter.compute()


def pad(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Return tokens (B, T), filled up with 0, and their lengths (B,)."""
    lengths = torch.tensor([len(row) for row in rows])
    tensors = [torch.tensor(row) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True), lengths


class Classification(Synthetic):
    """Base of synthetic tasks that name a sequence's class: SEQ_TO_VEC, judged by accuracy."""

    kind: ClassVar[Kind] = Kind.SEQ_TO_VEC
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "share", higher_is_better=True, help="sequences named rightly"),
    )
    eval_batch: ClassVar[int] = 250

    def meter(self, split: str) -> Meter:
        return Accuracy()

    def baselines(self, split: str) -> Figures:
        """Score the commonest class of the split, as measured there, and of all classes."""
        data = self.data(split, 0)
        keys = data.order(len(data), None)
        y_N = torch.cat([data.batch(key, None).y for key in keys])
        commonest = int(y_N.bincount().max()) / len(y_N)
        chance = 1 / self.target.classes
        return {
            "commonest class": {"accuracy": commonest},
            "chance, in theory": {"accuracy": chance},
        }


@dataclass(frozen=True)
class MarkedNumbers(Synthetic):
    """Base of tasks that ask for a function of the two marked numbers of a long sequence.

    Each step carries a value, uniform on [0, 1), and a marker, 1 at one step drawn uniformly from
    the first half and at one from the second half, else 0. Subclasses write `answer`, and the
    mean and the variance of what it gives.
    """

    kind: ClassVar[Kind] = Kind.SEQ_TO_VEC
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mse", "squared", help="mean squared error of the answer"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 3e-3,
        "budget.steps": 2000,
        "budget.validate_every": 200,
    }
    eval_batch: ClassVar[int] = 256
    expected: ClassVar[float]
    variance: ClassVar[float]

    length: int = setting(100, "steps of a sequence", unit="steps", low=2)

    @property
    def source(self) -> Port:
        return Port(width=2)

    @property
    def target(self) -> Port:
        return Port(width=1)

    def answer(self, marked_B2: Tensor) -> Tensor:
        """Return (B, 1): what is asked for of the two marked values."""
        raise NotImplementedError

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items: x (rows, length, 2) of value and marker, y (rows, 1)."""
        half = self.length // 2
        value_BT = torch.rand(rows, self.length, generator=rng)
        first_B = torch.randint(0, half, (rows,), generator=rng)
        second_B = torch.randint(half, self.length, (rows,), generator=rng)
        marked_B2 = torch.stack([first_B, second_B], 1)
        marker_BT = torch.zeros_like(value_BT).scatter_(1, marked_B2, 1.0)
        x_BT2 = torch.stack([value_BT, marker_BT], 2)
        return Batch(x_BT2, self.answer(value_BT.gather(1, marked_B2)))

    def meter(self, split: str) -> Meter:
        return MeanSquaredError()

    def baselines(self, split: str) -> Figures:
        """Score answering the mean of the distribution, as measured on the split and in theory."""
        theory = {"mean, in theory": {"mse": self.variance}}
        if split == "train":  # drawn afresh: there is no fixed split to measure
            return theory
        return {"mean": score(self, split, lambda b: torch.full_like(b.y, self.expected)), **theory}
