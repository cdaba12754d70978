"""Short training runs of tricks on toy tasks: what the laws of tricks compare."""

from __future__ import annotations

import contextlib
import copy
import functools
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import rnnbench
from rnnbench.contract import (
    Architecture,
    Batch,
    Moment,
    Refusal,
    State,
    Trick,
    WrappedOptimizer,
)
from rnnbench.errors import PluginError
from rnnbench.nn import Model
from rnnbench.registry.registry import discover, load
from rnnbench.spec.run_spec import Optimizer
from rnnbench.testing.every_plugin import fresh
from rnnbench.testing.fixtures.backbones import doubled
from rnnbench.testing.fixtures.small_architectures import SMALL
from rnnbench.testing.fixtures.toy_tasks import TOYS, Toy
from rnnbench.testing.law import Broken, differ, tiny
from rnnbench.training.determinism import seed_everything
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer, training_step

LATE = ((1000, 0.5), (1500, 0.75), (1999, 1.0))  # moments at which a schedule has an effect
INSTALLED_ON = ("lm", "translate")  # the small ones are on every toy
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
    ) -> None:
        seed_everything(seed)
        self.toy, self.tricks, self.dtype = place.toy, TrickFold(map(fresh, tricks)), dtype
        self.model = assemble(place.architecture, place.toy, self.tricks).to(dtype)
        self.optimizer = make_optimizer(Optimizer(lr=1e-2), self.model.parameters(), self.tricks)
        self.state: State = None
        self.memory: dict[str, Any] = {}
        self.losses: list[Tensor] = []
        self.gradients: list[Tensor | None] = []
        if steepness != 1:
            loss = self.model.loss
            self.model.loss = lambda out, batch: loss(out, batch) * steepness  # type: ignore[method-assign]
        seed_everything(seed + 2**31)

    def batch(self, index: int) -> Batch:
        example = self.toy.example(index)
        return doubled(example) if self.dtype == torch.float64 else example

    def step(self, index: int, at: Moment) -> None:
        """One optimiser step on the batch of this index."""
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        if not self.toy.carried:
            self.memory.clear()
        done = training_step(
            self.model,
            self.tricks,
            self.batch(index),
            self.state,
            at,
            self.toy.carried,
            optimizer=self.optimizer,
            memory=self.memory,
        )
        self.state = done.state
        self.losses.append(done.loss)
        self.gradients = [None if p.grad is None else p.grad.clone() for p in self.parameters()]
        self.optimizer.step()
        if isinstance(self.optimizer, WrappedOptimizer):  # validations that never improve
            self.optimizer.observe(float(index), better=index == 0)

    def steps(self, moments: Sequence[tuple[int, float]] = ((0, 0.0), (1, 0.3), (2, 0.6))) -> Run:
        for i, at in enumerate(moments):
            self.step(i, Moment(*at))
        return self

    def parameters(self) -> list[Tensor]:
        return list(self.model.parameters())

    def outcome(self) -> tuple[Any, ...]:
        """Losses, last gradients and parameters: what is compared."""
        return self.losses, self.gradients, [p.detach() for p in self.parameters()]

    @torch.no_grad()
    def evaluated(self, index: int = 7) -> list[Tensor]:
        """Outputs, and what is decoded, in evaluation mode."""
        model: Model = self.model.eval()
        batch = self.batch(index)
        with self.averaged():
            said = [model(batch).out, *([model.decode(batch)] if model.decodes else [])]
            for _, other in self.tricks.evaluated_apart(model, self.toy):
                said.append(other(batch).out)
            return said

    def kept(self) -> dict[str, Tensor]:
        """The weights that a run keeps."""
        with self.averaged():
            return {name: v.clone() for name, v in self.model.state_dict().items()}

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Within it the model has the weights that are evaluated and kept."""
        if isinstance(self.optimizer, WrappedOptimizer):
            return self.optimizer.averaged()
        return contextlib.nullcontext()


@functools.cache
def places() -> tuple[RehearsalPlace, ...]:
    """Small architectures on every toy, installed ones on a few, where not refused.

    Of installed ones that are made of the same parts of core, the first by name stands for all.
    """
    pairs = [(name, plugin, toy) for name, plugin in SMALL.items() for toy in TOYS]
    for name in discover()[0]["architectures"]:
        try:
            installed = tiny(load("architectures", name))
        except (PluginError, ValueError, TypeError):
            continue  # broken by itself: `rnnbench list` and its own laws say so
        pairs += [(name, installed, toy) for toy in INSTALLED_ON]
    found = []
    makes: set[tuple[str, frozenset[str]]] = set()
    for name, architecture, toy_name in pairs:
        toy = TOYS[toy_name]
        place = RehearsalPlace(f"{name} / {toy_name}", architecture, toy)
        try:
            make = toy_name, _parts(assemble(architecture, toy, TrickFold()))
            if name not in SMALL and make in makes:
                continue
            makes.add(make)
            check(architecture, toy, batch=toy.example(), device="cpu")
            Run(place, ()).steps()
        except Exception:
            continue  # no place to try a trick: the architecture's own laws say what is wrong
        found.append(place)
    return tuple(found)


def _parts(model: torch.nn.Module) -> frozenset[str]:
    """The classes of core that a model is made of, and how many tensors its states have."""
    return frozenset(
        f"{cls.__module__}.{cls.__qualname__} {getattr(module, 'states', '')}"
        for module in model.modules()
        for cls in type(module).__mro__
        if cls.__module__.startswith("rnnbench.")
    )


@functools.lru_cache(maxsize=4096)
def refusal(trick: Trick, place: RehearsalPlace) -> Refusal | None:
    """What `check` says against a trick at a place, of a step that is really made."""
    try:
        check(
            place.architecture, place.toy, [fresh(trick)], batch=place.toy.example(), device="cpu"
        )
    except Refusal as why:
        return why
    return None


def accepted(trick: Trick) -> Iterator[RehearsalPlace]:
    """Where `check` accepts it, one by one, since each answer takes a dry run.

    Raises:
        Broken: at the end, if that was nowhere.
    """
    return _held(trick, places())


def some(trick: Trick, each: int = 2) -> Iterator[RehearsalPlace]:
    """A few of these places: `each` of a toy at most, in turns of architectures."""
    tally: Counter[str] = Counter()

    def wanted(place: RehearsalPlace) -> bool:
        architecture, toy = place.words.split(" / ")
        return tally[toy] < each and (tally[architecture] < each or tally[toy] == 0)

    for place in _held(trick, (p for p in places() if wanted(p))):
        tally.update(place.words.split(" / "))
        yield place


def _held(trick: Trick, offered: Iterable[RehearsalPlace]) -> Iterator[RehearsalPlace]:
    found, last = False, None
    for place in offered:
        why = refusal(trick, place)
        if why is None:
            found = True
            yield place
        else:
            last = f"{place.words}: {why}"
    if not found:
        raise Broken(f"it is refused at all {len(places())} places, such as {last}")


@functools.lru_cache(maxsize=512)
def bare(place: RehearsalPlace, moments: tuple[tuple[int, float], ...]) -> tuple[Any, ...]:
    """The outcome without a trick."""
    return Run(place, ()).steps(moments).outcome()


@functools.lru_cache(maxsize=256)
def late(place: RehearsalPlace, tricks: tuple[Trick, ...], steepness: float) -> Run:
    """A run late in training; in double precision, so that rounding is not taken for an effect."""
    return Run(place, tricks, dtype=torch.float64, steepness=steepness).steps(LATE)


def has_effect(
    place: RehearsalPlace, tricks: tuple[Trick, ...], on: tuple[Trick, ...] = ()
) -> bool:
    """Whether `tricks` change anything against training with the tricks `on` alone.

    Late in training, with a loss as it is and with a steep one.
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
    """Whether two nested structures of tensors agree, up to rounding."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape:
            return False
        scale = 1 + float(b.abs().max()) if b.numel() else 1.0
        return differ(a, b, relative * scale) is None
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(alike(x, y, relative) for x, y in zip(a, b, strict=True))
    return a is b


def raised_by_core(error: BaseException) -> bool:
    """Whether the last frame of a traceback is core's, so that the words are core's too."""
    file = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    core = Path(rnnbench.__file__).parent
    return core in file.parents


def copied(batch: Batch) -> Batch:
    return Batch._make(copy.deepcopy(v) for v in batch)
