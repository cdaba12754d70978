"""Reads `search:` of a sweep file: how the configurations of a cell are sought."""

from __future__ import annotations

import math
import re
from typing import Any

from rnnbench.files.yaml_with_lines import Place
from rnnbench.registry.registry import did_you_mean
from rnnbench.sweep.file.compatibility import unsuitable
from rnnbench.sweep.file.reader import Reader
from rnnbench.sweep.file.search_options import (
    AUTO_TRIALS,
    OBJECTIVES,
    PRUNERS,
    SAMPLERS,
    STOPS,
    Bound,
    Chosen,
    Search,
)

RANGE_KEYS = ("low", "high", "log", "step", "choices", "when")
KEYS = (
    "trials", "seed", "seeds", "sampler", "pruner", "space", "objectives", "constraints", "start",
    "stop", "timeout",
)  # fmt: skip
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def read_search(read: Reader, place: Place, value: Any) -> Search:
    """How a cell is searched; `auto` is every recommended range, by TPE.

    Raises:
        SweepError: naming file and line.
    """
    if value == "auto":
        value = {"space": "auto", "trials": AUTO_TRIALS}
    d = read.mapping(place, value, list(KEYS))
    auto = d.get("space") == "auto"
    space = {} if auto else read.mapping((*place, "space"), d.get("space", {}), None)
    for name, entry in space.items():
        _entry(read, (*place, "space", name), entry)
    sampler = read.chosen((*place, "sampler"), d.get("sampler", "tpe"), SAMPLERS)
    pruner = _pruner(read, (*place, "pruner"), d.get("pruner", "none"))
    if "trials" not in d and sampler.name != "grid":
        raise read.error(place, "search lacks 'trials' (only a grid knows its own number)")
    trials = read.integer((*place, "trials"), d["trials"], 0) if "trials" in d else None
    if trials == 0 and (space or auto):
        raise read.error((*place, "trials"), "trials is 0, so the space would never be used")
    if not space and not auto and trials != 0 and trials != 1:
        raise read.error(place, "the space is empty: only trials: 1 (or 0) makes sense")
    start, history = _start(read, (*place, "start"), d.get("start", []), "start" in d)
    seeds = _seeds(read, (*place, "seeds"), d["seeds"]) if "seeds" in d else ()
    if seeds and "seed" in d and d["seed"] not in seeds:
        raise read.error((*place, "seed"), "seed draws the proposals; it has to be one of seeds")
    search = Search(
        trials=trials,
        seed=read.integer((*place, "seed"), d.get("seed", seeds[0] if seeds else 0), 0),
        sampler=sampler,
        pruner=pruner,
        space=space,
        auto=auto,
        objectives=_objectives(read, (*place, "objectives"), d.get("objectives", ["validation"])),
        constraints=_constraints(read, (*place, "constraints"), d.get("constraints", {})),
        start=start,
        history=history,
        seeds=seeds,
        stop=read.chosen((*place, "stop"), d.get("stop", "none"), STOPS),
        timeout=_timeout(read, (*place, "timeout"), d["timeout"]) if "timeout" in d else None,
    )
    if wrong := unsuitable(search):
        key, reason = wrong
        raise read.error((*place, key) if key in d else place, reason)
    return search


def _entry(read: Reader, place: Place, entry: Any) -> None:
    """One entry of the space."""
    name = str(place[-1])
    if isinstance(entry, dict) and "optional" in entry:
        read.mapping(place, entry, ["optional"])
        if name.count(".") != 1 or not name.startswith("tricks."):
            raise read.error(place, f"{name}: only a trick can be optional, as tricks.TRICK")
        if entry["optional"] is not True:
            raise read.error((*place, "optional"), "optional is true, or the entry is left out")
        return
    read.dotted(place)
    if entry == "auto":
        return
    read.mapping(place, entry, list(RANGE_KEYS))
    when = read.mapping((*place, "when"), entry.get("when", {}), None)
    for parent, values in when.items():
        if not re.fullmatch(r"tricks\.[^.]+", str(parent)):
            read.dotted((*place, "when", parent))
        read.sequence((*place, "when", parent), values)


def _pruner(read: Reader, place: Place, value: Any) -> Chosen:
    pruner = read.chosen(place, value, PRUNERS)
    options = dict(pruner.options)
    if pruner.name == "threshold" and options["lower"] is None and options["upper"] is None:
        raise read.error(place, "threshold needs lower, upper, or both")
    if pruner.name == "hyperband" and options["max_steps"] <= options["min_steps"]:
        raise read.error(place, "hyperband: max_steps must exceed min_steps")
    return pruner


def _known(read: Reader, place: Place, name: Any, what: str) -> str:
    if name not in OBJECTIVES:
        raise read.error(
            place,
            f"unknown {what} {name!r}{did_you_mean(str(name), OBJECTIVES)}\n"
            f"  known: {', '.join(OBJECTIVES)}",
        )
    return OBJECTIVES[name]


def _objectives(read: Reader, place: Place, value: Any) -> tuple[str, ...]:
    names = read.sequence(place, value)
    found = tuple(_known(read, (*place, i), n, "objective") for i, n in enumerate(names))
    if found[0] != "validation":
        raise read.error(place, "the first objective is validation: by it the best is chosen")
    if len(set(found)) < len(found):
        raise read.error(place, f"an objective is listed twice: {', '.join(found)}")
    return found


def _constraints(read: Reader, place: Place, value: Any) -> tuple[Bound, ...]:
    found = []
    for name, entry in read.mapping(place, value, None).items():
        cost = _known(read, (*place, name), name, "cost")
        if cost == "validation":
            raise read.error((*place, name), "validation is an objective; costs are constrained")
        limits = read.mapping((*place, name), entry, ["at_most", "at_least"])
        if not limits:
            raise read.error((*place, name), f"{name} needs at_most, at_least, or both")
        for key, limit in limits.items():
            right = isinstance(limit, (int, float)) and not isinstance(limit, bool)
            if not right or not 0 < limit < math.inf:
                raise read.error((*place, name, key), f"{key} is a number above 0, got {limit!r}")
            found.append(Bound(cost, float(limit), key == "at_most"))
    return tuple(found)


def _start(
    read: Reader, place: Place, value: Any, given: bool
) -> tuple[tuple[str | dict[str, Any], ...], str | None]:
    """What is tried first, and the sweep whose trials are known."""
    first: list[str | dict[str, Any]] = []
    history: str | None = None
    for i, entry in enumerate(read.sequence(place, value) if given else []):
        if entry == "published":
            first.append(entry)
        elif isinstance(entry, dict) and "sweep" in entry:
            read.mapping((*place, i), entry, ["sweep"])
            if history is not None:
                raise read.error((*place, i), "only one earlier sweep can be taken in")
            history = str(entry["sweep"])
        elif isinstance(entry, dict) and entry:
            for name in entry:
                if not re.fullmatch(r"tricks\.[^.]+", str(name)):
                    read.dotted((*place, i, name))
            first.append(entry)
        else:
            raise read.error(
                (*place, i),
                f"a start is `published`, settings by dotted name, or {{sweep: NAME}}: {entry!r}",
            )
    return tuple(first), history


def _seeds(read: Reader, place: Place, value: Any) -> tuple[int, ...]:
    seeds = [read.integer((*place, i), s, 0) for i, s in enumerate(read.sequence(place, value))]
    return tuple(seeds)


def _timeout(read: Reader, place: Place, value: Any) -> float:
    try:
        return read_seconds(value)
    except ValueError as error:
        raise read.error(place, str(error)) from error


def read_seconds(value: Any) -> float:
    """The seconds that a number or a text such as 90s, 30m, 2h, 1.5d says.

    Raises:
        ValueError: it says none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(value).strip())
    if found is None or isinstance(value, bool) or float(found[1]) == 0:
        raise ValueError(f"timeout is seconds, or such as 90s, 30m, 2h, 1d; got {value!r}")
    return float(found[1]) * UNITS[found[2]]
