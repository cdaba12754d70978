"""Tricks, and the sites of a training step that they act on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract.architecture import Cell
from rnnbench.contract.estimation import EstimatorInput
from rnnbench.contract.plugin import Plugin
from rnnbench.contract.types import Batch, Moment, Result, State

if TYPE_CHECKING:
    from rnnbench.contract.task import Task

SITES = (
    "cell", "model", "batch", "feed", "loss", "gradient", "estimator", "optimizer", "evaluation",
)  # fmt: skip

Estimator = Callable[[EstimatorInput], State]


class Trick(Plugin):
    """A change to training. Override the sites you act on: each takes a value, returns its
    replacement, and is folded in the order in which tricks are listed.

    A site that is overridden and never reached in the dry run refuses the combination.

    Class attributes:
        null: settings at which it changes nothing, bit for bit; None where it has none, such as a
            trick that either is there or is not.
    """

    null: ClassVar[Mapping[str, Any] | None] = None

    def cell(self, cell: Cell) -> Cell:
        """Replace a recurrent transition."""
        return cell

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        """Change the built module; raise `Refusal` where there is nothing to act on."""
        return model

    def batch(self, batch: Batch, at: Moment) -> Batch:
        """Change a training batch."""
        return batch

    def feed(self, gold: Tensor, guess: Tensor, at: Moment) -> Tensor:
        """Choose the decoder's next input: gold and guess are (B, 1) tokens or (B, 1, V) values."""
        return gold

    def loss(self, loss: Tensor, result: Result, at: Moment) -> Tensor:
        """Change the scalar that is minimised (the reported loss stays the bare one)."""
        return loss

    def gradient(self, parameters: list[nn.Parameter], at: Moment) -> list[nn.Parameter]:
        """Change `.grad` in place, before the optimiser's step."""
        return parameters

    def estimator(self, inner: Estimator) -> Estimator:
        """Replace how gradients arise; at most one trick may."""
        return inner

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Wrap or change the optimiser; see `WrappedOptimizer`."""
        return optimizer

    def evaluation(self, model: nn.Module, task: Task) -> nn.Module:
        """Replace the model in one more evaluation at the end, reported apart from the plain one.

        Args:
            model: a copy with the best weights, in evaluation mode, without gradients.
        """
        return model

    @classmethod
    def overrides(cls) -> tuple[str, ...]:
        """The sites that this kind of trick acts on."""
        return tuple(s for s in SITES if getattr(cls, s) is not getattr(Trick, s))

    def sites(self) -> tuple[str, ...]:
        """The sites that this one acts on; fewer where its settings leave one out."""
        return self.overrides()
