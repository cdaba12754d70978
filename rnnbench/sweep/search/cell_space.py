"""The search space of one cell: which entries of the file it has, and under which conditions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.files.yaml_with_lines import Place
from rnnbench.registry.registry import did_you_mean
from rnnbench.registry.schema import FieldSchema
from rnnbench.sweep.file.sweep import GridCell, Sweep
from rnnbench.sweep.search.dimensions import Dimension, Params, SpaceError, dimension, in_order

ELEMENT = re.compile(r"(.+)\[(\d+)\]")  # of a list: architecture.periods[1]


def is_switch(name: str) -> bool:
    """Tell whether an entry of a space switches a trick on or off: `tricks.zoneout`."""
    return name.startswith("tricks.") and name.count(".") == 1


def cell_space(
    sweep: Sweep,
    cell: GridCell,
    fields: Mapping[str, FieldSchema],
    fixed: Mapping[str, Any],
) -> tuple[tuple[Dimension, ...], Params]:
    """Return the dimensions of a cell, and the lists of which elements are searched.

    Args:
        fields: all settings of the cell, by dotted name.
        fixed: (value, place in the file) of the settings that the file fixes, by dotted name.

    Returns:
        The dimensions in the order of the file, each after those on which it depends; and by
        dotted name the list values that have searched elements.

    Raises:
        SweepError: an entry cannot be; the message names file and line.
    """
    entry_of_section = {section: entry for section, entry, _ in cell.parts()}
    fixed_values = {n: v for n, (v, _) in fixed.items()}
    fixed_values |= {
        f"{section}.{name}": value
        for section, entry in entry_of_section.items()
        for name, value in entry.items()
        if name != "name"
    }
    entries: dict[str, Any] = dict(sweep.search.space)
    if sweep.search.auto:
        entries = {
            name: "auto" for name, f in fields.items() if f.search and name not in fixed_values
        }
    lists: Params = {}
    space: list[Dimension] = []
    for name, entry in entries.items():
        place: Place = ("search", "space") if sweep.search.auto else ("search", "space", name)
        element = ELEMENT.fullmatch(name)
        base = element[1] if element else name
        if is_switch(name):
            if name in entry_of_section:
                space.append(Dimension(name, "choice", choices=(True, False)))
            continue
        if base not in fields:
            continue
        if not element and name in fixed_values:
            where = sweep.text.at(*fixed[name][1]) if name in fixed else f"the entry of {cell.name}"
            raise sweep.error(
                place, f"{name} is searched here, and fixed by {where}; remove one of the two"
            )
        type_ = fields[base].type
        try:
            if element:
                index = int(element[2])
                values = fixed_values.get(base, fields[base].default)
                lists[base] = _searched_list(base, values, index)
                type_ = type(lists[base][index])
            plain, when = _split_conditions(entry)
            d = dimension(name, plain, type_, None if element else fields[base].search)
            conditions = _read_conditions(d.name, when, fields, fixed_values, entries)
        except SpaceError as error:
            raise sweep.error(place, str(error)) from error
        if conditions is not None:
            space.append(dataclasses.replace(d, when=conditions))
    switches = {d.name for d in space if is_switch(d.name)}
    space = [
        dataclasses.replace(d, when=((section, (True,)), *d.when))
        if (section := d.name.rpartition(".")[0]) in switches
        else d
        for d in space
    ]
    _check_conditions(sweep, space)
    try:
        return in_order(space), lists
    except SpaceError as error:
        raise sweep.error(("search", "space"), str(error)) from error


def _searched_list(name: str, value: Any, index: int) -> tuple[Any, ...]:
    """Return the list of which the element at `index` is searched.

    Raises:
        SpaceError: the setting is no list, or is shorter.
    """
    if not isinstance(value, (list, tuple)):
        raise SpaceError(f"{name} is not a list, so it has no element [{index}]")
    if index >= len(value):
        raise SpaceError(f"{name} has {len(value)} elements, counted from [0]: {list(value)}")
    return tuple(value)


def _split_conditions(entry: Any) -> tuple[Any, dict[str, Any]]:
    """Return an entry of the space without its conditions, and its conditions."""
    if not isinstance(entry, dict):
        return entry, {}
    plain = {k: v for k, v in entry.items() if k != "when"}
    return plain or "auto", entry.get("when", {})


def _read_conditions(
    name: str,
    when: Mapping[str, list[Any]],
    fields: Mapping[str, FieldSchema],
    fixed_values: Mapping[str, Any],
    entries: Mapping[str, Any],
) -> tuple[tuple[str, tuple[Any, ...]], ...] | None:
    """Return the conditions on other searched settings.

    Returns:
        None where the condition is on a fixed setting and does not hold.

    Raises:
        SpaceError: a condition is on the setting itself, or on one that the cell does not have.
    """
    conditions = []
    for parent, values in when.items():
        if parent == name:
            raise SpaceError(f"{name} depends on itself")
        if parent in entries and (parent in fields or is_switch(parent)):
            conditions.append((parent, tuple(values)))
        elif parent in fields:
            if fixed_values.get(parent, fields[parent].default) not in values:
                return None
        else:
            raise SpaceError(
                f"{name} depends on {parent!r}, which this cell does not have"
                f"{did_you_mean(parent, fields)}"
            )
    return tuple(conditions)


def _check_conditions(sweep: Sweep, space: Sequence[Dimension]) -> None:
    """Raise SweepError for a condition that never holds, or is on a setting not searched here."""
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
