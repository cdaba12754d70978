"""An optimiser around an optimiser, for tricks; and a mark on parameters that never decay."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from rnnbench.contract.types import Moment

_MARK = "_no_weight_decay"  # on the parameter, by the name that Mamba's authors gave it


def undecayed(parameter: nn.Parameter) -> nn.Parameter:
    """Mark a parameter that no weight decay shrinks, and return it.

    For parameters whose zero means something else than "nothing", such as the logarithm of a rate:
    `self.log_rate = undecayed(nn.Parameter(...))`. `optimizer.weight_decay` then leaves it alone
    with every optimiser; a trick that shrinks weights asks `decays`.
    """
    setattr(parameter, _MARK, True)
    return parameter


def decays(parameter: Tensor) -> bool:
    """Return whether weight decay may shrink a parameter: it was not marked by `undecayed`."""
    return not getattr(parameter, _MARK, False)


class WrappedOptimizer(torch.optim.Optimizer):
    """An optimiser around an optimiser: override what changes; all else goes to the inner one.

    A run calls, in this order: `schedule` before each batch is learnt from, `step` and `zero_grad`
    after it, and at each validation `averaged` (to evaluate, and to keep the best weights), then
    `observe`. Several wrappers stand around each other, the last listed trick outermost.

    Attributes:
        inner: the optimiser within.
        memory: tensors and numbers that must survive; a part of `state_dict`, so of checkpoints.
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
        """Yield all parameters, in the order of the groups."""
        for group in self.param_groups:
            yield from group["params"]

    def step(self, closure: Any = None) -> Any:
        """Change the weights by their gradients, once a batch or as often as the estimator asks."""
        return self.inner.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, before each batch."""
        self.inner.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self.inner.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the inner optimiser's state, and `memory`."""
        return {"inner": self.inner.state_dict(), "memory": self.memory}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of a checkpoint, with `memory` on the device of the parameters."""
        self.inner.load_state_dict(state_dict["inner"])
        device = next(self.parameters()).device
        self.memory = _copy_to(state_dict["memory"], device)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    def schedule(self, at: Moment) -> None:
        """Set what changes over training; called before each batch is learnt from.

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
        """Learn how a validation went; called after each one.

        Args:
            value: the selection metric, negated where higher is better: lower is better here.
            better: whether it is the best so far.
        """
        if isinstance(self.inner, WrappedOptimizer):
            self.inner.observe(value, better)

    def idle(self) -> str:
        """Say that this one has changed nothing so far, and why; "" (the default): it has, or may.

        Written into the record at the end of training, as "NAME never acted: the reason", so that
        a row equal to the one without the trick does not pass for a finding.
        """
        return ""

    def averaged(self) -> AbstractContextManager[None]:
        """Return a context in which the parameters hold what is evaluated and kept.

        An average of weights, for example. It is entered for each validation, and once more to copy
        the weights where that validation was the best; on leaving, training goes on as before.
        """
        if isinstance(self.inner, WrappedOptimizer):
            return self.inner.averaged()
        return contextlib.nullcontext()


def _copy_to(value: Any, device: torch.device) -> Any:
    """Return nested containers with their tensors copied to a device."""
    if isinstance(value, Tensor):
        return value.detach().to(device, copy=True)
    if isinstance(value, dict):
        return {k: _copy_to(v, device) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copy_to(v, device) for v in value)
    return value
