"""Estimators of the gradient of a batch, and the input that they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from rnnbench.contract.types import Batch, Moment, Result, State


class ForwardPass(Protocol):
    """Runs the model forwards and applies the sites `feed` and `loss`."""

    def __call__(
        self, state: State, part: Batch | None = None, report: bool = True
    ) -> tuple[Tensor, Result]:
        """Return the loss to minimise, a scalar with a graph, and what the model said.

        Args:
            state: the model's state before the first step that is read.
            part: the part of the batch to read; None for the whole of it.
            report: count this loss, weighted by its targets, in what the log shows. False for a
                further look at targets that were counted before.
        """
        ...


class WithinBatchUpdate(Protocol):
    """Steps the optimiser in the middle of a batch."""

    def __call__(self) -> None:
        """Apply the site `gradient`, step the optimiser and clear the gradients."""
        ...


@dataclass
class EstimatorInput:
    """One training batch, as an estimator of the gradient sees it.

    An estimator calls `forward` once or more, leaves gradients in `.grad` of the model's
    parameters and returns the model's final state. Core then applies the site `gradient` and steps
    the optimiser.

    Attributes:
        model: as assembled, in training mode.
        batch: after the site `batch`.
        state: carried from the last batch of a stream, else None.
        at: the moment of training.
        carried: whether the next batch continues this one.
        forward: run the model and get the loss: see `ForwardPass`. The estimator calls it from
            the carried state, on the whole batch or part by part; at least once with a report.
        update: for an estimator that learns within a batch: see `WithinBatchUpdate`. It is called
            after gradients of a part were made; gradients left at the end are core's to use.
        memory: nested tuples, lists and dicts of tensors and numbers that the estimator keeps
            from batch to batch. It is saved in checkpoints, and emptied where a stream begins.
    """

    model: nn.Module
    batch: Batch
    state: State
    at: Moment
    carried: bool
    forward: ForwardPass
    update: WithinBatchUpdate
    memory: dict[str, Any]


class Estimator(Protocol):
    """Computes gradients of a batch: called once a batch, after `batch` and before `gradient`."""

    def __call__(self, learning: EstimatorInput, /) -> State:
        """Leave gradients in `.grad` and return the model's final state."""
        ...
