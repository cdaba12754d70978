"""Sorting numbers, as positions of the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnbench.contract import Meter, Metric
from rnnbench.data.tasks.synthetic import Figures
from rnnbench_tasks._pointers import Outputs, Pointers


@dataclass(frozen=True)
class Sort(Pointers):
    """Name the positions of some numbers in ascending order of the numbers.

    Numbers are uniform in [0, 1), as many as are drawn from `points_min` … `points_max`. The
    target is their positions, counted from 1, the least number's first, then 0 for the end.
    Decoding offers numbers that are left only.

    "accuracy" is the share of items wholly in order, as in the paper; "in_place" the share of
    numbers at the place that is theirs.
    Variant: the paper sorts 5, 10 or 15 numbers, with the same number in training and test.
    Trivial baseline: the input's order, right for 1 item in n! and 1 number in n.
    Solved: an accuracy of at least 0.9. The paper compares accuracies and names no threshold; this
    one is this benchmark's.
    Training items are drawn afresh in every epoch; validation and test are fixed.

    Source: Vinyals, Bengio & Kudlur (2016), Order matters: sequence to sequence for sets,
    arXiv:1511.06391, the sorting experiment.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "share", higher_is_better=True, help="items wholly in order"),
        Metric("in_place", "share", higher_is_better=True, help="numbers at their place"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 128,
        "optimizer.lr": 3e-3,
        "budget.steps": 4000,
        "budget.validate_every": 500,
    }
    width: ClassVar[int] = 1
    distinct: ClassVar[bool] = True

    def answers(self, elements: list[np.ndarray]) -> list[list[int]]:
        return [numbers[:, 0].argsort(kind="stable").tolist() for numbers in elements]

    def meter(self, split: str) -> Meter:
        return Order()

    def baselines(self, split: str) -> Figures:
        return self.compare(split, {"input order": lambda numbers: range(len(numbers))})


class Order(Outputs):
    """Measures "accuracy" and "in_place"; see `Sort`."""

    def __init__(self) -> None:
        self.lists = self.right = self.numbers = self.in_place = 0

    def add(self, elements: np.ndarray, answer: list[int], guess: list[int]) -> None:
        self.lists += 1
        self.right += answer == guess
        self.numbers += len(answer)
        self.in_place += sum(a == b for a, b in zip(answer, guess, strict=False))

    def compute(self) -> dict[str, float]:
        if not self.lists:
            raise RuntimeError("Order saw no output: the split was empty")
        return {"accuracy": self.right / self.lists, "in_place": self.in_place / self.numbers}
