"""Truncated back-propagation through time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils import _pytree as pytree

from rnnbench.contract import (
    Batch,
    Estimator,
    EstimatorInput,
    Refusal,
    State,
    Task,
    Trick,
    detach,
    setting,
)
from rnnbench.nn.estimators.forward_mode import refuse_unless_stepwise
from rnnbench.nn.estimators.one_step import cut, length_of


@dataclass(frozen=True)
class TBPTT(Trick):
    """Every k1 steps an update with the errors of these steps, traced back through k2 steps.

    Without settings k1 = k2 = the length of a batch, which is core's default. A k1 below it makes
    several updates a batch (the last stretch may be shorter: stretches end with their batch); a
    k2 above k1 reads the last k2 - k1 steps of the past again with the present weights, so that
    gradients flow through them, across the limits of batches too where the state is carried.

    Null value: k1 = null and k2 = null.

    Source: Williams & Peng (1990), An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories, Neural Computation 2(4), 490-501: BPTT(h; h') with h = k2 and
    h' = k1; k1 and k2 as in Sutskever (2013), PhD thesis, section 2.8.6.
    """

    name: ClassVar[str] = "tbptt"
    null: ClassVar[Mapping[str, Any] | None] = {"k1": None, "k2": None}

    k1: int | None = setting(
        1, "steps from one update to the next; null: a batch's", unit="steps", low=1
    )
    k2: int | None = setting(
        None, "steps that gradients flow back through; null: as k1", unit="steps", low=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k2 is not None and self.k1 is None:
            raise Refusal(
                f"{self.name}: k2 = {self.k2} and no k1: k2 counts from where k1 ends.\n"
                "  Set k1 too, for example to the length of the task's batches."
            )
        if self.k1 is not None and self.k2 is not None and self.k2 < self.k1:
            raise Refusal(
                f"{self.name}: k2 = {self.k2} is below k1 = {self.k1}, so that errors of some "
                f"steps would never be learnt from.\n  Set k2 to {self.k1} or more, or lower k1."
            )

    def sites(self) -> tuple[str, ...]:
        return () if self.k1 is None else self.overrides()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        refuse_unless_stepwise(self.name, task)
        return model

    def estimator(self, inner: Estimator) -> Estimator:
        assert self.k1 is not None
        return partial(learn, self.name, self.k1, self.k2 or self.k1, inner)


def learn(name: str, k1: int, k2: int, inner: Estimator, learning: EstimatorInput) -> State:
    """Learn from a batch in stretches of k1 steps; see `TBPTT`.

    Raises:
        Refusal: a batch is shorter than k1, or the model carries no state.
    """
    batch, state, total = learning.batch, learning.state, length_of(learning.batch)
    if batch.x.is_meta and k1 > total:  # in the dry run; later a stream's last batch may be shorter
        raise Refusal(
            f"{name}: k1 = {k1}, and a batch ends after {total} steps, and with it each stretch.\n"
            f"  Set k1 to {total} or less, or make the task's batches longer."
        )
    if k1 >= total and k2 == k1:
        return inner(learning)
    for begin in range(0, total, k1):
        part = cut(batch, begin, min(begin + k1, total))
        start = reread(learning, state, k2 - part.x.shape[1]) if k2 > k1 else state
        loss, result = learning.forward(start, part)
        if not pytree.tree_leaves(result.state):
            raise Refusal(
                f"{name} goes on from a state, and this model carries none.\n"
                "  Choose a recurrent architecture, such as lstm."
            )
        loss.backward()
        for p in learning.model.parameters():
            if p.requires_grad and p.grad is None:  # a slow part that did not act in this stretch
                p.grad = torch.zeros_like(p)
        if k2 > k1:
            remember(learning.memory, part)
        state = detach(result.state)
        if begin + k1 < total:
            learning.update()
    return state


def remember(memory: dict[str, Any], part: Batch) -> None:
    """Add steps to the past; what is kept of it shrinks in `reread`."""
    for name, new in (("x", part.x), ("y", part.y)):
        memory[name] = torch.cat([memory[name], new], 1) if name in memory else new


def reread(learning: EstimatorInput, state: State, steps: int) -> State:
    """Return the present state as the present weights make it of so many past steps.

    Args:
        state: the present one, for a stream that has no past yet.
    """
    memory = learning.memory
    if "x" not in memory:
        memory["state"] = state
        return state
    beyond = memory["x"].shape[1] - steps
    if beyond > 0:
        with torch.no_grad():
            gone = Batch(memory["x"][:, :beyond], memory["y"][:, :beyond])
            memory["state"] = detach(learning.forward(memory["state"], gone, False)[1].state)
        memory["x"], memory["y"] = memory["x"][:, beyond:], memory["y"][:, beyond:]
    if not memory["x"].shape[1]:
        return memory["state"]
    return learning.forward(memory["state"], Batch(memory["x"], memory["y"]), False)[1].state
