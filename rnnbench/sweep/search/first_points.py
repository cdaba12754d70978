"""The first trials of a search: what is published, what the user wants tried, what is known."""

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
    """The parameters of the configurations of `search.start` in a cell.

    Settings that one leaves out are the published ones: what the task recommends, else the
    default of the field; a trick that may be left out is there.

    Args:
        lists: those that have searched elements, by dotted name, as they are in the cell.

    Raises:
        SweepError: a value that the space does not hold.
    """
    found: list[Params] = []
    for i, wanted in enumerate(sweep.search.start):
        place = ("search", "start", i)
        own = {} if isinstance(wanted, str) else wanted
        names = {d.name for d in space}
        if own and not names & set(own):
            continue  # it speaks of other cells
        params: Params = {}
        for d in space:
            if not is_active(d, params):
                continue
            value = own[d.name] if d.name in own else _published(d.name, fields, lists, recommended)
            if d.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if not d.holds(value):
                source = "given" if d.name in own else "published, and not given"
                raise sweep.error(
                    place,
                    f"{d.name}={value!r} ({source}) is not in the space of {cell.name}, which is "
                    f"{d.as_dict()}: widen the space, or give another value",
                )
            params[d.name] = value
        idle = [name for name in own if name in names and name not in params]
        if idle:
            raise sweep.error(
                place, f"{', '.join(idle)} is not searched with the other values of this start"
            )
        if params not in found:
            found.append(params)
    return tuple(found)


def check_names(sweep: Sweep, spaces: Sequence[Sequence[Dimension]]) -> None:
    """Refuse a setting that is searched in no cell."""
    known = {d.name for space in spaces for d in space}
    for i, wanted in enumerate(sweep.search.start):
        for name in wanted if isinstance(wanted, dict) else ():
            if name not in known:
                raise sweep.error(
                    ("search", "start", i, name),
                    f"{name} is searched in no cell{did_you_mean(name, known)}\n"
                    f"  searched: {', '.join(sorted(known))}",
                )


def _published(
    name: str, fields: Mapping[str, FieldSchema], lists: Params, recommended: Params
) -> Any:
    if name in recommended:
        return recommended[name]
    if name.startswith("tricks.") and name.count(".") == 1:
        return True
    base, _, index = name.partition("[")
    return lists[base][int(index.rstrip("]"))] if index else fields[base].default
