"""Truncated back-propagation through pieces of random length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils import _pytree as pytree

from rnnbench.contract import (
    Estimator,
    EstimatorInput,
    Refusal,
    State,
    Task,
    Trick,
    WrappedOptimizer,
    detach,
    setting,
)
from rnnbench.nn.estimators.forward_mode import cut, length_of, refuse_unless_stepwise

MARK = "length_for_random_bptt"  # on a parameter, which an estimator and an optimiser both see


class ByLength(WrappedOptimizer):
    """An optimiser whose rate is scaled by the length of what was learnt from."""

    def step(self, closure: Any = None) -> Any:
        share = getattr(next(self.parameters()), MARK)
        rates = [group["lr"] for group in self.param_groups]
        try:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group["lr"] = rate * share
            return self.inner.step(closure)
        finally:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group["lr"] = rate


@dataclass(frozen=True)
class RandomBpttLength(Trick):
    """Each batch is learnt from in pieces of random length, with an update after each.

    A piece has max(shortest, round(N(L, deviation²))) steps with L = length, and L = length / 2
    with probability `half`; its learning rate is multiplied by its number of steps / length. So no
    step of a stream always stands at the limit of a gradient. Pieces end with their batch: with
    batches of several times `length` few are cut short by that.

    Source: Merity, Keskar & Socher (2017), arXiv:1708.02182, section 4.1.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"length": 3, "deviation": 1.0, "shortest": 1}

    length: int = setting(70, "mean steps of a piece", unit="steps", low=1, search=(10, 200, "log"))
    deviation: float = setting(5.0, "of the lengths", unit="steps", low=0.0)
    half: float = setting(0.05, "chance that the mean is half as long", low=0.0, high=1.0)
    shortest: int = setting(5, "least steps of a piece, but of a batch's last", unit="steps", low=1)

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        refuse_unless_stepwise(self.name, task)
        return model

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        return ByLength(optimizer)

    def estimator(self, inner: Estimator) -> Estimator:
        return partial(learn, self)

    def drawn(self) -> int:
        """Draw the length of a piece from torch's global generator."""
        coin, normal = torch.rand((), device="cpu"), torch.randn((), device="cpu")
        mean = self.length / 2 if float(coin) < self.half else self.length
        return max(self.shortest, round(mean + self.deviation * float(normal)))


def learn(trick: RandomBpttLength, learning: EstimatorInput) -> State:
    """Learn from a batch in pieces; see `RandomBpttLength`.

    Raises:
        Refusal: pieces would be as long as a batch, or the model carries no state.
    """
    batch, state, total = learning.batch, learning.state, length_of(learning.batch)
    if batch.x.is_meta and trick.length >= total:  # a stream's last batch may be shorter
        raise Refusal(
            f"{trick.name}: length = {trick.length}, and pieces end with their batch, which has "
            f"{total} steps.\n  Set {trick.name}:length below {total}, or make the task's batches "
            "longer."
        )
    begin = 0
    while begin < total:
        end = min(begin + trick.drawn(), total)
        loss, result = learning.forward(state, cut(batch, begin, end))
        if not pytree.tree_leaves(result.state):
            raise Refusal(
                f"{trick.name} goes on from a state, and this model carries none.\n"
                "  Choose a recurrent architecture, such as lstm."
            )
        loss.backward()
        for p in learning.model.parameters():
            if p.requires_grad and p.grad is None:  # a slow part that did not act in this piece
                p.grad = torch.zeros_like(p)
        setattr(next(learning.model.parameters()), MARK, (end - begin) / trick.length)
        state, begin = detach(result.state), end
        if begin < total:
            learning.update()
    return state
