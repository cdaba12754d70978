"""Tricks, and the sites of training at which they act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract.architecture import Cell
from rnnbench.contract.estimation import Estimator as Estimator
from rnnbench.contract.names import SITES
from rnnbench.contract.plugin import Plugin
from rnnbench.contract.types import Batch, Moment, Result

if TYPE_CHECKING:
    from rnnbench.contract.task import Task


class Trick(Plugin):
    """A change to training. Override the sites you act on: each takes a value and returns its
    replacement, and at each the tricks act in the order in which they are listed.

    Sites are called in this order. Once a run: `cell` for each recurrent cell, `model`,
    `optimizer`. Once a training batch: `batch`, `estimator`'s function, and within it `feed` (for
    each step that a decoder reads) and `loss` for each forward pass; then `gradient`, and the
    optimiser steps. Once at the end: `evaluation`. The dry run calls them all on a tiny batch; a
    site that is overridden and never reached there refuses the combination.

    Class attributes:
        null: settings at which it changes nothing, bit for bit; None where it has none, such as a
            trick that either is there or is not.
    """

    null: ClassVar[Mapping[str, Any] | None] = None

    def cell(self, cell: Cell) -> Cell:
        """Replace a recurrent cell; called for each outermost one, when the model is built."""
        return cell

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        """Change the built model, after its cells; raise `Refusal` if it has nothing to act on."""
        return model

    def batch(self, batch: Batch, at: Moment) -> Batch:
        """Change a training batch, before the model reads it; never called at evaluation."""
        return batch

    def feed(self, gold: Tensor, guess: Tensor, at: Moment) -> Tensor:
        """Choose what a decoder reads next; called for each of its steps after the first.

        Args:
            gold, guess: the true and the predicted last output, (B, 1) tokens or (B, 1, V) values.
        """
        return gold

    def loss(self, loss: Tensor, result: Result, at: Moment) -> Tensor:
        """Change the scalar that is minimised (the reported loss stays the bare one).

        Called after each forward pass of the estimator.
        """
        return loss

    def gradient(self, parameters: list[nn.Parameter], at: Moment) -> list[nn.Parameter]:
        """Change `.grad` in place, before each step of the optimiser.

        Args:
            parameters: those that have a gradient.
        """
        return parameters

    def estimator(self, inner: Estimator) -> Estimator:
        """Return the function that computes gradients, called once a batch; one trick may."""
        return inner

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Wrap or change the optimiser, when it is made; see `WrappedOptimizer`."""
        return optimizer

    def evaluation(self, model: nn.Module, task: Task) -> nn.Module:
        """Replace the model in one more evaluation at the end, reported apart from the plain one.

        Args:
            model: a copy with the best weights, in evaluation mode, without gradients.
        """
        return model

    @classmethod
    def overrides(cls) -> tuple[str, ...]:
        """Return the sites that this kind of trick acts on."""
        return tuple(s for s in SITES if getattr(cls, s) is not getattr(Trick, s))

    def sites(self) -> tuple[str, ...]:
        """Return the sites that this one acts on: override it where a setting leaves one out."""
        return self.overrides()
