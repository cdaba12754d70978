"""Remembers schemas that were read from source, until a file that they were read from changes.

Parsing the source of all plugins takes most of the time of commands that only list them.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import sys
from pathlib import Path
from typing import Any

from rnnbench import moved
from rnnbench.contract import names
from rnnbench.errors import UserError
from rnnbench.files.atomic import replace_file
from rnnbench.registry import schema as schema_module
from rnnbench.registry import schema_from_source as reader
from rnnbench.registry.schema import FACTS, Entry, FieldSchema, Schema

_USUAL = FieldSchema("", int, 0)
_new: dict[str, Any] = {}  # what this process has read and the file does not have


def read_source(item: Entry) -> Schema | None:
    """Do what `schema_from_source.read_source` does, from what is remembered where that holds."""
    key = f"{item.kind} {item.name} {item.target}"
    known = _remembered().get(key)
    if known is not None and _holds(known["files"]):
        return _decoded(known["schema"])
    files: list[tuple[str, Path]] = []
    found = reader.read_source(item, files)
    if found is not None:
        _remember(key, files, found)
    return found


@functools.cache
def _file() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("rnnbench", appauthor=False)) / "schemas.json"


@functools.cache
def _reader() -> list[Any]:
    """Return what the meaning of a remembered schema depends on besides its files."""
    modules = (reader, schema_module, names, moved, sys.modules[__name__])
    return [sys.version, *(_state(Path(str(module.__file__))) for module in modules)]


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_mtime_ns, found.st_size]


@functools.cache
def _remembered() -> dict[str, Any]:
    """Return what the file has, which is nothing where another reader wrote it."""
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
        return dict(content["schemas"]) if content["reader"] == _reader() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _holds(files: list[list[Any]]) -> bool:
    """Tell whether each module still lies where it lay, and is what it was."""
    try:
        return all(
            str(reader.module_file(module)) == path and _state(Path(path)) == state
            for module, path, state in files
        )
    except (OSError, reader.NotPlain):
        return False


def _remember(key: str, files: list[tuple[str, Path]], found: Schema) -> None:
    try:
        coded = json.loads(json.dumps(_encoded(found)))
        if _decoded(coded) != found:
            return
        places = [[module, str(path), _state(path)] for module, path in files]
    except Exception:  # a type or a default that text does not hold: it is read again
        return
    if not _new:
        atexit.register(_write)
    _new[key] = {"files": places, "schema": coded}


def _write() -> None:
    """Add what is new to the file; where that cannot be done, the next process reads again."""
    _remembered.cache_clear()
    kept = {
        key: known
        for key, known in _remembered().items()
        if all(Path(path).exists() for _, path, _ in known["files"])
    }
    content = {"reader": _reader(), "schemas": kept | _new}
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        replace_file(_file(), json.dumps(content))
    except (OSError, UserError):
        pass  # a home that is read-only or full


def _encoded(found: Schema) -> dict[str, Any]:
    fields = [_encoded_field(field) for field in found.fields.values()]
    facts = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    return {**{k: _to_json(v) for k, v in facts.items() if k != "fields"}, "fields": fields}


def _decoded(coded: dict[str, Any]) -> Schema:
    facts = {k: _from_json(v) for k, v in coded.items() if k != "fields"}
    fields = [_decoded_field(field) for field in coded["fields"]]
    return Schema(**facts, fields={field.name: field for field in fields})


def _encoded_field(field: FieldSchema) -> dict[str, Any]:
    """Return what a field has besides the usual."""
    coded = {
        k: _to_json(getattr(field, k)) for k in FACTS if getattr(field, k) != getattr(_USUAL, k)
    }
    if not field.required:
        coded["default"] = _to_json(field.default)
    return {"name": field.name, "type": field.type_name, **coded}


def _decoded_field(coded: dict[str, Any]) -> FieldSchema:
    facts = {k: _from_json(v) for k, v in coded.items() if k not in ("name", "type", "default")}
    default = _from_json(coded["default"]) if "default" in coded else dataclasses.MISSING
    return FieldSchema(coded["name"], _type_of(coded["type"]), default, **facts)


@functools.cache
def _type_of(text: str) -> Any:
    return eval(text, {"__builtins__": {}}, reader.TYPES)


def _to_json(value: Any) -> Any:
    """Return a value of which JSON keeps the kind."""
    if isinstance(value, tuple):
        return {"tuple": [_to_json(v) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[k, _to_json(v)] for k, v in value.items()]}
    return [_to_json(v) for v in value] if isinstance(value, list) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_from_json(v) for v in value["tuple"])
    return {k: _from_json(v) for k, v in value["dict"]}
