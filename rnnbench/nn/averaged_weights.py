"""Optimisers whose evaluated weights are other than the trained ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor

from rnnbench.contract import Refusal, WrappedOptimizer


class AveragingOptimizer(WrappedOptimizer):
    """Trains the parameters and evaluates an average of them. Write `step` and `average`.

    Only parameters are averaged: running statistics of normalisation stay those of the trained
    weights.

    Class attributes:
        changes_training: training differs by it too, so another average may be put around it.
    """

    changes_training: ClassVar[bool] = False

    def average(self) -> list[Tensor] | None:
        """Return the evaluated value of each parameter, as in `parameters`; None: as trained."""
        raise NotImplementedError

    @contextmanager
    def averaged(self) -> Iterator[None]:
        average = self.average()
        if average is None:
            with super().averaged():
                yield
            return
        trained = [p.detach().clone() for p in self.parameters()]
        self.put(average)
        try:
            yield
        finally:
            self.put(trained)

    @torch.no_grad()
    def put(self, values: list[Tensor]) -> None:
        """Give the parameters other values."""
        for p, value in zip(self.parameters(), values, strict=True):
            p.copy_(value)

    def snapshot(self) -> list[Tensor]:
        """Return a copy of the parameters."""
        return [p.detach().clone() for p in self.parameters()]


def refuse_second_average(optimizer: torch.optim.Optimizer, name: str) -> None:
    """Refuse an average whose place is taken.

    Args:
        optimizer: what is about to be wrapped.
        name: of the trick that wraps it.

    Raises:
        Refusal: an optimiser inside evaluates an average already, which would be ignored.
    """
    inside: object = optimizer
    while isinstance(inside, WrappedOptimizer):
        if isinstance(inside, AveragingOptimizer) and not inside.changes_training:
            raise Refusal(
                f"{name}: a trick listed before it, {type(inside).__name__}, decides already which "
                f"weights are evaluated.\n  Drop one of the two; lookahead may stand before "
                "an average."
            )
        inside = inside.inner
