"""Bag of words: the mean of the embeddings read so far, in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import Architecture, Backbone, Kind, Layout, Refusal, State, Task, setting


class RunningMean(Backbone):
    """The mean of all inputs so far. State: their sum and their number."""

    def __init__(self, d_in: int):
        super().__init__()
        self.width = d_in

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        sum_BTD = x_BTD.cumsum(1)
        step_T1 = torch.arange(1, x_BTD.shape[1] + 1, device=x_BTD.device).to(x_BTD)[:, None]
        if state is None:
            state = x_BTD.new_zeros(x_BTD[:, 0].shape), x_BTD.new_zeros(len(x_BTD), 1)
        before_BD, count_B1 = state
        sum_BTD = sum_BTD + before_BD[:, None]
        count_BT1 = step_T1 + count_B1[:, None]
        return sum_BTD / count_BT1, (sum_BTD[:, -1], count_BT1[:, -1])


@dataclass(frozen=True)
class BagOfWords(Architecture):
    """Reads a sequence without its order: whatever beats it has learnt from the order.

    y_t = (1 / t) Σ_{s ≤ t} E x_s

    A linear readout follows, so that on classes this is a linear classifier of averaged embeddings.
    It has no parameters but embedding and readout.

    Source: Joulin et al. (2017), Bag of tricks for efficient text classification,
    arXiv:1607.01759, section 2 (words alone, no n-grams).
    """

    name: ClassVar[str] = "bag-of-words"
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4}

    hidden: int = setting(
        64, "width of the embeddings", unit="units", low=1, search=(8, 256, "log")
    )

    def model(self, task: Task) -> None:
        if task.kind is not Kind.SEQ_TO_VEC:
            raise Refusal(
                f"{self.name} reads without order, and {task.name} ({task.kind.value}) asks for an "
                "answer at each step.\n  Choose a task that says one thing of a whole sequence "
                "(sequence-to-vector): rnnbench list tasks"
            )

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        return RunningMean(d_in)
