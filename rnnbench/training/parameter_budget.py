"""Solves for an architecture's width by its number of parameters, before anything is trained."""

from __future__ import annotations

import dataclasses
import functools
from typing import Protocol

import torch

from rnnbench.contract import Refusal
from rnnbench.errors import SpecError
from rnnbench.registry.registry import schema
from rnnbench.spec.instantiate import instantiate
from rnnbench.spec.run_spec import PluginSpec, RunSpec
from rnnbench.training.train_step import TrickFold, assemble

TOLERANCE = 0.05  # of the number asked for; widths are whole, so it is rarely met exactly
WIDEST = 1 << 20
NEIGHBOURS = 64  # widths tried for one that the architecture takes, such as a multiple of heads


class CountAtWidth(Protocol):
    """Counts the parameters of a model of a width."""

    def __call__(self, width: int, /) -> int:
        """Return the number, or raise Refusal or SpecError where there is no such model."""
        ...


def fit_width(spec: RunSpec) -> RunSpec:
    """Return the spec with the width whose model comes closest to `budget.parameters`.

    Models are built on the meta device, which takes no memory, with their tricks: tied weights and
    a trick's own parameters count.

    Raises:
        Refusal: no width comes within 5% of it, or none makes a model.
    """
    wanted = spec.budget.parameters
    assert wanted is not None
    fields = schema("architectures", spec.architecture.name)
    name = fields.width
    if name is None:
        raise SpecError(f"budget.parameters: {spec.architecture.name} has no field for its size")
    field = fields.fields[name]
    lowest = int(field.low) if field.low is not None else 1
    highest = int(field.high) if field.high is not None else WIDEST
    plain = dataclasses.replace(spec, seed=0, data="", test=False)

    def count(width: int) -> int:
        return parameters_of(_with_width(plain, name, width))

    below = above = _count_from(count, lowest, highest)
    while above[1] < wanted:
        below = above
        if above[0] >= highest:
            break
        above = _count_from(count, min(highest, 2 * above[0]), highest, downwards=True)
        if above[0] == below[0]:
            break
    while above[0] - below[0] > 1:
        middle = (below[0] + above[0]) // 2
        between = _count_between(count, middle, below[0], above[0])
        if between is None:
            break
        below, above = (between, above) if between[1] <= wanted else (below, between)
    best = min((below, above), key=lambda w: (abs(w[1] - wanted), w[0]))
    if abs(best[1] - wanted) > TOLERANCE * wanted:
        nearest = " and ".join(
            f"{parameters:,} with {name}={width}" for width, parameters in sorted({below, above})
        )
        tricks = "".join(f" + {t.name}" for t in spec.tricks)
        raise Refusal(
            f"budget.parameters={wanted:,}: {spec.architecture.name}{tricks} on {spec.task.name} "
            f"has {nearest}; nothing lies within {TOLERANCE:.0%}.\n"
            "  Ask for one of these, or change what else its size depends on, such as layers."
        )
    return _with_width(spec, name, best[0])


@functools.lru_cache(maxsize=4096)
def parameters_of(spec: RunSpec) -> int:
    """Return the number of trainable numbers of a run's model.

    Raises:
        Refusal, SpecError: there is no such model.
    """
    task, architecture, tricks = instantiate(spec)
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                model = assemble(architecture, task, TrickFold(tricks))
        except NotImplementedError:  # an initialisation that has no meta kernel
            model = assemble(architecture, task, TrickFold(tricks))
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _with_width(spec: RunSpec, name: str, width: int) -> RunSpec:
    """Return the spec with another value of the architecture's field `name`."""
    old = spec.architecture
    settings = {**dict(old.settings), name: width}
    return dataclasses.replace(
        spec, architecture=PluginSpec(old.name, old.version, tuple(settings.items()))
    )


def _count_from(
    count: CountAtWidth, width: int, highest: int, *, downwards: bool = False
) -> tuple[int, int]:
    """Return the next width from one on that the architecture takes, and its parameters.

    Raises:
        Refusal, SpecError: none is taken; what the first one said.
    """
    first_error: Exception | None = None
    candidates = [width + i for i in range(NEIGHBOURS) if width + i <= highest]
    if downwards:
        candidates += [width - i for i in range(1, NEIGHBOURS)]
    for candidate in candidates:
        try:
            return candidate, count(candidate)
        except (Refusal, SpecError) as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def _count_between(count: CountAtWidth, middle: int, low: int, high: int) -> tuple[int, int] | None:
    """Return a width strictly between two others, near their middle, and its count, or None."""
    for distance in range(NEIGHBOURS):
        for candidate in dict.fromkeys((middle + distance, middle - distance)):
            if low < candidate < high:
                try:
                    return candidate, count(candidate)
                except (Refusal, SpecError):
                    continue
    return None
