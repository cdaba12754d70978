"""Places where the laws try a trick: architectures on toy tasks, and tricks beside it."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import torch

from rnnbench.contract import Refusal, Trick
from rnnbench.errors import PluginError
from rnnbench.registry.registry import discover, load
from rnnbench.testing.every_plugin import fresh
from rnnbench.testing.fixtures.small_architectures import SMALL
from rnnbench.testing.fixtures.toy_tasks import TOYS
from rnnbench.testing.law import Broken, tiny
from rnnbench.testing.tricks.short_runs import RehearsalPlace, Run
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble

INSTALLED_ON = ("lm", "translate")  # the small ones are on every toy


class Rehearsals:
    """The places at which a law tries a trick, and the tricks that it is composed with.

    Args:
        places: `every_place()` where None.
        companions: names of the tricks to compose with; every installed one where None.
    """

    def __init__(
        self,
        places: Sequence[RehearsalPlace] | None = None,
        companions: Sequence[str] | None = None,
    ) -> None:
        self._places, self._companions = places, companions

    @property
    def places(self) -> Sequence[RehearsalPlace]:
        """Return the places at which a trick is tried; to find every one takes a minute, once."""
        return every_place() if self._places is None else self._places

    @property
    def companions(self) -> Sequence[str]:
        """Return the names of the tricks that a trick is composed with."""
        return list(discover()[0]["tricks"]) if self._companions is None else self._companions

    def accepted(self, trick: Trick) -> Iterator[RehearsalPlace]:
        """Yield the places where `check` accepts a trick, one by one: each takes a dry run.

        Raises:
            Broken: at the end, if that was nowhere.
        """
        return self._accepted_of(trick, self.places)

    def some(self, trick: Trick, each: int = 2) -> Iterator[RehearsalPlace]:
        """Yield a few of the accepted places: at most `each` of a toy, architectures in turns."""
        tally: Counter[str] = Counter()

        def is_wanted(place: RehearsalPlace) -> bool:
            architecture, toy = place.words.split(" / ")
            return tally[toy] < each and (tally[architecture] < each or tally[toy] == 0)

        for place in self._accepted_of(trick, (p for p in self.places if is_wanted(p))):
            tally.update(place.words.split(" / "))
            yield place

    def _accepted_of(
        self, trick: Trick, offered: Iterable[RehearsalPlace]
    ) -> Iterator[RehearsalPlace]:
        is_accepted, last_refusal = False, None
        for place in offered:
            why = refusal(trick, place)
            if why is None:
                is_accepted = True
                yield place
            else:
                last_refusal = f"{place.words}: {why}"
        if not is_accepted:
            raise Broken(f"it is refused at all {len(self.places)} places, such as {last_refusal}")


@functools.cache
def every_place() -> tuple[RehearsalPlace, ...]:
    """Return small architectures on every toy, installed ones on a few, where not refused.

    Where installed ones are made of the same parts of core, the first by name stands for all.
    """
    pairs = [(name, plugin, toy) for name, plugin in SMALL.items() for toy in TOYS]
    for name in discover()[0]["architectures"]:
        try:
            installed = tiny(load("architectures", name))
        except (PluginError, ValueError, TypeError):
            continue  # broken by itself: `rnnbench list` and its own laws say so
        pairs += [(name, installed, toy) for toy in INSTALLED_ON]
    places = []
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
        places.append(place)
    return tuple(places)


def _parts(model: torch.nn.Module) -> frozenset[str]:
    """Return the classes of core that a model is made of, with the number of their states."""
    return frozenset(
        f"{cls.__module__}.{cls.__qualname__} {getattr(module, 'states', '')}"
        for module in model.modules()
        for cls in type(module).__mro__
        if cls.__module__.startswith("rnnbench.")
    )


@functools.lru_cache(maxsize=4096)
def refusal(trick: Trick, place: RehearsalPlace) -> Refusal | None:
    """Return why `check` refuses a trick at a place, or None; it makes a step to know."""
    try:
        check(
            place.architecture, place.toy, [fresh(trick)], batch=place.toy.example(), device="cpu"
        )
    except Refusal as why:
        return why
    return None
