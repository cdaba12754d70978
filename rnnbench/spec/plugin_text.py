"""Plugins and their settings as text: "zoneout:rate=0.1"."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rnnbench.contract.settings import revisions
from rnnbench.errors import PluginError, SpecError
from rnnbench.registry.registry import schema
from rnnbench.registry.schema import FieldSchema, Schema
from rnnbench.spec.fill import at, fill
from rnnbench.spec.run_spec import PluginSpec
from rnnbench.spec.typed_text import NULLS, TypedText, read_value

Plugin = str | Mapping[str, Any]  # "zoneout:rate=0.1", or {"name": "zoneout", "rate": 0.1}

BEGIN_QUOTED = ('"', "'", "[")  # texts that begin so are written in quotes
# A comma that is in no brackets, nor in quotes that begin a value or an element.
SEPARATOR = re.compile(r""",(?![^\[\(]*[\]\)])(?=(?:[^"]*"[^"]*")*[^"]*$)""")


def split_assignment(text: str) -> tuple[str, TypedText]:
    """Split `optimizer.lr=3e-3` into its name and the text of its value.

    Raises:
        SpecError: there is no name or no `=`, or an interpolation.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SpecError(f"{text!r} is not a setting; write name=value, such as optimizer.lr=3e-3")
    if "${" in value:
        raise SpecError(f"{text!r}: '${{' is refused: write the value itself")
    return name.strip(), TypedText(value)


def split_assignments(texts: Iterable[str], whole: str = "command line") -> dict[str, TypedText]:
    """Split settings, none of which may be given twice.

    Args:
        whole: what they were written in, for the message.

    Raises:
        SpecError: as `split_assignment` does, or a setting is given twice.
    """
    values: dict[str, TypedText] = {}
    for text in texts:
        name, value = split_assignment(text)
        if name in values:
            raise SpecError(
                f"{whole}: {name} is given twice, as {values[name]} and as {value}; keep one"
            )
        values[name] = value
    return values


def read_assignment(text: str) -> tuple[str, Any]:
    """Read `optimizer.lr=3e-3` as ("optimizer.lr", 0.003), whatever field it is for."""
    name, value = split_assignment(text)
    return name, read_value(value)


def read_plugin(plugin: Plugin) -> tuple[str, dict[str, Any]]:
    """Read name and settings of "zoneout:rate=0.1,cell_rate=0.2" or of a mapping with a name."""
    name, settings = split_plugin(plugin)
    return name, {k: read_value(v) if isinstance(v, TypedText) else v for k, v in settings.items()}


def split_plugin(plugin: Plugin) -> tuple[str, dict[str, Any]]:
    """Split a plugin into its name and settings; those of a text wait for their field's type."""
    if isinstance(plugin, str):
        name, _, listed = plugin.partition(":")
        return name, split_assignments(_split(listed), plugin)
    settings = dict(plugin)
    if "name" not in settings:
        raise SpecError(f"{dict(plugin)} names no plugin: add `name:`")
    return str(settings.pop("name")), settings


def _split(text: str) -> list[str]:
    """Split settings at commas outside brackets and quotes.

    A part without `=` goes on with the list before it (`periods=1,2,4`), an empty one too, which
    the type of the list then refuses. After `=` stands a comma that is the value (`decimal=,`),
    and one at the very end says nothing.
    """
    settings: list[str] = []
    parts = SEPARATOR.split(text)
    for i, part in enumerate(parts):
        more = part.strip() or i < len(parts) - 1
        if settings and "=" not in part and (more or settings[-1].endswith("=")):
            settings[-1] += f",{part}"
        elif part.strip():
            settings.append(part)
    return settings


def make_plugin_spec(
    plugin: Schema, values: dict[str, Any], section: str, places: Mapping[str, str]
) -> PluginSpec:
    cls = dataclasses.make_dataclass(
        plugin.name.replace("-", "_"), [f.as_field() for f in plugin.fields.values()], kw_only=True
    )
    filled = fill(cls, values, section, places, f"{plugin.kind[:-1]} {plugin.name}")
    settings = {f.name: getattr(filled, f.name) for f in dataclasses.fields(filled)}
    for name, field in plugin.fields.items():
        if field.plugin and settings[name] is not None:
            place = places.get(f"{section}.{name}") or places.get(section.partition(".")[0])
            try:
                settings[name] = canonical_name(field.plugin, settings[name])
            except (SpecError, PluginError) as error:
                raise SpecError(f"{at(place)}{section}.{name}={values[name]}: {error}") from error
    revised = {name: field.revised for name, field in plugin.fields.items()}
    version = plugin.version + revisions(revised, settings)
    # Runs that were made before a setting was added keep their identity.
    told = {k: v for k, v in settings.items() if not _is_unsaid(plugin.fields[k], v)}
    return PluginSpec(plugin.name, version, tuple(told.items()))


def _is_unsaid(field: FieldSchema, value: Any) -> bool:
    """Tell whether a setting was added later and is at its default."""
    return bool(field.added) and value == field.default


def named(kind: str, text: str) -> tuple[PluginSpec, dict[str, Any]]:
    """Return the plugin that a setting names, and which of its settings the text gives.

    Args:
        text: "gru" or "lstm:peepholes=true"; canonical texts of versions above 1 say "lstm@2".

    Raises:
        SpecError, PluginError: it cannot be; or it was written for another version.
    """
    name, settings = split_plugin(text)
    name, _, version = name.partition("@")
    spec = make_plugin_spec(schema(kind, name), settings, name, {})
    if version and version != str(spec.version):
        raise PluginError(
            f"{kind[:-1]} {name!r} is at version {spec.version}; {text!r} was written for "
            f"version {version}, whose results mean something else."
        )
    return spec, settings


def canonical_name(kind: str, text: str) -> str:
    """Return one text for what a setting names: only what differs from the defaults, sorted."""
    spec, _ = named(kind, text)
    fields = schema(kind, spec.name).fields
    differing = ",".join(
        f"{k}={_write_value(v)}" for k, v in spec.settings if v != fields[k].default
    )
    version = f"@{spec.version}" if spec.version > 1 else ""
    return f"{spec.name}{version}" + (f":{differing}" if differing else "")


def _write_value(value: Any) -> str:
    """Write a value as the field that it is of reads it."""
    if isinstance(value, tuple):
        return f"[{','.join(map(_write_value, value))}]"
    if isinstance(value, str):
        plain = not ("," in value or value in NULLS or value.startswith(BEGIN_QUOTED))
        return value if plain else json.dumps(value)
    return json.dumps(value)
