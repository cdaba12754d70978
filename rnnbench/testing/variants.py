"""Neighbouring settings of a plugin, where faults hide that its small instance does not show.

Dropout that stays on at evaluation is invisible at rate 0 and in a single layer. So laws that cost
little are held on these too.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any, Literal

from rnnbench.contract import Plugin
from rnnbench.contract.settings import out_of_range

MOST = 16


def variants(plugin: Plugin) -> Iterator[tuple[str, Any]]:
    """Yield the plugin with other settings, after these in words: several, then one at a time.

    Settings out of their range, or that the plugin refuses, are left out.
    """
    changes: list[dict[str, Any]] = []
    together: dict[str, Any] = {}
    for field, value, values in neighbours(plugin):
        changes += [{field: v} for v in values]
        if values and (value == 0 or (isinstance(value, int) and value <= 2)):
            together[field] = values[0]
    if len(together) > 1:
        changes.insert(0, together)
    for change in changes[:MOST]:
        try:
            variant = dataclasses.replace(plugin, **change)  # type: ignore[type-var]
        except (ValueError, TypeError):  # a Refusal is a ValueError
            continue
        yield ", ".join(f"{k}={v}" for k, v in change.items()), variant


def neighbours(plugin: Plugin) -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield name, value and other possible values of each field."""
    try:
        hints = typing.get_type_hints(type(plugin))
    except NameError:  # a class inside a function, whose annotations cannot be looked up
        hints = {}
    for field in dataclasses.fields(plugin):  # type: ignore[arg-type]
        value = getattr(plugin, field.name)
        candidates = [v for v in _other(value, hints.get(field.name), field.metadata) if v != value]
        unique = list(dict.fromkeys(v for v in candidates if not out_of_range(field, v)))
        yield field.name, value, unique


def _other(value: Any, hint: Any, bounds: Any) -> list[Any]:
    low = bounds.get("low")
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1] + ([int(low)] if low is not None else [])
    if isinstance(value, float):
        high = bounds.get("high")
        half = 0.5 if high is None else min(0.5, high / 2)
        # Not 0 in place of a rate: a leak of 0 makes a cell that rightly never moves.
        return [half] if value == 0 else []
    if value is None and int in typing.get_args(hint):
        return [3]
    if value is None and float in typing.get_args(hint):
        return [0.5]
    return []
