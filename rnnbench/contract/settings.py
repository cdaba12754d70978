"""Declares hyper-parameters as dataclass fields with help, unit, range and search space.

No torch here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

LARGEST_INT = 2**63 - 1


def setting(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    unit: str | None = None,
    low: float | None = None,
    high: float | None = None,
    search: tuple[Any, ...] | None = None,
    plugin: str | None = None,
    width: bool = False,
    revised: tuple[Any, ...] = (),
    added: bool = False,
) -> Any:
    """Return a dataclass field for a hyper-parameter, with its help, unit, range and search space.

    Args:
        default: value where none is given.
        help: one line for `rnnbench describe`.
        unit: of the value, such as "steps" or "units".
        low, high: the closed interval of allowed values.
        search: default search space: `(low, high)`, `(low, high, "log")`, or for a field that
            is not numeric the choices.
        plugin: the value names another plugin of this kind ("architectures"), with settings where
            wanted: "gru" or "lstm:peepholes=true". It is checked as that plugin's own would be, and
            what it names is part of the run's identity.
        width: of an architecture: `budget.parameters` solves for this field. Where no field says
            so, it is `hidden`.
        revised: values whose results came to mean something else, once for each time that they
            did. A run with such a value has so much higher a version of the plugin; runs with
            other values keep their identity.
        added: it came after runs had been made, and at its default changes none of their results.
            At its default it is left out of a run's identity, so that these runs keep theirs.

    Write the arguments as literals: rnnbench reads them from the source, without importing it.
    """
    metadata = {"help": help, "unit": unit, "low": low, "high": high, "search": search}
    metadata |= {"plugin": plugin, "width": width, "revised": revised, "added": added}
    if isinstance(default, (list, dict, set)):
        raise TypeError("a setting's default must be immutable: use a tuple")
    return dataclasses.field(default=default, metadata=metadata)


def revisions(revised: Mapping[str, tuple[Any, ...]], settings: Mapping[str, Any]) -> int:
    """Count how often the results of these settings came to mean something else: see `setting`."""
    return sum(values.count(settings.get(name)) for name, values in revised.items())


def out_of_range(field: dataclasses.Field[Any], value: Any) -> str | None:
    """Return what is wrong with a value of a field, as "= 3 is outside 0..1", or None."""
    low, high = field.metadata.get("low"), field.metadata.get("high")
    if value is None or isinstance(value, (str, bool)):
        return None
    values = value if isinstance(value, (tuple, list)) else (value,)
    numbers = [v for v in values if isinstance(v, (int, float))]
    if any(math.isnan(v) for v in numbers if isinstance(v, float)):
        return f"= {value} is not a number"  # which no bound holds off
    if any(abs(v) > LARGEST_INT for v in numbers if isinstance(v, int)):
        return f"= {value} is larger than any number that a machine counts to: {LARGEST_INT}"
    if any((low is not None and v < low) or (high is not None and v > high) for v in values):
        return f"= {value} is outside {'' if low is None else low}..{'' if high is None else high}"
    return None
