"""The laws of an architecture's settings, and of where its weights come from."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Architecture, Moment, Refusal
from rnnbench.testing.architectures.model import predicted
from rnnbench.testing.fixtures.backbones import doubled
from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, TOYS, Toy
from rnnbench.testing.law import Laws, Suspect, differ
from rnnbench.testing.variants import neighbours, variants
from rnnbench.training.determinism import seed_torch
from rnnbench.training.train_step import TrickFold, assemble, constrain, training_step

LAWS = Laws()
_GENERATORS = (
    (torch, "Generator"),
    (np.random, "default_rng"),
    (np.random, "RandomState"),
    (random, "Random"),
)
FOUND = (Refusal, ValueError, TypeError)  # how a plugin refuses settings or a task


@LAWS.law(
    "Every setting does something: another value changes parameters, outputs or gradients.",
    "Use the setting or take it away; if it acts where no small task sees it, declare it: "
    "declares = {'settings_do_something': 'why'}.",
    declarable=True,
)
def settings_do_something(plugin: Architecture) -> None:
    toys = [*TOYS.values(), *MORE_TOYS.values()]
    idle = {}
    for field, value, others in neighbours(plugin):
        values = [v for v in dict.fromkeys([*others, *_further(value)]) if v != value]
        if not _made(plugin, field, values):
            continue
        # Beside other settings too: a dropout between layers is idle where there is one.
        for base in (plugin, *(v for changed, v in variants(plugin) if f"{field}=" not in changed)):
            pairs = itertools.product(_made(base, field, values), toys)
            if any(differ(_trace(base, toy), _trace(other, toy)) for other, toy in pairs):
                break
        else:
            idle[field] = f"{field} (tried {value} and {', '.join(map(str, values))})"
    if idle:
        raise Suspect(f"nothing changes with {', '.join(idle.values())} on {len(toys)} small tasks")


def _further(value: Any) -> list[Any]:
    """Return more values than a neighbour, for settings that act from some size on."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        return [1, 2, 2 * value + 1]
    return [value / 2, 0.9] if isinstance(value, float) else []


def _made(plugin: Architecture, field: str, values: list[Any]) -> list[Architecture]:
    """Return the plugin with each value of a field that it does not refuse."""
    made = []
    for value in values:
        with contextlib.suppress(*FOUND):
            made.append(dataclasses.replace(plugin, **{field: value}))  # type: ignore[type-var]
    return made


@functools.lru_cache(maxsize=256)
def _trace(plugin: Architecture, toy: Toy) -> list[Any]:
    """Return weights, outputs, gradients, and weights put back into bounds; [] if refused."""
    seed_torch(0)
    batch = doubled(toy.example())
    try:
        model = assemble(plugin, toy, TrickFold()).double()
        weights = [p.detach().clone() for p in model.state_dict().values()]
        seed_torch(5)
        answers = predicted(model.eval(), batch)
        seed_torch(5)
        training_step(model.train(), TrickFold(), batch, None, Moment(0, 0.3))
    except FOUND:
        return []
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p), alpha=3)
        constrain(model)
    after = [*model.buffers(), *(p.detach() for p in model.parameters())]
    return [len(weights), *weights, *answers, len(gradients), *gradients, *after]


@LAWS.law(
    "Weights are drawn for this run: from torch's own generator, each for itself.",
    "Draw with torch's global generator; share one parameter where two places are to be tied; or "
    "declare it: declares = {'weights_are_drawn': 'why'}.",
    declarable=True,
)
def weights_are_drawn(plugin: Architecture) -> None:
    made: list[str] = []
    for toy in (*TOYS.values(), *MORE_TOYS.values()):
        weights = []
        for seed in (0, 1):
            seed_torch(seed)
            try:
                with _noting_generators(made):
                    model = assemble(plugin, toy, TrickFold())
            except Refusal:
                break
            weights.append({n: p.detach() for n, p in model.named_parameters() if p.requires_grad})
        if len(weights) < 2:
            continue
        first, second = weights
        _suspect_private(first, second, made)
        _suspect_copies(first, second)


def _suspect_private(first: dict[str, Tensor], second: dict[str, Tensor], made: list[str]) -> None:
    """Suspect weights that look drawn and ignore the seed."""
    for name, p in first.items():
        if differ(p, second[name]) or not _looks_drawn(p):
            continue
        by = f", and building calls {made[0]}" if made else ", and no two of its values are alike"
        raise Suspect(f"{name} is the same for every seed{by}")


def _looks_drawn(p: Tensor) -> bool:
    """Tell whether values differ from each other and go up and down, unlike a ramp's."""
    flat = p.detach().flatten()
    if p.is_complex() or flat.numel() < 6 or len(flat.unique()) <= 0.9 * flat.numel():
        return False
    up = (flat[1:] > flat[:-1]).double().mean()
    return bool(0.2 < up < 0.8)


def _suspect_copies(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    """Suspect two parameters that begin with the same random values and are trained apart."""
    drawn = [n for n, p in first.items() if p.numel() > 3 and differ(p, second[n])]
    for one, other in itertools.combinations(drawn, 2):
        a, b = first[one], first[other]
        for there in (b, b.mT if b.dim() > 1 else b):
            if a.shape == there.shape and torch.equal(a, there):
                raise Suspect(
                    f"{one} and {other} begin with the same random values and are two parameters: "
                    "they part at the first step"
                )


@contextlib.contextmanager
def _noting_generators(made: list[str]) -> Iterator[None]:
    """Note within it which generators of random numbers are made beside torch's own.

    Args:
        made: their names are added to it.
    """
    kept = [(module, name, getattr(module, name)) for module, name in _GENERATORS]
    try:
        for module, name, make in kept:
            words = f"{module.__name__}.{name}()"
            setattr(module, name, _noted(make, functools.partial(made.append, words)))
        yield
    finally:
        for module, name, make in kept:
            setattr(module, name, make)


def _noted(make: Any, note: Callable[[], None]) -> Any:
    """Return what makes the same, and notes it first: of a class a subclass, for `isinstance`."""
    if isinstance(make, type):

        def new(cls: type, *args: Any, **kwargs: Any) -> Any:
            note()
            return make(*args, **kwargs)

        return type(make.__name__, (make,), {"__new__": new})

    def function(*args: Any, **kwargs: Any) -> Any:
        note()
        return make(*args, **kwargs)

    return function
