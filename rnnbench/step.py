"""One training step: the only place where tricks meet the model.

The refusal check runs the same functions on the meta device, so what passes there is what trains.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnnbench.contract import (
    Architecture,
    Backbone,
    Batch,
    Cell,
    Moment,
    Refusal,
    Result,
    State,
    Task,
    Trick,
)
from rnnbench.model import wire
from rnnbench.nn import Model
from rnnbench.spec import Optimizer


class Tricks:
    """Tricks in the order given. Folding over a site remembers who was reached."""

    def __init__(self, tricks: Iterable[Trick] = ()):
        self.all = tuple(tricks)
        self.at_site = {
            site: tuple(t for t in self.all if site in t.sites())
            for site in ("cell", "model", "batch", "feed", "loss", "gradient", "estimator")
        }
        self.at_site["optimizer"] = tuple(t for t in self.all if "optimizer" in t.sites())
        self.reached: set[tuple[str, str]] = set()
        estimators = self.at_site["estimator"]
        if len(estimators) > 1:
            raise Refusal(
                f"{' and '.join(t.name for t in estimators)} each estimate the gradient; a run has "
                "one estimator.\n  Drop all but one."
            )

    def fold(self, site: str, value: Any, *context: Any) -> Any:
        """Pass `value` through every trick that acts on `site`."""
        for trick in self.at_site[site]:
            self.reached.add((trick.name, site))
            value = getattr(trick, site)(value, *context)
        return value

    def unreached(self) -> list[tuple[Trick, str]]:
        """What the steps taken so far did not reach: trick and site."""
        return [
            (trick, site)
            for site, tricks in self.at_site.items()
            for trick in tricks
            if (trick.name, site) not in self.reached
        ]


def map_cells(module: nn.Module, wrap: Callable[[Cell], Cell]) -> None:
    """Replace every outermost Cell below `module` by `wrap(cell)`."""
    for name, child in list(module.named_children()):
        if isinstance(child, Cell):
            setattr(module, name, wrap(child))
        else:
            map_cells(child, wrap)


def assemble(architecture: Architecture, task: Task, tricks: Tricks) -> Model:
    """Build the model and let the tricks change its cells and then the whole."""
    model = wire(architecture, task)
    map_cells(model, lambda cell: tricks.fold("cell", cell))
    return tricks.fold("model", model, task)


def make_optimizer(
    settings: Optimizer, parameters: Iterable[nn.Parameter], tricks: Tricks
) -> torch.optim.Optimizer:
    """An optimiser of torch.optim by name, changed by the tricks.

    Raises:
        Refusal: an unknown name, or a setting that this optimiser does not have.
    """
    by_name = {
        name.lower(): cls
        for name, cls in vars(torch.optim).items()
        if inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer)
    }
    cls = by_name.get(settings.name.lower())
    if cls is None or cls is torch.optim.Optimizer or settings.name.lower() in UNUSABLE:
        known = ", ".join(sorted(set(by_name) - UNUSABLE))
        raise Refusal(f"optimizer.name: there is no {settings.name!r}.\n  Choose from: {known}")
    options: dict[str, Any] = {"lr": settings.lr}
    accepted = inspect.signature(cls).parameters
    for name in ("weight_decay", "momentum"):
        value = getattr(settings, name)
        if name in accepted:
            options[name] = value
        elif value:
            raise Refusal(f"optimizer.{name} = {value}: {settings.name} has no {name}.\n  Drop it.")
    return tricks.fold("optimizer", cls(list(parameters), **options))


# These need a closure or a sparse gradient that a plain step does not give.
UNUSABLE = {"optimizer", "lbfgs", "sparseadam", "muon"}


class Step(NamedTuple):
    """What a training step leaves besides gradients."""

    loss: Tensor  # the bare loss: mean over target elements, detached
    state: State  # carried to the next batch, detached


Forward = Callable[[State], tuple[Tensor, Result]]


def backpropagate(forward: Forward, state: State, model: Model) -> tuple[Tensor, State]:
    """The default estimator: back-propagation through the batch (Werbos 1990).

    Args:
        forward: runs model and loss from a state; returns the loss to minimise and the result.
        state: carried from the last batch of a stream, or None.

    Returns:
        The loss, and the model's final state. Gradients are left in `.grad`.
    """
    loss, result = forward(state)
    loss.backward()
    return loss.detach(), result.state


def training_step(
    model: Model, tricks: Tricks, batch: Batch, state: State, at: Moment, carried: bool = False
) -> Step:
    """Leave gradients in `.grad` of the model's parameters.

    Args:
        state: carried from the last batch, None at the start of a stream.
        at: optimiser step and progress, for what is scheduled.
        carried: the next batch continues this one.
    """
    for part in model.modules():
        if isinstance(part, Backbone):
            part.schedule(at)
    batch = tricks.fold("batch", batch, at)
    feed = None
    if tricks.at_site["feed"] and model.decodes:

        def feed(gold: Tensor, guess: Tensor) -> Tensor:
            return tricks.fold("feed", gold, guess, at)

    bare: list[Tensor] = []

    def forward(state: State) -> tuple[Tensor, Result]:
        result = model(batch, state, feed)
        loss = model.loss(result.out, batch)
        bare.append(loss.detach())
        return tricks.fold("loss", loss, result, at), result

    estimate = tricks.fold("estimator", backpropagate)
    _, final = estimate(forward, state, model)
    tricks.fold("gradient", [p for p in model.parameters() if p.grad is not None], at)
    return Step(bare[-1], model.carry(final) if carried else None)


def count_targets(batch: Batch) -> int:
    """Target elements of a batch: tokens, or values (missing ones included)."""
    if batch.y_len is None or batch.y_len.is_meta:
        return batch.y.numel()
    return int(batch.y_len.sum()) * (batch.y[0, 0].numel() if batch.y.dim() > 2 else 1)
