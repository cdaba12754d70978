"""The dimensions of a cell: which entries of the space it has, and under which conditions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.files.yaml_with_lines import Place
from rnnbench.registry.registry import did_you_mean
from rnnbench.registry.schema import FieldSchema
from rnnbench.sweep.file.sweep import GridCell, Sweep
from rnnbench.sweep.search.dimensions import Dimension, Params, dimension, in_order

ELEMENT = re.compile(r"(.+)\[(\d+)\]")  # of a list: architecture.periods[1]


def is_switch(name: str) -> bool:
    """Whether an entry of a space is a trick's being there: `tricks.zoneout`."""
    return name.startswith("tricks.") and name.count(".") == 1


def cell_space(
    sweep: Sweep,
    cell: GridCell,
    fields: Mapping[str, FieldSchema],
    fixed: Mapping[str, Any],
) -> tuple[tuple[Dimension, ...], Params]:
    """The dimensions of a cell, in the order of the file, and the lists that have some of them."""
    own = {section: entry for section, entry, _ in cell.parts()}
    given = {n: v for n, (v, _) in fixed.items()}
    given |= {
        f"{section}.{name}": value
        for section, entry in own.items()
        for name, value in entry.items()
        if name != "name"
    }
    entries: dict[str, Any] = dict(sweep.search.space)
    if sweep.search.auto:
        entries = {name: "auto" for name, f in fields.items() if f.search and name not in given}
    lists: Params = {}
    found: list[Dimension] = []
    for name, entry in entries.items():
        place: Place = ("search", "space") if sweep.search.auto else ("search", "space", name)
        element = ELEMENT.fullmatch(name)
        base = element[1] if element else name
        if is_switch(name):
            if name in own:
                choices = (True, False)
                found.append(Dimension(name, "choice", choices=choices))
            continue
        if base not in fields:
            continue
        if not element and name in given:
            where = sweep.text.at(*fixed[name][1]) if name in fixed else f"the entry of {cell.name}"
            raise sweep.error(
                place, f"{name} is searched here, and fixed by {where}; remove one of the two"
            )
        type_ = fields[base].type
        try:
            if element:
                lists[base] = _list(base, given.get(base, fields[base].default), int(element[2]))
                type_ = type(lists[base][int(element[2])])
            plain, when = _without_conditions(entry)
            d = dimension(name, plain, type_, None if element else fields[base].search)
            conditions = _conditions(d.name, when, sweep, fields, given, entries)
        except ValueError as error:
            raise sweep.error(place, str(error)) from error
        if conditions is not None:
            found.append(dataclasses.replace(d, when=conditions))
    switches = {d.name for d in found if is_switch(d.name)}
    found = [
        dataclasses.replace(d, when=((section, (True,)), *d.when))
        if (section := d.name.rpartition(".")[0]) in switches
        else d
        for d in found
    ]
    _check_conditions(sweep, found)
    try:
        return in_order(found), lists
    except ValueError as error:
        raise sweep.error(("search", "space"), str(error)) from error


def _list(name: str, value: Any, index: int) -> tuple[Any, ...]:
    """The list of which an element is searched."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{name} is not a list, so it has no element [{index}]")
    if index >= len(value):
        raise ValueError(f"{name} has {len(value)} elements, counted from [0]: {list(value)}")
    return tuple(value)


def _without_conditions(entry: Any) -> tuple[Any, dict[str, Any]]:
    """An entry of the space and its `when`."""
    if not isinstance(entry, dict):
        return entry, {}
    plain = {k: v for k, v in entry.items() if k != "when"}
    return plain or "auto", entry.get("when", {})


def _conditions(
    name: str,
    when: Mapping[str, list[Any]],
    sweep: Sweep,
    fields: Mapping[str, FieldSchema],
    given: Mapping[str, Any],
    entries: Mapping[str, Any],
) -> tuple[tuple[str, tuple[Any, ...]], ...] | None:
    """The conditions on searched settings; None where a fixed one does not have its value."""
    found = []
    for parent, values in when.items():
        if parent == name:
            raise ValueError(f"{name} depends on itself")
        if parent in entries and (parent in fields or is_switch(parent)):
            found.append((parent, tuple(values)))
        elif parent in fields:
            if given.get(parent, fields[parent].default) not in values:
                return None
        else:
            raise ValueError(
                f"{name} depends on {parent!r}, which this cell does not have"
                f"{did_you_mean(parent, fields)}"
            )
    return tuple(found)


def _check_conditions(sweep: Sweep, space: Sequence[Dimension]) -> None:
    """Refuse a condition that can never be, or that is on a setting which is not searched here."""
    by_name = {d.name: d for d in space}
    for d in space:
        for parent, values in d.when:
            place = ("search", "space", d.name)
            if parent not in by_name:
                raise sweep.error(
                    place, f"{d.name} depends on {parent}, which is not searched in every cell"
                )
            for value in values:
                if not by_name[parent].holds(value):
                    raise sweep.error(
                        place,
                        f"{d.name} depends on {parent}={value!r}, which is never proposed: "
                        f"it is {by_name[parent].as_dict()}",
                    )
