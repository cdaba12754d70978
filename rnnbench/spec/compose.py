"""From defaults, files and the command line to a RunSpec; every mistake is named with its place.

Later layers win: core's defaults, what the task recommends, a file, the command line. Values are
checked by OmegaConf against the plugins' dataclasses. torch is not imported unless `resolve` is
called.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rnnbench.contract.settings import out_of_range
from rnnbench.registry.registry import (
    FieldSchema,
    PluginError,
    Schema,
    create,
    did_you_mean,
    schema,
)
from rnnbench.spec.run_spec import Budget, Optimizer, PluginSpec, RunSpec
from rnnbench.spec.yaml_with_lines import YamlError, parse_yaml

Plugin = str | Mapping[str, Any]  # "zoneout:rate=0.1", or {"name": "zoneout", "rate": 0.1}
SECTIONS = ("task", "architecture", "tricks", "optimizer", "budget")


class SpecError(ValueError):
    """A name, a field, a type or a value that cannot be; the message has the place."""


def read_value(text: str) -> Any:
    """A value as YAML 1.2 reads it: `3e-3` is a number, `null` is None, `no` is a word.

    Raises:
        SpecError: not YAML, or an interpolation.
    """
    try:
        return parse_yaml(text, "command line").value
    except YamlError as error:
        raise SpecError(f"{text!r} is not a value: {error}") from error


def read_assignment(text: str) -> tuple[str, Any]:
    """`optimizer.lr=3e-3` -> ("optimizer.lr", 0.003)."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SpecError(f"{text!r} is not a setting; write name=value, such as optimizer.lr=3e-3")
    return name.strip(), read_value(value)


def read_plugin(plugin: Plugin) -> tuple[str, dict[str, Any]]:
    """Name and settings of "zoneout:rate=0.1,cell_rate=0.2" or of a mapping with a name."""
    if isinstance(plugin, str):
        name, _, rest = plugin.partition(":")
        return name, dict(read_assignment(part) for part in _split(rest) if part)
    settings = dict(plugin)
    if "name" not in settings:
        raise SpecError(f"{dict(plugin)} names no plugin: add `name:`")
    return str(settings.pop("name")), settings


def _split(text: str) -> list[str]:
    """At commas outside brackets."""
    return re.split(r",(?![^\[\(]*[\]\)])", text)


def compose(
    task: Plugin,
    architecture: Plugin,
    tricks: Sequence[Plugin] = (),
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    test: bool = True,
    places: Mapping[str, str] | None = None,
) -> RunSpec:
    """Check everything that can be known without importing a plugin, and make the spec.

    Args:
        settings: by dotted name: "task.length", "architecture.hidden", "tricks.zoneout.rate",
            "optimizer.lr", "budget.steps".
        places: where a dotted name was written ("sweep.yaml:12"), for messages.

    Returns:
        A spec without its data version: see `resolve`.

    Raises:
        SpecError: an unknown name, a wrong type, a value out of range, contradictory budgets.
    """
    places = places or {}
    task_name, task_own = _read(task, "task", places)
    architecture_name, architecture_own = _read(architecture, "architecture", places)
    trick_list = [_read(t, "tricks", places) for t in tricks]
    names = [n for n, _ in trick_list]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise SpecError(f"trick {twice!r} is listed twice")
    schemas: dict[str, Schema] = {
        "task": _schema("tasks", task_name, places.get("task")),
        "architecture": _schema("architectures", architecture_name, places.get("architecture")),
        **{f"tricks.{n}": _schema("tricks", n, places.get("tricks")) for n in names},
    }
    values: dict[str, dict[str, Any]] = {
        "task": dict(task_own),
        "architecture": dict(architecture_own),
        "optimizer": {},
        "budget": {},
        **{f"tricks.{n}": dict(own) for n, own in trick_list},
    }
    layers = [(schemas["task"].recommended, {}), (settings or {}, places)]
    for layer, layer_places in layers:
        for dotted, value in layer.items():
            place = layer_places.get(dotted)
            section, field = _locate(dotted, values, place)
            if section == "budget":  # a later layer's budget replaces, not joins, an earlier one's
                _replace_budget(values["budget"], field, dict(layer))
            values[section][field] = value
    optimizer = fill(Optimizer, values["optimizer"], "optimizer", places)
    budget = fill(Budget, values["budget"], "budget", places)
    _check_budget(budget)
    if budget.parameters is not None:
        _check_width(schemas["architecture"], values["architecture"], places)
    plugins = {
        section: _plugin_spec(schemas[section], values[section], section, places)
        for section in schemas
    }
    return RunSpec(
        task=plugins["task"],
        architecture=plugins["architecture"],
        tricks=tuple(plugins[f"tricks.{n}"] for n in names),
        optimizer=optimizer,
        budget=budget,
        seed=seed,
        test=test,
    )


def resolve(spec: RunSpec) -> RunSpec:
    """Import the plugins, let them check their settings, and fill in the data version.

    With a budget of parameters the architecture's width is solved for.

    Raises:
        SpecError, PluginError, contract.Refusal.
    """
    from rnnbench.data import data_version

    if spec.budget.parameters is not None:
        from rnnbench.spec.parameter_budget import fit_width

        spec = fit_width(spec)
    task, _, _ = instantiate(spec)
    return dataclasses.replace(spec, data=data_version(task.sources(), task.version))


def instantiate(spec: RunSpec) -> tuple[Any, Any, list[Any]]:
    """The task, the architecture and the tricks of a spec, as objects."""
    from rnnbench.contract import Refusal

    try:
        return (
            create("tasks", spec.task),
            create("architectures", spec.architecture),
            [create("tricks", t) for t in spec.tricks],
        )
    except (PluginError, Refusal):
        raise
    except (ValueError, TypeError) as error:
        raise SpecError(str(error)) from error


def _read(plugin: Plugin, section: str, places: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    try:
        return read_plugin(plugin)
    except SpecError as error:
        raise SpecError(at(places.get(section)) + str(error)) from error


def _schema(kind: str, name: str, place: str | None) -> Schema:
    try:
        return schema(kind, name)
    except PluginError as error:
        raise SpecError(at(place) + str(error)) from error


def at(place: str | None) -> str:
    """The place as a prefix of a message."""
    return f"{place}: " if place else ""


def _locate(
    dotted: str, values: Mapping[str, dict[str, Any]], place: str | None
) -> tuple[str, str]:
    """The section and the field of a dotted name."""
    section, _, field = dotted.rpartition(".")
    if section in values:
        return section, field
    if section.startswith("tricks.") or section == "tricks":
        tricks = [s.removeprefix("tricks.") for s in values if s.startswith("tricks.")]
        has = f"the tricks {', '.join(tricks)}" if tricks else "no tricks"
        raise SpecError(
            f"{at(place)}{dotted}: this run has {has}"
            f"{did_you_mean(section.removeprefix('tricks.'), tricks)}\n"
            f"  Write tricks.NAME.FIELD=VALUE, and list the trick: --trick NAME"
        )
    close = difflib.get_close_matches(section, SECTIONS, n=1)
    hint = f"; did you mean {close[0]}.{field or '...'}?" if close else ""
    raise SpecError(
        f"{at(place)}{dotted}: there is no section {section or dotted!r}{hint}\n"
        f"  Sections: {', '.join(SECTIONS)}; and trainer, in `rnnbench run`"
    )


UNITS = ("steps", "epochs", "tokens", "seconds")


def _replace_budget(budget: dict[str, Any], field: str, layer: dict[str, Any]) -> None:
    if field not in UNITS:
        return
    for unit in UNITS:
        if unit != field and f"budget.{unit}" not in layer:
            budget.pop(unit, None)


def _check_budget(budget: Budget) -> None:
    given = {u: getattr(budget, u) for u in UNITS if getattr(budget, u) is not None}
    if len(given) != 1:
        said = " and ".join(f"budget.{k}={v}" for k, v in given.items()) or "none"
        raise SpecError(
            f"a run has one budget, of {', '.join(UNITS)}; given: {said}\n"
            "  Set one, such as budget.steps=1000, and the others to null."
        )


def _check_width(found: Schema, given: Mapping[str, Any], places: Mapping[str, str]) -> None:
    """With a budget of parameters the width follows, so it is not given too."""
    place = at(places.get("budget.parameters") or places.get("budget"))
    width = found.width
    if width is None:
        raise SpecError(
            f"{place}budget.parameters: {found.name} has no field that sets its size\n"
            "  Leave budget.parameters away, or declare the field: setting(..., width=True)."
        )
    if width in given:
        raise SpecError(
            f"{place}budget.parameters and architecture.{width}={given[width]} contradict each "
            f"other: {width} follows from the number of parameters\n  Drop one of them."
        )


def _plugin_spec(
    found: Schema, values: dict[str, Any], section: str, places: Mapping[str, str]
) -> PluginSpec:
    cls = dataclasses.make_dataclass(
        found.name.replace("-", "_"), [f.as_field() for f in found.fields.values()], kw_only=True
    )
    filled = fill(cls, values, section, places, f"{found.kind[:-1]} {found.name}")
    settings = {f.name: getattr(filled, f.name) for f in dataclasses.fields(filled)}
    for name, field in found.fields.items():
        if field.plugin and settings[name] is not None:
            place = places.get(f"{section}.{name}") or places.get(section.partition(".")[0])
            try:
                settings[name] = canonical_name(field.plugin, settings[name])
            except (SpecError, PluginError) as error:
                raise SpecError(f"{at(place)}{section}.{name}={values[name]}: {error}") from error
    return PluginSpec(found.name, found.version, tuple(settings.items()))


def named(kind: str, text: str) -> tuple[PluginSpec, dict[str, Any]]:
    """The plugin that a setting names, and what of its settings the text gives.

    Args:
        text: "gru" or "lstm:peepholes=true"; canonical texts of versions above 1 say "lstm@2".

    Raises:
        SpecError, PluginError: it cannot be; or it was written for another version.
    """
    name, given = read_plugin(text)
    name, _, version = name.partition("@")
    found = schema(kind, name)
    if version and version != str(found.version):
        raise PluginError(
            f"{kind[:-1]} {name!r} is at version {found.version}; {text!r} was written for "
            f"version {version}, whose results mean something else."
        )
    return _plugin_spec(found, given, name, {}), given


def canonical_name(kind: str, text: str) -> str:
    """One text for what a setting names: only what differs from the defaults, sorted."""
    spec, _ = named(kind, text)
    fields = schema(kind, spec.name).fields
    given = ",".join(f"{k}={_text(v)}" for k, v in spec.settings if v != fields[k].default)
    version = f"@{spec.version}" if spec.version > 1 else ""
    return f"{spec.name}{version}" + (f":{given}" if given else "")


def _text(value: Any) -> str:
    """A value as `read_value` reads it."""
    if isinstance(value, tuple):
        return f"[{','.join(map(_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def fill(
    cls: Any,
    values: Mapping[str, Any],
    section: str,
    places: Mapping[str, str],
    owner: str | None = None,
) -> Any:
    """A dataclass of checked values: OmegaConf converts types, field metadata bounds them."""
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
            wanted = FieldSchema(name, _hint(cls, name), None).type_name
            raise SpecError(
                f"{place}{section}.{name}={value!r}: {owner} takes {wanted}"
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
