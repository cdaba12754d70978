"""The dimensions of a search space, from the entries of a sweep file, and the points in it."""

from __future__ import annotations

import math
import random
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal

from rnnbench.errors import SweepError
from rnnbench.sweep.search.steps import count_steps, exact, nearest_step, step_at, written

LARGEST_GRID = 1_000_000  # points, whose order is shuffled in memory
Params = dict[str, Any]  # dotted name -> value


class SpaceError(SweepError):
    """An entry of a search space cannot be; the message does not say yet where it stands."""


@dataclass(frozen=True)
class Dimension:
    """A searched setting: an interval of numbers, of whole numbers, or a set of choices.

    Attributes:
        low, high: the ends of the interval, both included.
        log: whether the logarithm is searched.
        step: difference of neighbouring values, counted from `low`; 0: any value is allowed.
        choices: the values of kind "choice"; else empty.
        when: conditions as (another searched setting, its values with which this one is
            searched); all must hold.
    """

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float = 0.0
    choices: tuple[Any, ...] = ()
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the dimension, without its name, as plain values for JSON."""
        values: dict[str, Any] = {"choices": list(self.choices)}
        if self.kind != "choice":
            values = {k: getattr(self, k) for k in ("kind", "low", "high", "log", "step")}
        return values | ({"when": {k: list(v) for k, v in self.when}} if self.when else {})

    @classmethod
    def from_dict(cls, name: str, d: Mapping[str, Any]) -> Dimension:
        """Return the dimension from which `as_dict` was taken."""
        when = tuple((k, tuple(v)) for k, v in d.get("when", {}).items())
        if "choices" in d:
            return cls(name, "choice", choices=tuple(d["choices"]), when=when)
        return cls(name, d["kind"], d["low"], d["high"], d["log"], d["step"], when=when)

    def holds(self, value: Any) -> bool:
        """Tell whether this value could be proposed."""
        if self.kind == "choice":
            return any(value == c and type(value) is type(c) for c in self.choices)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if self.kind == "int" or not math.isfinite(value):
            return self.low <= value <= self.high and value == self.nearest(value)
        return math.isclose(value, self.nearest(value), rel_tol=1e-12, abs_tol=1e-9 * self.step)

    def nearest(self, value: Any) -> Any:
        """Return the value of this dimension that is next to a number; a choice is itself.

        What is reckoned in floats misses the values as they are written: 0.1 + 6 * 0.1 lies
        beyond 0.7, and 0.1 + 2 * 0.1 beside 0.3.
        """
        if self.kind == "choice":
            return value
        inside = min(max(value, self.low), self.high)
        if not self.step:
            return self.number(inside)
        return self.number(nearest_step(self.low, self.step, inside))

    def values(self) -> list[Any] | None:
        """Return all values, ascending; None where the range is continuous."""
        if self.kind == "choice":
            return list(self.choices)
        return [self.pick(i) for i in range(self.count() or 0)] if self.step else None

    def count(self) -> int | None:
        """Return the number of values; None where the range is continuous."""
        if self.kind == "choice":
            return len(self.choices)
        return count_steps(self.low, self.high, self.step) if self.step else None

    def pick(self, index: int) -> Any:
        """Return the value with this index among all values, ascending."""
        if self.kind == "choice":
            return self.choices[index]
        return self.number(step_at(self.low, self.step, index))

    def ends(self) -> list[Any]:
        """Return the values to try a configuration on: both ends, or every choice."""
        if self.kind == "choice":
            return list(self.choices)
        return [self.number(self.low), self.number(self.high)]

    def at(self, unit: float) -> Any:
        """Return the value at a position in [0, 1), where equal lengths are equally likely."""
        count = None if self.log else self.count()
        if count is not None:  # which may be too many to list
            return self.pick(int(unit * count))
        low, high = (
            (self.low - 0.5, self.high + 0.5) if self.kind == "int" else (self.low, self.high)
        )
        if self.log:
            value = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
        else:
            value = low + unit * (high - low)
        return self.nearest(value)

    def number(self, value: float | Fraction) -> Any:
        """Return a number in the type of this dimension, rounded where it is whole."""
        return round(value) if self.kind == "int" else float(value)


def dimension(
    name: str, entry: Mapping[str, Any] | str, type_: Any, recommended: Sequence[Any] | None
) -> Dimension:
    """Return the dimension that an entry of the sweep file describes.

    Args:
        entry: "auto", or a mapping with low and high (log, step), or with choices.
        type_: type of the field.
        recommended: the field's `search`, which "auto" stands for.

    Raises:
        SpaceError: the entry cannot be; the message says what is wrong.
    """
    members = _members(type_)
    numeric = bool({int, float} & members)
    if isinstance(entry, str):
        if recommended is None:
            raise SpaceError(
                f"{name} recommends no range (its field has no `search`): write low and high, or "
                "choices"
            )
        if numeric and len(recommended) in (2, 3):
            low, high, *log = recommended
            entry = {"low": low, "high": high, "log": log == ["log"]}
        else:
            entry = {"choices": list(recommended)}
    if "choices" in entry:
        if len(entry) > 1:
            raise SpaceError("choices stand alone: remove low, high, log and step")
        return _choice(name, entry["choices"])
    if not numeric:
        raise SpaceError(f"{name} is not a number: give {{choices: [...]}}")
    return _range(name, entry, float in members)


def is_active(d: Dimension, params: Params) -> bool:
    """Tell whether a setting is searched, given the settings that were proposed before it."""
    return all(name in params and params[name] in values for name, values in d.when)


def in_order(space: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """Return the dimensions with each after those on which it depends, else in the same order.

    Raises:
        SpaceError: they depend on each other in a circle.
    """
    names = {d.name for d in space}
    ordered: list[Dimension] = []
    remaining = list(space)
    while remaining:
        known = {d.name for d in ordered}
        ready = [d for d in remaining if all(n in known or n not in names for n, _ in d.when)]
        if not ready:
            raise SpaceError(f"{' and '.join(d.name for d in remaining)} depend on each other")
        ordered.append(ready[0])
        remaining.remove(ready[0])
    return tuple(ordered)


def corners(space: Sequence[Dimension]) -> list[Params]:
    """Return the first point, and for each further end of a dimension a point that has it.

    The first point has every dimension at its first end, and lacks those that are then not
    searched.
    """

    def point(wanted: Params) -> Params:
        params: Params = {}
        for d in space:
            if is_active(d, params):
                params[d.name] = wanted.get(d.name, d.ends()[0])
        return params

    by_name = {d.name: d for d in space}

    def reach(d: Dimension) -> Params:
        """Return values of the other dimensions with which this one is searched."""
        wanted: Params = {}
        for name, values in d.when:
            wanted |= reach(by_name[name]) | {name: values[0]}
        return wanted

    first = point({})
    points = [first]
    for d in space:
        ends = d.ends()[1:] if d.name in first else d.ends()
        points += [point(reach(d) | {d.name: end}) for end in ends]
    return points


def _members(type_: Any) -> set[Any]:
    """Return the members of a type: {int, NoneType} for `int | None`."""
    if typing.get_origin(type_) in (typing.Union, types.UnionType):
        return set().union(*(_members(t) for t in typing.get_args(type_)))
    return {type_} if isinstance(type_, type) else set()


def _choice(name: str, choices: Any) -> Dimension:
    if not isinstance(choices, list) or not choices:
        raise SpaceError("choices is a list of at least one value")
    for i, value in enumerate(choices):
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise SpaceError(f"a choice is a word, a number, true, false or null, got {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise SpaceError(f"a choice must be finite, got {value!r}")
        if value in choices[:i]:  # 1, 1.0 and true are equal, and would be one choice
            raise SpaceError(f"{value!r} is listed twice among the choices")
    return Dimension(name, "choice", choices=tuple(choices))


def _range(name: str, entry: Mapping[str, Any], continuous: bool) -> Dimension:
    for key in ("low", "high"):
        if key not in entry:
            raise SpaceError(f"{name} lacks {key}: a range is {{low: ..., high: ...}}")
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise SpaceError(f"log is true or false, got {log!r}")
    for key in ("low", "high", "step"):
        value = entry.get(key, 0)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise SpaceError(f"{key} is a number, got {value!r}")
        if not math.isfinite(value):
            raise SpaceError(f"{key} must be finite, got {value!r}")
        if not continuous and not isinstance(value, int):
            raise SpaceError(f"{name} takes whole numbers, got {key}: {value!r}")
    low, high, step = entry["low"], entry["high"], entry.get("step", 0)
    if low >= high:
        raise SpaceError(f"low must be below high, got {low} and {high}")
    if log and low <= 0:
        raise SpaceError(f"log needs low above 0, got {low}")
    if log and step:
        raise SpaceError("log and step exclude each other")
    if step < 0 or ("step" in entry and step == 0):
        raise SpaceError(f"step must be above 0, got {step}")
    if step:
        steps = (exact(high) - exact(low)) / exact(step)
        last = exact(low) + round(steps) * exact(step)
        if abs(steps - round(steps)) > Fraction(1, 10**9):  # a third is never written out
            before = exact(low) + math.floor(steps) * exact(step)
            after = before + exact(step)
            raise SpaceError(
                f"from low {low}, steps of {step} do not reach high {high}; the last one is "
                f"{written(before)} and the next {written(after)}: write one of them as high"
            )
        high = last
    kind: Literal["float", "int"] = "float" if continuous else "int"
    convert = float if continuous else int
    if not continuous and not step and not log:
        step = 1
    return Dimension(name, kind, convert(low), convert(high), log, convert(step))


# --------------------------------------------------- points that depend on their number alone


def grid_size(space: Sequence[Dimension]) -> int:
    """Return the number of points of the grid.

    Raises:
        SpaceError: a dimension is continuous, or there are too many points.
    """
    for d in space:
        if d.count() is None:
            raise SpaceError(f"a grid needs {d.name} with a step, or with choices")
    size = math.prod(d.count() or 1 for d in space)
    if size > LARGEST_GRID:
        largest = max(space, key=lambda d: d.count() or 1)
        raise SpaceError(
            f"this grid has {size:,} points, {largest.count():,} of them along {largest.name}, and "
            f"{LARGEST_GRID:,} are the most: give {largest.name} a larger step, or another sampler"
        )
    return len(_branches(tuple(space))) if any(d.when for d in space) else size


@cache
def _branches(space: tuple[Dimension, ...]) -> list[Params]:
    """Return every point of a grid in which some settings are searched under conditions."""
    points: list[Params] = [{}]
    for d in space:
        values = d.values() or []
        points = [
            point | chosen
            for point in points
            for chosen in ([{d.name: v} for v in values] if is_active(d, point) else [{}])
        ]
    return points


@cache
def _grid_order(size: int, seed: int) -> list[int]:
    order = list(range(size))
    random.Random(seed).shuffle(order)
    return order


def grid_point(space: Sequence[Dimension], number: int, seed: int) -> Params:
    """Return the `number`-th point of the grid, in an order shuffled by the seed."""
    index = _grid_order(grid_size(space), seed)[number]
    if any(d.when for d in space):
        return dict(_branches(tuple(space))[index])
    point = {}
    for d in reversed(space):  # the last one varies fastest
        index, digit = divmod(index, d.count() or 1)
        point[d.name] = d.pick(digit)
    return {d.name: point[d.name] for d in space}


def sobol_point(space: Sequence[Dimension], number: int, seed: int) -> Params:
    """Return the `number`-th point of a scrambled Sobol sequence (Owen 1998, by scipy)."""
    from scipy.stats import qmc

    sequence = qmc.Sobol(len(space), rng=seed)
    if number:  # scipy cannot move on by nothing
        sequence.fast_forward(number)
    units = sequence.random(1)[0]
    params: Params = {}
    for d, u in zip(space, units, strict=True):
        if is_active(d, params):
            params[d.name] = d.at(float(u))
    return params
