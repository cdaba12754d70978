"""Learning step by step along a stream: what forward-mode estimators of the gradient share.

With state s_t and loss L_t of step t, all of them use

    dL_t/dθ = ∂L_t/∂θ + (∂L_t/∂s_{t-1}) J_{t-1},   J_t = F_s J_{t-1} + F_θ,
    F_s = ∂s_t/∂s_{t-1},   F_θ = ∂s_t/∂θ with s_{t-1} fixed,

and differ in how they keep the influence J = ds/dθ, or something in its place. The first term of
the gradient is called direct; `DifferentiableStep` gives each of the parts.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from rnnbench.contract import Estimator, EstimatorInput, Kind, Refusal, State, Task, Trick, setting
from rnnbench.nn.estimators.one_step import (
    DifferentiableStep,
    Gradients,
    cut,
    length_of,
    stepwise,
    take_step,
    targets_of,
)

__all__ = [
    "DifferentiableStep",
    "Gradients",
    "Online",
    "add",
    "learn_online",
    "refuse_large",
    "refuse_unless_stepwise",
]  # fmt: skip


def refuse_unless_stepwise(name: str, task: Task) -> None:
    """Refuse tasks that cannot be read a few steps at a time.

    Raises:
        Refusal: naming the trick.
    """
    if task.kind is not Kind.ALIGNED or task.source.layout != "sequence":
        layout = "" if task.source.layout == "sequence" else f" of a {task.source.layout}"
        raise Refusal(
            f"{name} learns while it reads, so each step needs a target of its own; {task.name} "
            f"is {task.kind.value}{layout}.\n"
            "  Choose a task with a target at every step of a sequence, such as char-lm."
        )
    if not task.causal:
        raise Refusal(
            f"{name} learns from what was read so far, and {task.name} allows looking ahead.\n"
            "  Choose a causal task, such as char-lm."
        )


@dataclass(frozen=True)
class Online(Trick):
    """An estimator that follows a stream step by step. Subclasses write `follow`."""

    every: int | None = setting(
        1, "steps from one update to the next; null: one update a batch", unit="steps", low=1
    )

    def follow(self, step: DifferentiableStep, memory: dict[str, Any]) -> Gradients:
        """Return the gradient of this step's loss; `memory` goes from s_{t-1} to s_t.

        What is put into `memory` replaces what was there and is never changed in place.
        """
        raise NotImplementedError

    def watching(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Observe steps while the context lasts; it yields `DifferentiableStep.seen`."""
        return contextlib.nullcontext()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        refuse_unless_stepwise(self.name, task)
        return model

    def estimator(self, inner: Estimator) -> Estimator:
        return partial(learn_online, self)


def learn_online(trick: Online, learning: EstimatorInput) -> State:
    """Read a batch step by step; update every few steps, and leave the last gradient to core.

    The gradient of an update is that of the mean loss over the targets since the one before.

    Raises:
        Refusal: see `take_step`; or nothing would differ from back-propagation.
    """
    if trick.every is None and not learning.carried:
        raise Refusal(
            f"{trick.name}: every = null makes one update a batch, and here no batch continues "
            "another, so that back-propagation does the same exactly and faster.\n"
            f"  Set {trick.name}:every=1, or choose a task whose state is carried."
        )
    batch, state, total = learning.batch, learning.state, length_of(learning.batch)
    sums: dict[int, Tensor] = {}
    targets = 0
    with stepwise(learning.model), trick.watching(learning.model) as watched:
        for t in range(total):
            part = cut(batch, t, t + 1)
            count = targets_of(part)
            step, state = take_step(trick.name, learning, state, part, seen=watched)
            for k, g in enumerate(trick.follow(step, learning.memory)):
                if g is not None:
                    sums[k] = g * count + sums[k] if k in sums else g * count
            targets += count
            if t + 1 == total or (trick.every is not None and (t + 1) % trick.every == 0):
                for k, g in sums.items():
                    step.parameters[k].grad = g / max(targets, 1)
                sums, targets = {}, 0
                if t + 1 < total:
                    learning.update()
        if total == 1 and batch.x.is_meta:  # would the state keep its size?
            take_step(trick.name, learning, state, cut(batch, 0, 1), report=False)
    return state


def refuse_large(name: str, step: DifferentiableStep, largest: int) -> None:
    """Refuse an influence of too many numbers; called before the first is made.

    Raises:
        Refusal: with the number.
    """
    size = step.new_BS.shape[1]
    parameters = sum(step.parameters[k].numel() for k in step.reached())
    if size * parameters > largest:
        raise Refusal(
            f"{name} keeps {size} × {parameters} = {size * parameters:,} numbers a row: the "
            f"state's times the parameters' that it depends on; its limit is {largest:,}.\n"
            f"  Make the architecture smaller, raise {name}:largest if memory allows, or choose "
            "uoro, which keeps their sum."
        )


def add(gradients: Gradients, k: int, like: nn.Parameter, flat_N: Tensor) -> None:
    """Add a flat gradient to that of parameter `k`."""
    direct, g = gradients[k], flat_N.view_as(like)
    gradients[k] = g if direct is None else direct + g
