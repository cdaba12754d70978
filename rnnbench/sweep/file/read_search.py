"""Reads the part `search:` of a sweep file: how the configurations of a cell are sought."""

from __future__ import annotations

import math
import re
from typing import Any

from rnnbench.errors import SweepError
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
    ChosenMethod,
    Search,
)

RANGE_KEYS = ("low", "high", "log", "step", "choices", "when")
KEYS = (
    "trials", "seed", "seeds", "sampler", "pruner", "space", "objectives", "constraints", "start",
    "stop", "timeout",
)  # fmt: skip
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def read_search(reader: Reader, place: Place, value: Any) -> Search:
    """Read how a cell is searched; the value `auto` means every recommended range, by TPE.

    Raises:
        SweepError: the file cannot be as it is; the message names file and line.
    """
    if value == "auto":
        value = {"space": "auto", "trials": AUTO_TRIALS}
    d = reader.mapping(place, value, list(KEYS))
    auto = d.get("space") == "auto"
    space = {} if auto else reader.mapping((*place, "space"), d.get("space", {}), None)
    for name, entry in space.items():
        _check_entry(reader, (*place, "space", name), entry)
    sampler = reader.chosen((*place, "sampler"), d.get("sampler", "tpe"), SAMPLERS)
    pruner = _read_pruner(reader, (*place, "pruner"), d.get("pruner", "none"))
    if "trials" not in d and sampler.name != "grid":
        raise reader.error(place, "search lacks 'trials' (only a grid knows its own number)")
    trials = reader.integer((*place, "trials"), d["trials"], 0) if "trials" in d else None
    if trials == 0 and (space or auto):
        raise reader.error((*place, "trials"), "trials is 0, so the space would never be used")
    if not space and not auto and trials != 0 and trials != 1:
        raise reader.error(place, "the space is empty: only trials: 1 (or 0) makes sense")
    start: tuple[str | dict[str, Any], ...] = ()
    history: str | None = None
    if "start" in d:
        start, history = _read_start(reader, (*place, "start"), d["start"])
    seeds = _read_seeds(reader, (*place, "seeds"), d["seeds"]) if "seeds" in d else ()
    if seeds and "seed" in d and d["seed"] not in seeds:
        raise reader.error((*place, "seed"), "seed draws the proposals; it has to be one of seeds")
    objectives = d.get("objectives", ["validation"])
    timeout = _read_timeout(reader, (*place, "timeout"), d["timeout"]) if "timeout" in d else None
    search = Search(
        trials=trials,
        seed=reader.seed((*place, "seed"), d.get("seed", seeds[0] if seeds else 0)),
        sampler=sampler,
        pruner=pruner,
        space=space,
        auto=auto,
        objectives=_read_objectives(reader, (*place, "objectives"), objectives),
        constraints=_read_constraints(reader, (*place, "constraints"), d.get("constraints", {})),
        start=start,
        history=history,
        seeds=seeds,
        stop=reader.chosen((*place, "stop"), d.get("stop", "none"), STOPS),
        timeout=timeout,
    )
    if wrong := unsuitable(search):
        key, reason = wrong
        raise reader.error((*place, key) if key in d else place, reason)
    return search


def _check_entry(reader: Reader, place: Place, entry: Any) -> None:
    """Raise SweepError where an entry of the space cannot be."""
    name = str(place[-1])
    if isinstance(entry, dict) and "optional" in entry:
        reader.mapping(place, entry, ["optional"])
        if name.count(".") != 1 or not name.startswith("tricks."):
            raise reader.error(place, f"{name}: only a trick can be optional, as tricks.TRICK")
        if entry["optional"] is not True:
            raise reader.error((*place, "optional"), "optional is true, or the entry is left out")
        return
    reader.dotted(place)
    if entry == "auto":
        return
    reader.mapping(place, entry, list(RANGE_KEYS))
    when = reader.mapping((*place, "when"), entry.get("when", {}), None)
    for parent, values in when.items():
        if not re.fullmatch(r"tricks\.[^.]+", str(parent)):
            reader.dotted((*place, "when", parent))
        reader.sequence((*place, "when", parent), values)


def _read_pruner(reader: Reader, place: Place, value: Any) -> ChosenMethod:
    pruner = reader.chosen(place, value, PRUNERS)
    options = dict(pruner.options)
    if pruner.name == "threshold" and options["lower"] is None and options["upper"] is None:
        raise reader.error(place, "threshold needs lower, upper, or both")
    if pruner.name == "hyperband" and options["max_steps"] <= options["min_steps"]:
        raise reader.error(place, "hyperband: max_steps must exceed min_steps")
    return pruner


def _read_objective(reader: Reader, place: Place, name: Any, what: str) -> str:
    if name not in OBJECTIVES:
        raise reader.error(
            place,
            f"unknown {what} {name!r}{did_you_mean(str(name), OBJECTIVES)}\n"
            f"  known: {', '.join(OBJECTIVES)}",
        )
    return OBJECTIVES[name]


def _read_objectives(reader: Reader, place: Place, value: Any) -> tuple[str, ...]:
    names = reader.sequence(place, value)
    objectives = tuple(
        _read_objective(reader, (*place, i), n, "objective") for i, n in enumerate(names)
    )
    if objectives[0] != "validation":
        raise reader.error(place, "the first objective is validation: by it the best is chosen")
    if len(set(objectives)) < len(objectives):
        raise reader.error(place, f"an objective is listed twice: {', '.join(objectives)}")
    return objectives


def _read_constraints(reader: Reader, place: Place, value: Any) -> tuple[Bound, ...]:
    bounds = []
    for name, entry in reader.mapping(place, value, None).items():
        cost = _read_objective(reader, (*place, name), name, "cost")
        if cost == "validation":
            raise reader.error((*place, name), "validation is an objective; costs are constrained")
        limits = reader.mapping((*place, name), entry, ["at_most", "at_least"])
        if not limits:
            raise reader.error((*place, name), f"{name} needs at_most, at_least, or both")
        for key, limit in limits.items():
            right = isinstance(limit, (int, float)) and not isinstance(limit, bool)
            if not right or not 0 < limit < math.inf:
                raise reader.error((*place, name, key), f"{key} is a number above 0, got {limit!r}")
            bounds.append(Bound(cost, float(limit), key == "at_most"))
    return tuple(bounds)


def _read_start(
    reader: Reader, place: Place, value: Any
) -> tuple[tuple[str | dict[str, Any], ...], str | None]:
    """Return what is tried first, and the name of the sweep whose trials are known."""
    first: list[str | dict[str, Any]] = []
    history: str | None = None
    for i, entry in enumerate(reader.sequence(place, value)):
        if entry == "published":
            first.append(entry)
        elif isinstance(entry, dict) and "sweep" in entry:
            reader.mapping((*place, i), entry, ["sweep"])
            if history is not None:
                raise reader.error((*place, i), "only one earlier sweep can be taken in")
            history = str(entry["sweep"])
        elif isinstance(entry, dict) and entry:
            for name in entry:
                if not re.fullmatch(r"tricks\.[^.]+", str(name)):
                    reader.dotted((*place, i, name))
            first.append(entry)
        else:
            raise reader.error(
                (*place, i),
                f"a start is `published`, settings by dotted name, or {{sweep: NAME}}: {entry!r}",
            )
    return tuple(first), history


def _read_seeds(reader: Reader, place: Place, value: Any) -> tuple[int, ...]:
    return tuple(reader.seeds(place, value))


def _read_timeout(reader: Reader, place: Place, value: Any) -> float:
    try:
        return read_seconds(value)
    except SweepError as error:
        raise reader.error(place, str(error)) from error


def read_seconds(value: Any) -> float:
    """Return the seconds that a number or a text such as 90s, 30m, 2h, 1.5d means.

    Raises:
        SweepError: it means none; the message lacks file and line.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(value).strip())
    if match is None or isinstance(value, bool) or float(match[1]) == 0:
        raise SweepError(f"timeout is seconds, or such as 90s, 30m, 2h, 1d; got {value!r}")
    return float(match[1]) * UNITS[match[2]]
