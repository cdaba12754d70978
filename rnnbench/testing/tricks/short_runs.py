"""Short training runs of tricks on toy tasks: what the laws of tricks compare."""

from __future__ import annotations

import contextlib
import copy
import functools
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import rnnbench
from rnnbench.contract import (
    Architecture,
    Batch,
    Moment,
    State,
    Trick,
    WrappedOptimizer,
)
from rnnbench.nn import Model
from rnnbench.spec.run_spec import Optimizer
from rnnbench.testing.every_plugin import fresh
from rnnbench.testing.fixtures.backbones import doubled
from rnnbench.testing.fixtures.toy_tasks import Toy
from rnnbench.testing.law import differ
from rnnbench.training.determinism import seed_everything
from rnnbench.training.train_step import (
    TrickFold,
    assemble,
    constrain,
    make_optimizer,
    training_step,
)

ADAM = Optimizer(lr=1e-2)
EARLY = ((0, 0.0), (1, 0.3), (2, 0.6))
LATE = ((1000, 0.5), (1500, 0.75), (1999, 1.0))  # moments at which a schedule has an effect
STEEP = 1000.0  # a loss so many times as large, for tricks that act beyond a threshold


class RehearsalPlace(NamedTuple):
    """An architecture on a toy task."""

    words: str
    architecture: Architecture
    toy: Toy


class Run:
    """A model that trains on a toy's batches, step by step, from a seed."""

    def __init__(
        self,
        place: RehearsalPlace,
        tricks: Sequence[Trick],
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        steepness: float = 1.0,
        optimizer: Optimizer = ADAM,
    ) -> None:
        seed_everything(seed)
        self.toy, self.tricks, self.dtype = place.toy, TrickFold(map(fresh, tricks)), dtype
        self.model = assemble(place.architecture, place.toy, self.tricks).to(dtype)
        self.optimizer = make_optimizer(optimizer, self.model.parameters(), self.tricks)
        self.state: State = None
        self.memory: dict[str, Any] = {}
        self.losses: list[Tensor] = []
        self.gradients: list[Tensor | None] = []
        if steepness != 1:
            loss = self.model.loss
            self.model.loss = lambda out, batch: loss(out, batch) * steepness  # type: ignore[method-assign]
        seed_everything(seed + 2**31)

    def batch(self, index: int) -> Batch:
        """Return the toy's batch of this index, in the precision of the run."""
        example = self.toy.example(index)
        return doubled(example) if self.dtype == torch.float64 else example

    def step(self, index: int, at: Moment) -> None:
        """Make one optimiser step on the batch of this index."""
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        if not self.toy.carried:
            self.memory.clear()
        result = training_step(
            self.model,
            self.tricks,
            self.batch(index),
            self.state,
            at,
            self.toy.carried,
            optimizer=self.optimizer,
            memory=self.memory,
        )
        self.state = result.state
        self.losses.append(result.loss)
        self.gradients = [None if p.grad is None else p.grad.clone() for p in self.parameters()]
        self.optimizer.step()
        constrain(self.model)
        if isinstance(self.optimizer, WrappedOptimizer):  # validations that never improve
            self.optimizer.observe(float(index), better=index == 0)

    def steps(self, moments: Sequence[tuple[int, float]] = EARLY) -> Run:
        """Make a step at each of these moments (step, progress)."""
        for i, at in enumerate(moments):
            self.step(i, Moment(*at))
        return self

    def parameters(self) -> list[Tensor]:
        return list(self.model.parameters())

    def outcome(self) -> tuple[Any, ...]:
        """Return losses, last gradients and parameters: these are compared."""
        return self.losses, self.gradients, [p.detach() for p in self.parameters()]

    @torch.no_grad()
    def evaluated(self, index: int = 7) -> list[Tensor]:
        """Return the outputs in evaluation mode, and what is decoded from them."""
        model: Model = self.model.eval()
        batch = self.batch(index)
        with self.averaged():
            outputs = [model(batch).out, *([model.decode(batch)] if model.decodes else [])]
            for _, other in self.tricks.evaluated_apart(model, self.toy):
                outputs.append(other(batch).out)
            return outputs

    def kept(self) -> dict[str, Tensor]:
        """Return a copy of the weights that a run keeps."""
        with self.averaged():
            return {name: v.clone() for name, v in self.model.state_dict().items()}

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Give the model, within the context, the weights that are evaluated and kept."""
        if isinstance(self.optimizer, WrappedOptimizer):
            return self.optimizer.averaged()
        return contextlib.nullcontext()


@functools.lru_cache(maxsize=512)
def bare(place: RehearsalPlace, moments: tuple[tuple[int, float], ...]) -> tuple[Any, ...]:
    """Return the outcome of a run without tricks."""
    return Run(place, ()).steps(moments).outcome()


@functools.lru_cache(maxsize=32)
def trained_late(place: RehearsalPlace, trick: Trick) -> tuple[Run, tuple[Any, ...]]:
    """Run late in training, for laws that only read what came out; return it with its outcome."""
    run = Run(place, (trick,)).steps(LATE)
    return run, tuple(
        [None if v is None else v.detach().clone() for v in part] for part in run.outcome()
    )


@functools.lru_cache(maxsize=256)
def late(place: RehearsalPlace, tricks: tuple[Trick, ...], steepness: float) -> Run:
    """Run late in training, in double precision: rounding must not pass for an effect."""
    return Run(place, tricks, dtype=torch.float64, steepness=steepness).steps(LATE)


def has_effect(
    place: RehearsalPlace, tricks: tuple[Trick, ...], on: tuple[Trick, ...] = ()
) -> bool:
    """Tell whether `tricks` change anything against training with the tricks `on` alone.

    Both are run late in training, with the loss as it is and with a steep one.
    """
    for steepness in (1.0, STEEP):
        with_tricks, plain = late(place, tricks, steepness), late(place, on, steepness)
        if not alike(with_tricks.outcome(), plain.outcome(), 1e-9):
            return True
        sites = with_tricks.tricks.at_site
        evaluates = bool(sites["evaluation"] or sites["optimizer"])  # also what averages weights
        if evaluates and not alike(with_tricks.evaluated(), plain.evaluated(), 1e-9):
            return True
    return False


def alike(a: Any, b: Any, relative: float) -> bool:
    """Tell whether two nested structures of tensors agree, up to rounding."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape:
            return False
        scale = 1 + float(b.abs().max()) if b.numel() else 1.0
        return differ(a, b, relative * scale) is None
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(alike(x, y, relative) for x, y in zip(a, b, strict=True))
    return a is b


def raised_by_core(error: BaseException) -> bool:
    """Tell whether the last frame of a traceback is core's, so that the words are core's too."""
    file = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    core = Path(rnnbench.__file__).parent
    return core in file.parents


def copied(batch: Batch) -> Batch:
    """Return a copy of a batch that shares no memory with it."""
    return Batch._make(copy.deepcopy(v) for v in batch)
