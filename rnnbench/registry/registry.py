"""Plugins, found through entry points and described from their source, without importing them.

Importing a plugin imports torch, which takes seconds. So names, fields, types, defaults, ranges,
sites and help are read from the syntax tree; a plugin whose source is not plain enough for that
is imported instead. A broken one is reported and harms nothing else.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib.metadata
import os
import typing
from typing import Any

from rnnbench.errors import PluginError
from rnnbench.registry.given_classes import UNVERSIONED, given_class
from rnnbench.registry.guarded_import import import_plugin
from rnnbench.registry.schema import FACTS, KINDS, BrokenPlugin, Entry, FieldSchema, Schema


@functools.cache
def discover() -> tuple[dict[str, dict[str, Entry]], tuple[BrokenPlugin, ...]]:
    """Find all plugins by kind and name, and what is broken. Reads metadata only.

    A malformed distribution anywhere makes `importlib.metadata.entry_points` raise for all, so
    each one is read, and guarded, by itself. `RNNBENCH_DISABLE_PLUGINS` names plugins or
    distributions to leave out; `RNNBENCH_ALLOW_PLUGINS`, where set, the only distributions
    besides rnnbench to take in.
    """
    disabled, allowed = _names_in("RNNBENCH_DISABLE_PLUGINS"), _names_in("RNNBENCH_ALLOW_PLUGINS")
    plugins: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
    broken: list[BrokenPlugin] = []
    names: set[str] = set()
    for dist in importlib.metadata.distributions():
        name = "?"
        try:
            text = dist.read_text("entry_points.txt")
            if not text or "rnnbench." not in text:
                continue
            name, version = dist.metadata["Name"], dist.version
            if name.lower() in names:  # the first one on the path is the one that imports
                continue
            names.add(name.lower())
            points = [p for p in dist.entry_points if p.group.startswith("rnnbench.")]
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            broken.append(BrokenPlugin("", "", name, f"its metadata cannot be read: {error}"))
            continue
        if name.lower() in disabled or (allowed and name.lower() not in {*allowed, "rnnbench"}):
            continue
        for point in points:
            kind = point.group.removeprefix("rnnbench.")
            if point.name.lower() in disabled:
                continue
            if kind not in KINDS:
                reason = f"unknown group {point.group}; known: {', '.join(KINDS)}"
                broken.append(BrokenPlugin(kind, point.name, name, reason))
                continue
            entry = Entry(kind, point.name, point.value, name, version)
            rival = plugins[kind].get(entry.name)
            if rival is None:
                plugins[kind][entry.name] = entry
                continue
            # rnnbench's own plugin wins a clash, else the first in alphabetical order.
            first, second = sorted(
                (rival, entry), key=lambda e: (e.distribution != "rnnbench", e.distribution)
            )
            plugins[kind][entry.name] = first
            reason = f"the name is taken by {first.distribution}; rename its entry point"
            broken.append(BrokenPlugin(kind, entry.name, second.distribution, reason))
    return {k: dict(sorted(v.items())) for k, v in plugins.items()}, tuple(broken)


def _names_in(variable: str) -> set[str]:
    return {n.strip().lower() for n in os.environ.get(variable, "").split(",") if n.strip()}


def entry(kind: str, name: str) -> Entry:
    """Return the entry of a plugin.

    Raises:
        PluginError: there is none; names the closest.
    """
    plugins, broken = discover()
    if name in plugins[kind]:
        return plugins[kind][name]
    singular = kind[:-1]
    for other in KINDS:
        if other != kind and name in plugins[other]:
            of, wanted = (f"an {k}" if k[0] == "a" else f"a {k}" for k in (other[:-1], singular))
            raise PluginError(f"{name!r} is {of}, not {wanted}")
    for item in broken:
        if item.name == name:
            raise PluginError(
                f"{singular} {name!r} of {item.distribution} is broken: {item.reason}"
            )
    raise PluginError(
        f"there is no {singular} {name!r}{did_you_mean(name, plugins[kind])}\n"
        f"  See: rnnbench list {kind}"
    )


def did_you_mean(name: str, known: Any) -> str:
    """Return "; did you mean 'x' or 'y'?", or "" where nothing is close."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


def load(kind: str, name: str) -> Any:
    """Import a plugin's class.

    Raises:
        PluginError: it does not exist, fails on import, or is not what its entry point says.
    """
    from rnnbench.contract import Architecture, Task, Trick

    given = given_class(kind, name)
    if given is not None:
        return given
    item = entry(kind, name)
    module, _, attribute = item.target.partition(":")
    where = f"{kind[:-1]} {name!r} of {item.distribution} {item.version} ({item.target})"
    try:
        cls = getattr(import_plugin(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # plugins may even exit
        raise PluginError(
            f"{where} fails on import: {type(error).__name__}: {error}\n"
            f"  Mend or uninstall {item.distribution}, or set RNNBENCH_DISABLE_PLUGINS={name}"
        ) from error
    base = {"architectures": Architecture, "tasks": Task, "tricks": Trick}[kind]
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PluginError(f"{where} is not a subclass of rnnbench.contract.{base.__name__}")
    params = getattr(cls, "__dataclass_params__", None)
    if params is None or not params.frozen:
        raise PluginError(f"{where} is not a frozen dataclass: decorate it @dataclass(frozen=True)")
    if cls.name != name:
        raise PluginError(
            f"{where}: the class calls itself {cls.name!r}\n"
            f"  Rename the entry point, or set `name: ClassVar[str] = {name!r}` in the class"
        )
    return cls


@functools.cache
def schema(kind: str, name: str) -> Schema:
    """Return fields and facts of a plugin, from its source where that is plain, else by import."""
    from rnnbench.registry.remembered_schemas import read_source

    given = given_class(kind, name)
    if given is not None:
        return dataclasses.replace(read_class(kind, name, given), version=UNVERSIONED)
    item = entry(kind, name)
    from_source = read_source(item)
    return read_class(kind, name, load(kind, name)) if from_source is None else from_source


def read_class(kind: str, name: str, cls: Any) -> Schema:
    """Return the schema of an imported plugin."""
    hints = typing.get_type_hints(cls)
    fields = {
        f.name: FieldSchema(
            f.name,
            hints[f.name],
            f.default,
            **{k: f.metadata.get(k, default) for k, default in FACTS.items()},
        )
        for f in dataclasses.fields(cls)
    }
    return Schema(
        kind=kind,
        name=name,
        doc=cls.__doc__ or "",
        fields=fields,
        version=cls.version,
        sites=cls.overrides() if kind == "tricks" else (),
        task_kind=cls.kind.value if kind == "tasks" else "",
        recommended=dict(cls.recommended) if kind == "tasks" else {},
    )
