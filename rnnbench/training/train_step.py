"""One training step: the only place where tricks meet the model.

The refusal check runs the same functions on the meta device, so what passes there is what trains.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from rnnbench.contract import (
    SITES,
    Architecture,
    Backbone,
    Batch,
    Cell,
    EstimatorInput,
    Moment,
    Refusal,
    Result,
    State,
    Task,
    Trick,
    WrappedOptimizer,
)
from rnnbench.nn import Model
from rnnbench.spec.run_spec import Optimizer
from rnnbench.training.wiring import wire

if TYPE_CHECKING:
    from rnnbench.training.devices.data_parallel import OneProcess


class TrickFold:
    """Tricks in the order given. Folding over a site remembers who was reached."""

    def __init__(self, tricks: Iterable[Trick] = ()):
        self.all = tuple(tricks)
        self.at_site = {site: tuple(t for t in self.all if site in t.sites()) for site in SITES}
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

    def evaluated_apart(self, model: Model, task: Task) -> Iterator[tuple[Trick, Model]]:
        """Each trick that changes evaluation, with what it makes of a copy of the model."""
        for trick in self.at_site["evaluation"]:
            self.reached.add((trick.name, "evaluation"))
            replaced = trick.evaluation(copy.deepcopy(model).eval(), task)
            assert isinstance(replaced, Model), f"{trick.name}.evaluation gave no Model"
            yield trick, replaced

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


def assemble(architecture: Architecture, task: Task, tricks: TrickFold) -> Model:
    """Build the model and let the tricks change its cells and then the whole."""
    model = wire(architecture, task)
    map_cells(model, lambda cell: tricks.fold("cell", cell))
    return tricks.fold("model", model, task)


def make_optimizer(
    settings: Optimizer, parameters: Iterable[nn.Parameter], tricks: TrickFold
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


class StepOutcome(NamedTuple):
    """What a training step leaves besides gradients."""

    loss: Tensor  # the bare loss: mean over target elements, detached
    state: State  # carried to the next batch, detached


def backpropagate(learning: EstimatorInput) -> State:
    """The default estimator: back-propagation through the batch (Werbos 1990)."""
    loss, result = learning.forward(learning.state)
    loss.backward()
    return result.state


def training_step(
    model: Model,
    tricks: TrickFold,
    batch: Batch,
    state: State,
    at: Moment,
    carried: bool = False,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    memory: dict[str, Any] | None = None,
    ranks: OneProcess | None = None,
) -> StepOutcome:
    """Leave gradients in `.grad` of the model's parameters.

    Args:
        state: carried from the last batch, None at the start of a stream.
        at: optimiser step and progress, for what is scheduled.
        carried: the next batch continues this one.
        optimizer: for an estimator that learns within a batch, and for schedules.
        memory: what the estimator keeps from batch to batch.
        ranks: of a run on several devices; `batch` is the whole one, all else is the rank's own.
    """
    if ranks is not None:
        ranks.begin(at.step)
    for part in model.modules():
        if isinstance(part, Backbone):
            part.schedule(at)
    if isinstance(optimizer, WrappedOptimizer):
        optimizer.schedule(at)
    batch = tricks.fold("batch", batch, at)
    if ranks is not None:
        batch = ranks.share(model, batch)
    feed = None
    if tricks.at_site["feed"] and model.decodes:

        def feed(gold: Tensor, guess: Tensor) -> Tensor:
            return tricks.fold("feed", gold, guess, at)

    bare: list[tuple[Tensor, int]] = []

    def forward(
        state: State, part: Batch | None = None, report: bool = True
    ) -> tuple[Tensor, Result]:
        read = batch if part is None else part
        result = model(read, state, feed)
        loss = model.loss(result.out, read)
        if report:
            bare.append((loss.detach(), count_targets(read)))
        if result.penalty is not None:
            loss = loss + result.penalty
        return tricks.fold("loss", loss, result, at), result

    def fold_gradients() -> None:
        if ranks is not None:
            ranks.sum_gradients(list(model.parameters()))
        tricks.fold("gradient", [p for p in model.parameters() if p.grad is not None], at)

    def update() -> None:
        if optimizer is None:
            raise ValueError("this estimator learns within a batch, and was given no optimiser")
        fold_gradients()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if ranks is not None:
            ranks.own()

    learning = EstimatorInput(
        model, batch, state, at, carried, forward, update, {} if memory is None else memory
    )
    final = tricks.fold("estimator", backpropagate)(learning)
    fold_gradients()
    if ranks is None:
        return StepOutcome(_mean(bare), model.carry(final) if carried else None)
    ranks.own()  # a carried state has noise in it that lasts for its rows
    left = StepOutcome(_mean(bare), model.carry(final) if carried else None)
    ranks.common()
    return left


def _mean(losses: list[tuple[Tensor, int]]) -> Tensor:
    """The mean over target elements of the losses of parts."""
    if len(losses) == 1:
        return losses[0][0]
    if not losses:
        raise ValueError("the estimator reported no loss: it must call `learning.forward`")
    total = sum(count for _, count in losses)
    return torch.stack([loss * (count / total) for loss, count in losses]).sum()


def count_targets(batch: Batch) -> int:
    """Target elements of a batch: tokens, or values (missing ones included)."""
    if batch.y_len is None or batch.y_len.is_meta:
        return batch.y.numel()
    return int(batch.y_len.sum()) * (batch.y[0, 0].numel() if batch.y.dim() > 2 else 1)
