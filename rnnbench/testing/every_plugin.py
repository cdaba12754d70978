"""The laws of plugins of every kind, about what a reader, a spec and another process see."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

from rnnbench.contract import Architecture, Plugin, Task
from rnnbench.errors import SpecError
from rnnbench.registry.guarded_import import changed_at_import
from rnnbench.registry.registry import read_class
from rnnbench.registry.schema import Entry
from rnnbench.registry.schema_from_source import read_source
from rnnbench.spec.fill import fill
from rnnbench.spec.run_spec import PluginSpec, canonical_json
from rnnbench.testing.law import Broken, Laws

LAWS = Laws()


def kind_of(plugin: Plugin) -> str:
    """Return "architectures", "tasks" or "tricks"."""
    if isinstance(plugin, Architecture):
        return "architectures"
    return "tasks" if isinstance(plugin, Task) else "tricks"


def fresh(plugin: Any) -> Any:
    """Return an equal plugin that has cached nothing."""
    return dataclasses.replace(plugin)


@LAWS.law(
    "It is documented: a first sentence, its source, help for every setting, reasons declared.",
    "Write a docstring with `Source:`, make every field a setting(default, help, ...), and give "
    "`declares` a reason for each law named.",
)
def documented(plugin: Plugin) -> None:
    cls = type(plugin)
    doc = (cls.__doc__ or "").strip()
    first = doc.split("\n\n")[0].strip()
    if not doc or doc.startswith(f"{cls.__name__}("):  # what dataclass writes where there is none
        raise Broken(f"{cls.__name__} has no docstring")
    if not first.split("\n")[0].rstrip().endswith("."):
        raise Broken(f"the docstring's first line is no sentence: {first.splitlines()[0]!r}")
    described = read_class(kind_of(plugin), plugin.name, cls)
    if not described.source:
        raise Broken("the docstring says nothing after `Source:`")
    for name, field in described.fields.items():
        if not field.help:
            raise Broken(f"the field {name} has no help: write it as setting({field.default!r}, …)")
    for law, why in cls.declares.items():
        if not isinstance(why, str) or not why.strip():
            raise Broken(f"declares[{law!r}] gives no reason")


@LAWS.law(
    "Importing it leaves the process as it was: seeds, number types, threads, standard output.",
    "Move what changes the process out of the module, into the code that needs it.",
)
def import_changes_nothing(plugin: Plugin) -> None:
    changes = changed_at_import(type(plugin).__module__)
    if changes:
        raise Broken(f"importing {type(plugin).__module__} {', '.join(changes)}")


@LAWS.law(
    "It can be described without being imported, and truly.",
    "Write defaults and setting(...) as literals; what is computed is imported instead.",
)
def described_from_source(plugin: Plugin) -> None:
    cls, kind = type(plugin), kind_of(plugin)
    entry = Entry(kind, plugin.name, f"{cls.__module__}:{cls.__qualname__}", "", "")
    try:
        read = read_source(entry)
    except ValueError:  # a module without a file, such as __main__
        return
    if read is None:
        return
    true = read_class(kind, plugin.name, cls)
    for field in dataclasses.fields(true):
        written, true_value = getattr(read, field.name), getattr(true, field.name)
        if field.name == "doc":
            written, true_value = written.split(), true_value.split()
        if written != true_value:
            raise Broken(f"its source is read as {field.name} = {written}, but it is {true_value}")


@LAWS.law(
    "Its settings survive: as the text of a run's spec, and pickled, they give an equal plugin.",
    "Keep settings plain (numbers, text, tuples of them), frozen, and as they were given.",
)
def settings_survive(plugin: Plugin) -> None:
    cls = type(plugin)
    settings = {f.name: getattr(plugin, f.name) for f in dataclasses.fields(plugin)}  # type: ignore[arg-type]
    hash(plugin)
    try:
        text = canonical_json(
            PluginSpec(plugin.name, plugin.version, (*settings.items(),)).as_dict()
        )
    except (TypeError, ValueError) as error:
        raise Broken(f"a spec cannot hold {settings}: {error}") from error
    again = PluginSpec.from_dict(json.loads(text))
    schema = read_class(kind_of(plugin), plugin.name, cls)
    shape = dataclasses.make_dataclass(
        "Settings", [f.as_field() for f in schema.fields.values()], kw_only=True
    )
    try:
        filled = fill(shape, dict(again.settings), kind_of(plugin)[:-1], {})
    except SpecError as error:
        raise Broken(f"a spec's text is refused: {error}") from error
    if cls(**{f.name: getattr(filled, f.name) for f in dataclasses.fields(filled)}) != plugin:
        raise Broken(f"{plugin} comes back from {text} as another")
    if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
        return
    if pickle.loads(pickle.dumps(fresh(plugin))) != plugin:
        raise Broken("it is not equal to its pickled copy")
