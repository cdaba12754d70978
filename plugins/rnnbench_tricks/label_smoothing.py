"""Smoothed labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Batch, Refusal, Result, Task, Trick, setting
from rnnbench.nn import Model
from rnnbench.nn.models.base import IGNORED


@dataclass(frozen=True)
class LabelSmoothing(Trick):
    """A part of each target's probability is spread over all classes alike.

    q′(k) = (1 - ε) δ(k, y) + ε / K, so that with cross-entropy (1 - ε) · (-log p(y)) +
    ε · mean_k (-log p(k)) is minimised, on the mean over the targets that count. The reported loss
    is that of the true labels.

    Null value: epsilon = 0.

    Source: Szegedy et al. (2016), arXiv:1512.00567, section 7, with u(k) = 1/K.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"epsilon": 0.0}

    epsilon: float = setting(0.1, "ε", low=0.0, high=1.0, search=(0.0, 0.3))

    def sites(self) -> tuple[str, ...]:
        return () if self.epsilon == 0 else super().sites()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        if not task.target.classes:
            raise Refusal(
                f"{self.name} spreads the probability of classes; {task.name} predicts real "
                f"values.\n  Drop {self.name}, or choose a task over tokens."
            )
        if task.target.layout == "positions":
            raise Refusal(
                f"{self.name} spreads probability over all classes, and those of {task.name} are "
                f"positions of a source, most of which a row lacks.\n  Drop {self.name}."
            )
        model.register_forward_hook(self.smooth)
        return model

    def smooth(self, model: nn.Module, given: tuple[Any, ...], result: Result) -> Result:
        """Add ε · (mean_k (-log p(k)) - (-log p(y))) to what is minimised."""
        if not model.training:
            return result
        assert isinstance(model, Model)
        batch: Batch = given[0]
        spread = uniform_nats(result.out, model.gold(batch)) - model.loss(result.out, batch)
        penalty = self.epsilon * spread
        whole = penalty if result.penalty is None else result.penalty + penalty
        return result._replace(penalty=whole)


def uniform_nats(out: Tensor, y: Tensor) -> Tensor:
    """Return the mean over counted targets of mean_k (-log p(k)).

    Args:
        out: (..., K) logits.
        y: (...) classes, `IGNORED` where not counted.
    """
    counted = y != IGNORED
    nats = -F.log_softmax(out, -1).mean(-1)
    return torch.where(counted, nats, 0.0).sum() / counted.sum()
