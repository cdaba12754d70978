"""Checked values for a dataclass: types by OmegaConf, bounds by field metadata."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rnnbench.contract.settings import out_of_range
from rnnbench.errors import SpecError
from rnnbench.files.yaml_with_lines import WrittenInt
from rnnbench.registry.registry import did_you_mean
from rnnbench.registry.schema import FieldSchema
from rnnbench.spec.typed_text import TypedText, element_of, members_of, read_typed, words_of

FINITE = ("optimizer", "budget", "trainer")  # a limit of clip may be infinite, and clips nothing


def at(place: str | None) -> str:
    """Return the place as a prefix of a message."""
    return f"{place}: " if place else ""


def field_names(cls: Any) -> list[str]:
    """Return the names of a dataclass's fields."""
    return [f.name for f in dataclasses.fields(cls)]


def fill(
    cls: Any,
    values: Mapping[str, Any],
    section: str,
    places: Mapping[str, str],
    owner: str | None = None,
) -> Any:
    """Fill a dataclass with checked values.

    OmegaConf converts types, and the metadata of the fields bounds them.
    """
    owner = owner or section
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for name in values:
        place = at(places.get(f"{section}.{name}") or places.get(section.partition(".")[0]))
        if name not in fields:
            raise SpecError(
                f"{place}{owner} has no field {name!r}{did_you_mean(name, fields)}\n"
                f"  Fields: {', '.join(fields) or 'none'}"
            )
    missing = [
        f.name for f in fields.values() if f.default is dataclasses.MISSING and f.name not in values
    ]
    if missing:
        raise SpecError(f"{owner} needs {', '.join(f'{section}.{m}=...' for m in missing)}")
    config = OmegaConf.structured(cls)
    OmegaConf.set_readonly(config, False)
    for name, value in values.items():
        place = at(places.get(f"{section}.{name}") or places.get(section.partition(".")[0]))
        given = value
        hint = _hint(cls, name)
        try:
            value = _convert(
                read_typed(value, hint) if isinstance(value, TypedText) else value, hint
            )
            if _is_of_another_type(value, hint):
                raise OmegaConfBaseException(f"a {type(value).__name__}")
            config[name] = value
        except OmegaConfBaseException as error:
            shown = given if isinstance(given, TypedText) else repr(given)
            raise SpecError(
                f"{place}{section}.{name}={shown}: {owner} takes {_in_words(hint)}"
                f"{did_you_mean(str(value), [str(w) for w in words_of(hint)])}"
            ) from error
        problem = out_of_range(fields[name], value)
        if section in FINITE and isinstance(value, float) and math.isinf(value):
            problem = f"= {value} is without end: give a finite number"
        if problem:
            raise SpecError(f"{place}{section}.{name} {problem}")
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()})


def _convert(value: Any, hint: Any) -> Any:
    """Return a value in the type of its field where it has only one meaning there.

    A number is text for a field that takes text, 010 as it is written; 1e6 is a whole number, and
    5 a float; a text is a list for a field that takes one. All else stays as it is.
    """
    members, element = members_of(hint), element_of(hint)
    if element is not None and isinstance(value, (str, list)):
        listed = read_typed(value, hint) if isinstance(value, str) else value
        return tuple(_convert(v, element) for v in listed)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    text = value.written if isinstance(value, WrittenInt) else str(value)
    value = int(value) if isinstance(value, int) else value
    if isinstance(value, float) and value.is_integer() and int in members and float not in members:
        return int(value)
    if isinstance(value, int) and float in members and int not in members:
        return float(value)
    is_text = (str in members and not {int, float} & set(members)) or text in words_of(hint)
    return text if is_text and value not in words_of(hint) else value


def _is_of_another_type(value: Any, hint: Any) -> bool:
    """Tell what OmegaConf would convert all the same: "64" for a number, true for a text."""
    members, element = members_of(hint), element_of(hint)
    if element is not None and isinstance(value, tuple):
        return any(_is_of_another_type(v, element) for v in value)
    if isinstance(value, bool):
        return bool not in members and value not in words_of(hint) and Any not in members
    return isinstance(value, str) and not (str in members or words_of(hint) or Any in members)


def _in_words(hint: Any) -> str:
    """Return what a field takes, as messages say it."""
    if words := words_of(hint):
        return f"one of {', '.join(map(repr, words))}"
    element = element_of(hint)
    if element is not None:
        return f"a list of {FieldSchema('', element, None).type_name}, such as a,b or [a, b]"
    return FieldSchema("", hint, None).type_name


def _hint(cls: Any, name: str) -> Any:
    return typing.get_type_hints(cls)[name]
