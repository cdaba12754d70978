"""What an estimator of the gradient is given, and an optimiser around an optimiser."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnnbench.contract.types import Batch, Moment, Result, State


@dataclass
class EstimatorInput:
    """One training batch, as an estimator of the gradient sees it.

    An estimator leaves gradients in `.grad` of the model's parameters and returns the model's
    final state; core then folds the `gradient` site and steps the optimiser.

    Attributes:
        model: as assembled, in training mode.
        batch: with the `batch` site folded in.
        state: carried from the last batch of a stream, else None.
        at: where training stands.
        carried: the next batch continues this one.
        forward: (state, batch=None) -> (loss to minimise, result) of the whole batch, or of a
            part of it. What it computes is reported, weighted by targets; `report=False` leaves
            a further look at the same targets out.
        update: fold the `gradient` site, step the optimiser and clear the gradients: for an
            estimator that learns within a batch. Gradients left at the end are core's to use.
        memory: nested tuples, lists and dicts of tensors and numbers that the estimator keeps
            from batch to batch. It is saved in checkpoints, and emptied where a stream begins.
    """

    model: nn.Module
    batch: Batch
    state: State
    at: Moment
    carried: bool
    forward: Callable[..., tuple[Tensor, Result]]
    update: Callable[[], None]
    memory: dict[str, Any]


def _copied(value: Any, device: torch.device) -> Any:
    """Nested containers with their tensors copied to a device."""
    if isinstance(value, Tensor):
        return value.detach().to(device, copy=True)
    if isinstance(value, dict):
        return {k: _copied(v, device) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(v, device) for v in value)
    return value


class WrappedOptimizer(torch.optim.Optimizer):
    """An optimiser around an optimiser: override what changes; the rest goes through.

    Keep what must survive in `memory`, a dict of tensors and numbers, which is part of
    `state_dict`.
    """

    def __init__(self, inner: torch.optim.Optimizer):
        # torch's own initialiser would make a second set of groups and states.
        self.inner = inner
        self.memory: dict[str, Any] = {}

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return self.inner.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.inner.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        return self.inner.defaults

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters, in the order of the groups."""
        for group in self.param_groups:
            yield from group["params"]

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.inner.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self.inner.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict(), "memory": self.memory}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.inner.load_state_dict(state_dict["inner"])
        device = next(self.parameters()).device
        self.memory = _copied(state_dict["memory"], device)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    def schedule(self, at: Moment) -> None:
        """Called before each batch is learnt from, for what changes over training.

        The innermost wrapper puts every learning rate back to its initial value. A schedule calls
        this first and then multiplies it (`scale_lr`), so that several schedules compose.
        """
        if isinstance(self.inner, WrappedOptimizer):
            self.inner.schedule(at)
            return
        for group in self.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"])

    def scale_lr(self, factor: float, lowest: float = 0.0) -> None:
        """Multiply every learning rate, of which the factor alone goes no lower than `lowest`."""
        for group in self.param_groups:
            floor = lowest / group["initial_lr"] if group["initial_lr"] else 0.0
            group["lr"] *= max(factor, min(1.0, floor))

    def observe(self, value: float, better: bool) -> None:
        """Called after each validation.

        Args:
            value: of what selects, turned so that lower is better.
            better: whether it is the best so far.
        """
        if isinstance(self.inner, WrappedOptimizer):
            self.inner.observe(value, better)

    def averaged(self) -> AbstractContextManager[None]:
        """Within it the parameters hold what is evaluated and kept, such as an average."""
        if isinstance(self.inner, WrappedOptimizer):
            return self.inner.averaged()
        return contextlib.nullcontext()
