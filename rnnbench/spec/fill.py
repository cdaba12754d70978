"""Checked values for a dataclass: types by OmegaConf, bounds by field metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rnnbench.contract.settings import out_of_range
from rnnbench.errors import SpecError
from rnnbench.registry.registry import did_you_mean
from rnnbench.registry.schema import FieldSchema


def at(place: str | None) -> str:
    """Return the place as a prefix of a message."""
    return f"{place}: " if place else ""


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
        try:
            wrong_type = isinstance(value, str) and not _takes_text(cls, name)
            if wrong_type or (isinstance(value, bool) and not _takes(cls, name, bool)):
                raise OmegaConfBaseException(f"a {type(value).__name__}")
            if isinstance(value, float) and value.is_integer() and not _takes(cls, name, float):
                value = int(value) if _takes(cls, name, int) else value  # 1e6
            if isinstance(value, int) and _takes(cls, name, float) and not _takes(cls, name, int):
                value = float(value)
            config[name] = tuple(value) if isinstance(value, list) else value
        except OmegaConfBaseException as error:
            type_name = FieldSchema(name, _hint(cls, name), None).type_name
            raise SpecError(
                f"{place}{section}.{name}={value!r}: {owner} takes {type_name}"
                f"{did_you_mean(str(value), _choices(cls, name))}"
            ) from error
        problem = out_of_range(fields[name], value)
        if problem:
            raise SpecError(f"{place}{section}.{name} {problem}")
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()})


def _hint(cls: Any, name: str) -> Any:
    import typing

    return typing.get_type_hints(cls)[name]


def _choices(cls: Any, name: str) -> tuple[str, ...]:
    hint = _hint(cls, name)
    return tuple(str(a) for a in get_args(hint)) if "Literal" in str(get_origin(hint)) else ()


def _takes(cls: Any, name: str, kind: type) -> bool:
    hint = _hint(cls, name)
    return hint is kind or kind in get_args(hint)


def _takes_text(cls: Any, name: str) -> bool:
    return _takes(cls, name, str) or "Literal" in str(_hint(cls, name))
