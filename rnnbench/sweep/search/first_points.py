"""The first trials of a search: published settings, and settings that the user wants tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.registry.registry import did_you_mean
from rnnbench.registry.schema import FieldSchema
from rnnbench.sweep.file.sweep import GridCell, Sweep
from rnnbench.sweep.search.dimensions import Dimension, Params, is_active


def first_points(
    sweep: Sweep,
    cell: GridCell,
    space: Sequence[Dimension],
    fields: Mapping[str, FieldSchema],
    lists: Params,
    recommended: Params,
) -> tuple[Params, ...]:
    """Return the parameters of the configurations of `search.start` in a cell.

    A setting that a start leaves out has its published value: what the task recommends, else the
    default of the field. A trick that may be left out is there.

    Args:
        fields: all settings of the cell, by dotted name.
        lists: settings that are lists and have searched elements, by dotted name.
        recommended: the settings that the task recommends, by dotted name.

    Raises:
        SweepError: the space does not hold a value; the message names file and line.
    """
    points: list[Params] = []
    for i, start in enumerate(sweep.search.start):
        place = ("search", "start", i)
        settings = {} if isinstance(start, str) else start
        names = {d.name for d in space}
        if settings and not names & set(settings):
            continue  # it speaks of other cells
        params: Params = {}
        for d in space:
            if not is_active(d, params):
                continue
            if d.name in settings:
                value = settings[d.name]
            else:
                value = _published_value(d.name, fields, lists, recommended)
            if d.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if not d.holds(value):
                source = "given" if d.name in settings else "published, and not given"
                raise sweep.error(
                    place,
                    f"{d.name}={value!r} ({source}) is not in the space of {cell.name}, which is "
                    f"{d.as_dict()}: widen the space, or give another value",
                )
            params[d.name] = d.nearest(value)
        idle = [name for name in settings if name in names and name not in params]
        if idle:
            raise sweep.error(
                place, f"{', '.join(idle)} is not searched with the other values of this start"
            )
        if params not in points:
            points.append(params)
    return tuple(points)


def check_names(sweep: Sweep, spaces: Sequence[Sequence[Dimension]]) -> None:
    """Raise SweepError where a start has a setting that is searched in no cell."""
    known = {d.name for space in spaces for d in space}
    for i, start in enumerate(sweep.search.start):
        for name in start if isinstance(start, dict) else ():
            if name not in known:
                raise sweep.error(
                    ("search", "start", i, name),
                    f"{name} is searched in no cell{did_you_mean(name, known)}\n"
                    f"  searched: {', '.join(sorted(known))}",
                )


def _published_value(
    name: str, fields: Mapping[str, FieldSchema], lists: Params, recommended: Params
) -> Any:
    if name in recommended:
        return recommended[name]
    if name.startswith("tricks.") and name.count(".") == 1:
        return True
    base, _, index = name.partition("[")
    return lists[base][int(index.rstrip("]"))] if index else fields[base].default
