"""One training step, `TrainStep`: the only place where tricks meet the model.

The dry run takes the same step on the meta device, so what passes there is what trains.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnnbench.contract import (
    SITES,
    Architecture,
    Backbone,
    Batch,
    Cell,
    Estimator,
    EstimatorInput,
    Moment,
    Refusal,
    Result,
    State,
    Task,
    Trick,
    WrappedOptimizer,
    decays,
)
from rnnbench.nn import Model
from rnnbench.nn.models.base import Feed
from rnnbench.spec.run_spec import Optimizer
from rnnbench.training.devices.data_parallel import ONE_PROCESS, DataParallel
from rnnbench.training.wiring import wire


class TrickFold:
    """The tricks of a run, in the order given; it remembers which of their sites were reached."""

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
        """Return `value` after every trick that acts on `site`, one after another."""
        for trick in self.at_site[site]:
            self.reached.add((trick.name, site))
            value = getattr(trick, site)(value, *context)
        return value

    def evaluated_apart(self, model: Model, task: Task) -> Iterator[tuple[Trick, Model]]:
        """Yield each trick that changes evaluation, with what it makes of a copy of the model."""
        for trick in self.at_site["evaluation"]:
            self.reached.add((trick.name, "evaluation"))
            replaced = trick.evaluation(copy.deepcopy(model).eval(), task)
            assert isinstance(replaced, Model), f"{trick.name}.evaluation gave no Model"
            yield trick, replaced

    def unreached(self) -> list[tuple[Trick, str]]:
        """Return the tricks and their sites that the steps taken so far did not reach."""
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
    """Return an optimiser of torch.optim by name, changed by the tricks.

    Parameters that are marked as `undecayed` have no weight decay, whichever the optimiser.

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
    return tricks.fold("optimizer", cls(groups_by_decay(parameters, accepted, options), **options))


DECAYS = ("weight_decay", "lambd")  # the settings of torch's optimisers that shrink weights


def groups_by_decay(
    parameters: Iterable[nn.Parameter],
    accepted: Mapping[str, inspect.Parameter],
    options: Mapping[str, Any],
) -> list[nn.Parameter] | list[dict[str, Any]]:
    """Return the parameters, those apart that must not decay where the optimiser shrinks others."""
    parameters = list(parameters)
    shrinking = [n for n in DECAYS if n in accepted and options.get(n, accepted[n].default)]
    kept = [p for p in parameters if not decays(p)]
    if not shrinking or not kept:
        return parameters
    groups: list[dict[str, Any]] = [{"params": kept, **dict.fromkeys(shrinking, 0.0)}]
    others = [p for p in parameters if decays(p)]
    return [{"params": others}, *groups] if others else groups


# These need a closure or a sparse gradient that a plain step does not give.
UNUSABLE = {"optimizer", "lbfgs", "sparseadam", "muon"}


class StepOutcome(NamedTuple):
    """The outcome of a training step, besides gradients."""

    loss: Tensor  # the bare loss: mean over target elements, detached
    state: State  # carried to the next batch, detached


def backpropagate(learning: EstimatorInput, /) -> State:
    """Back-propagate through the whole batch (Werbos 1990): the default estimator."""
    loss, result = learning.forward(learning.state)
    loss.backward()
    return result.state


@dataclass(eq=False)
class TrainStep:
    """Takes training steps, one a batch: `take` shows the order of a trick's sites.

    It leaves gradients; the caller clears them before and steps the optimiser after.

    Attributes:
        carried: whether each batch continues the last one, so that state is handed on.
        optimizer: for schedules, and for an estimator that learns within a batch.
        memory: what the estimator keeps from batch to batch.
        ranks: the processes that share each batch; `take` gets the whole one in each of them.
    """

    model: Model
    tricks: TrickFold
    carried: bool = False
    optimizer: torch.optim.Optimizer | None = None
    memory: dict[str, Any] = field(default_factory=dict)
    ranks: DataParallel = ONE_PROCESS

    def take(self, batch: Batch, state: State, at: Moment) -> StepOutcome:
        """Leave gradients in `.grad` of the model's parameters.

        Args:
            state: carried from the last batch, None at the start of a stream.
            at: optimiser step and progress, for what is scheduled.
        """
        self._at = at
        self._losses: list[tuple[Tensor, int]] = []  # bare ones, each with its target elements
        self.ranks.begin(at.step)
        self.schedule()
        self._batch = self.prepare_batch(batch)
        estimate: Estimator = self.tricks.fold("estimator", backpropagate)
        final_state = estimate(
            EstimatorInput(
                self.model, self._batch, state, at, self.carried, self.forward, self.update,
                self.memory,
            )
        )  # fmt: skip
        self.fold_gradients()
        return self._outcome(final_state)

    def schedule(self) -> None:
        """Let backbones and the optimiser set what changes over training."""
        for part in self.model.modules():
            if isinstance(part, Backbone):
                part.schedule(self._at)
        if isinstance(self.optimizer, WrappedOptimizer):
            self.optimizer.schedule(self._at)

    def prepare_batch(self, batch: Batch) -> Batch:
        """Return the batch after the site `batch`, and of it this rank's rows."""
        return self.ranks.share(self.model, self.tricks.fold("batch", batch, self._at))

    def forward(
        self, state: State, part: Batch | None = None, report: bool = True
    ) -> tuple[Tensor, Result]:
        """Return the loss to minimise, after the site `loss`, and the model's result.

        Called by the estimator: see `contract.ForwardPass`. The site `feed` is reached within.
        """
        batch = self._batch if part is None else part
        result = self.model(batch, state, self._feed)
        loss = self.model.loss(result.out, batch)
        if report:
            self._losses.append((loss.detach(), count_targets(batch)))
        if result.penalty is not None:
            loss = loss + result.penalty
        return self.tricks.fold("loss", loss, result, self._at), result

    @property
    def _feed(self) -> Feed | None:
        """Return the function by which a decoder asks what it reads next, where a trick says so."""
        return self._fold_feed if self.tricks.at_site["feed"] and self.model.decodes else None

    def _fold_feed(self, gold: Tensor, guess: Tensor) -> Tensor:
        return self.tricks.fold("feed", gold, guess, self._at)

    def fold_gradients(self) -> None:
        """Sum gradients over ranks, then apply the site `gradient` to them."""
        self.ranks.sum_gradients(self.model)
        with_gradient = [p for p in self.model.parameters() if p.grad is not None]
        self.tricks.fold("gradient", with_gradient, self._at)

    def update(self) -> None:
        """Step the optimiser within the batch, as an estimator may ask: see `EstimatorInput`."""
        if self.optimizer is None:
            raise ValueError("this estimator learns within a batch, and was given no optimiser")
        self.fold_gradients()
        self.optimizer.step()
        constrain(self.model)
        self.optimizer.zero_grad(set_to_none=True)
        self.ranks.own()

    def _outcome(self, final_state: State) -> StepOutcome:
        self.ranks.own()  # a carried state may hold noise that lasts for its rows
        state = self.model.carry(final_state) if self.carried else None
        self.ranks.common()
        return StepOutcome(mean_loss(self._losses), state)


def averaged(optimizer: torch.optim.Optimizer) -> contextlib.AbstractContextManager[None]:
    """Return a context in which the model has the weights that are evaluated and kept."""
    if isinstance(optimizer, WrappedOptimizer):
        return optimizer.averaged()
    return contextlib.nullcontext()


@torch.no_grad()
def constrain(model: nn.Module) -> None:
    """Let every backbone bring its parameters back within their limits, after an update."""
    for part in model.modules():
        if isinstance(part, Backbone):
            part.constrain()


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
    ranks: DataParallel = ONE_PROCESS,
) -> StepOutcome:
    """Take a single `TrainStep`, as tests and the laws of plugins do."""
    step = TrainStep(model, tricks, carried, optimizer, {} if memory is None else memory, ranks)
    return step.take(batch, state, at)


def mean_loss(losses: list[tuple[Tensor, int]]) -> Tensor:
    """Return the mean over target elements of the losses of parts, each with its elements."""
    if len(losses) == 1:
        return losses[0][0]
    if not losses:
        raise ValueError("the estimator reported no loss: it must call `learning.forward`")
    total = sum(count for _, count in losses)
    return torch.stack([loss * (count / total) for loss, count in losses]).sum()


def count_targets(batch: Batch) -> int:
    """Return the target elements of a batch: tokens, or values (missing ones included)."""
    if batch.y_len is None or batch.y_len.is_meta:
        return batch.y.numel()
    return int(batch.y_len.sum()) * (batch.y[0, 0].numel() if batch.y.dim() > 2 else 1)
