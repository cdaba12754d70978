"""The progress of a run: what it has measured and chosen, as its checkpoints keep it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from rnnbench.results.record import Status
from rnnbench.results.selection import SO, is_blind, why_blind, with_loss
from rnnbench.training.loader import Position
from rnnbench.training.stopping import Ended

DIVERGED = 1e4  # a training loss so many times its first value (or 1) is no longer learning


class OnValidation(Protocol):
    """Hears of each validation."""

    def __call__(self, step: int, value: float, /) -> bool:
        """Return True to end the run as pruned, given its selection metric at a step."""
        ...


class OnStep(Protocol):
    """Hears of each pack of optimiser steps."""

    def __call__(self, at: Position, loss: float, progress: float, /) -> None:
        """Take note of the mean training loss, and of the part of the budget that is spent."""
        ...


@dataclass
class TrainingProgress:
    """The measurements and choices of a run so far; its weights and position are kept elsewhere.

    The fields' names are keys of checkpoints: a renamed one is not read from older files.

    Attributes:
        best: the best validation: "value" and "step" of it (None before the first), and "stale",
            the validations since.
        best_weights: the model's weights there, on the CPU.
        curve: a row for each validation: [step, training seconds, figures by name].
        flow: gradient norm of each layer at the last step of the last round.
        recent: the last training losses, at most as many as a line of the log is the mean of.
        first_loss: of the first training step.
        ended: the budget or the patience is used up, and the last validation was made.
        train_seconds: time spent in training steps.
        unmeasurable: why the selection metric can tell nothing on validation; "" where it can.
    """

    best: dict[str, Any] = field(default_factory=lambda: {"value": None, "step": None, "stale": 0})
    best_weights: dict[str, Tensor] | None = None
    curve: list[list[Any]] = field(default_factory=list)
    flow: dict[str, float] = field(default_factory=dict)
    recent: list[float] = field(default_factory=list)
    first_loss: float | None = None
    ended: bool = False
    train_seconds: float = 0.0
    unmeasurable: str = ""

    def state_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take up what a checkpoint has; what an older one lacks stays as it is."""
        for f in dataclasses.fields(self):
            if f.name in saved:
                setattr(self, f.name, saved[f.name])

    def add_losses(self, losses: list[float], last_step: int) -> None:
        """Check the training losses of consecutive steps.

        Args:
            last_step: the optimiser step of the last of them.

        Raises:
            Ended: one is not finite, or the run has diverged.
        """
        bad = next((i for i, v in enumerate(losses) if not math.isfinite(v)), None)
        if bad is not None:
            step = last_step - len(losses) + bad + 1
            raise Ended(Status.NAN, f"the training loss is {losses[bad]} at step {step}")
        if self.first_loss is None:
            self.first_loss = losses[0]
        if max(losses) > DIVERGED * max(1.0, self.first_loss):
            raise Ended(
                Status.DIVERGED, f"the training loss rose to {max(losses):.3g} by step {last_step}"
            )

    def remember_losses(self, losses: list[float], count: int) -> None:
        """Append to `recent`, of which the last `count` are kept."""
        self.recent = (self.recent + losses)[-count:]

    @property
    def mean_loss(self) -> float | None:
        """Return the mean of the recent training losses, None before the first."""
        return sum(self.recent) / len(self.recent) if self.recent else None

    def choose(self, metric: str, *, higher_is_better: bool) -> Choice:
        """Weigh the last validation, and remember it as the best so far or as a stale one.

        Args:
            metric: the name of what chooses, in the figures of `curve`.
        """
        step, _, figures = self.curve[-1]
        value, loss = figures[metric], figures["loss"]
        blind = bool(self._why_blind(metric, higher_is_better=higher_is_better))
        best = self.best["value"]
        if best is None:
            better = True
        elif blind:
            better = _finite(loss) < _finite(self._loss_of_best())
        else:
            better = value > best if higher_is_better else value < best
        if better:
            self.best = {"value": value, "step": step, "stale": 0}
        else:
            self.best["stale"] += 1
        if blind:
            told = 0.0 if self.unmeasurable else value
            value = with_loss(told, loss, higher_is_better=higher_is_better)
        return Choice(better, value)

    def fallback(self, metric: str, *, higher_is_better: bool) -> dict[str, Any] | None:
        """Return what chose in the metric's place, as the record keeps it; None where it did."""
        why = self._why_blind(metric, higher_is_better=higher_is_better)
        if not why or self.best["value"] is None:
            return None
        return {
            "metric": "loss",
            "value": self._loss_of_best(),
            "note": why + SO,
            "unmeasurable": bool(self.unmeasurable),
        }

    def _why_blind(self, metric: str, *, higher_is_better: bool) -> str:
        """Say why a metric has told nothing so far; "" where it has."""
        if metric == "loss":
            return ""
        if self.unmeasurable:
            return f"{metric} tells nothing where {self.unmeasurable}"
        values = [v for _, _, figures in self.curve if math.isfinite(v := figures[metric])]
        blind = is_blind(values, higher_is_better=higher_is_better)
        return why_blind(metric, values) if blind else ""

    def _loss_of_best(self) -> float:
        return next(f["loss"] for step, _, f in self.curve if step == self.best["step"])


class Choice(NamedTuple):
    """A validation among those before it.

    Attributes:
        better: whether it is the best so far.
        compared: the value by which it is compared with validations of other runs, see
            `rnnbench.results.selection`.
    """

    better: bool
    compared: float


def _finite(loss: float) -> float:
    """Return the loss, infinity where there is none: it is no lower than any other."""
    return loss if math.isfinite(loss) else math.inf
