"""Reads a plugin's schema from its source text, without importing it."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.machinery
import importlib.util
import sys
import textwrap
from pathlib import Path
from typing import Any, Literal, Optional, Union

from rnnbench.contract.names import SITES, Kind
from rnnbench.moved import present_place
from rnnbench.registry.schema import Entry, FieldSchema, Schema

KIND_NAMES = {kind.name: kind.value for kind in Kind}
BASES = {"Architecture", "Task", "Trick", "Plugin", "object"}
TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "tuple": tuple,
    "None": None,
}
TYPES |= {"Literal": Literal, "Optional": Optional, "Union": Union}


class NotPlain(Exception):
    """Something that only running the code would tell."""


def read_source(item: Entry, files: list[tuple[str, Path]] | None = None) -> Schema | None:
    """Return the schema of a plugin; None where its source is not plain enough, or not there.

    Args:
        files: takes up the modules that were read, and where they lie.
    """
    module, _, class_name = item.target.partition(":")
    try:
        lineage = _lineage(module, class_name, files if files is not None else [])
        return _schema(item, lineage)
    except (NotPlain, SyntaxError, OSError, UnicodeDecodeError):
        return None


def module_file(module: str) -> Path:
    """Return where a module's source lies; nothing is imported, not even its package."""
    top, *rest = module.split(".")
    spec = _package(top, tuple(sys.path))
    if not rest:
        return Path(str(spec.origin))
    for root in spec.submodule_search_locations or ():
        path = Path(root, *rest)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    raise NotPlain


@functools.lru_cache(maxsize=256)
def _package(top: str, path: tuple[str, ...]) -> importlib.machinery.ModuleSpec:
    """Return where a package lies, on this path."""
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        raise NotPlain
    return spec


def file_of(item: Entry) -> Path | None:
    """Return where a plugin's source lies, None where it is not a plain file."""
    try:
        return module_file(item.target.partition(":")[0])
    except NotPlain:
        return None


def _lineage(
    module: str, class_name: str, files: list[tuple[str, Path]], depth: int = 0
) -> list[ast.ClassDef]:
    """Return the class and its bases up to the contract's, most derived first."""
    if depth > 8:
        raise NotPlain
    module, class_name = present_place(module, class_name)
    path = module_file(module)
    files.append((module, path))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }
    if class_name not in classes:
        if class_name in imported:
            return _lineage(*imported[class_name], files, depth + 1)
        raise NotPlain
    lineage = [classes[class_name]]
    bases = classes[class_name].bases
    if len(bases) != 1 or not isinstance(bases[0], ast.Name) or classes[class_name].keywords:
        raise NotPlain
    base = bases[0].id
    if base in BASES and imported.get(base, ("",))[0] == "rnnbench.contract":
        return lineage
    if base in classes:
        return lineage + _lineage(module, base, files, depth + 1)
    if base in imported:
        return lineage + _lineage(*imported[base], files, depth + 1)
    raise NotPlain


def _schema(item: Entry, lineage: list[ast.ClassDef]) -> Schema:
    fields: dict[str, FieldSchema] = {}
    facts: dict[str, Any] = {}
    methods: set[str] = set()
    for cls in reversed(lineage):  # base first, as dataclasses order their fields
        for node in cls.body:
            if isinstance(node, ast.FunctionDef):
                methods.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                annotation = ast.unparse(node.annotation)
                if annotation.startswith("ClassVar"):
                    _fact(facts, node.target.id, node.value)
                else:
                    fields[node.target.id] = _field(node.target.id, annotation, node.value)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    for name in target.elts if isinstance(target, ast.Tuple) else [target]:
                        if isinstance(name, ast.Name):
                            _fact(facts, name.id, node.value if name is target else None)
    if facts.get("name", item.name) != item.name:
        raise NotPlain
    return Schema(
        kind=item.kind,
        name=item.name,
        doc=ast.get_docstring(lineage[0], clean=False) or "",
        fields=fields,
        version=facts.get("version", 1),
        sites=tuple(s for s in SITES if s in methods) if item.kind == "tricks" else (),
        task_kind=facts.get("kind", "") if item.kind == "tasks" else "",
        recommended=facts.get("recommended", {}) if item.kind == "tasks" else {},
    )


def _fact(facts: dict[str, Any], name: str, value: ast.expr | None) -> None:
    """Remember a class attribute that the schema needs."""
    if name == "kind" and isinstance(value, ast.Attribute) and value.attr in KIND_NAMES:
        facts["kind"] = KIND_NAMES[value.attr]
    elif name in ("name", "version", "recommended", "kind"):
        facts[name] = _literal(value)


def _field(name: str, annotation: str, value: ast.expr | None) -> FieldSchema:
    try:
        kind = eval(annotation, {"__builtins__": {}}, TYPES)
    except Exception as error:
        raise NotPlain from error
    if value is None:
        return FieldSchema(name, kind, dataclasses.MISSING)
    if not isinstance(value, ast.Call):
        return FieldSchema(name, kind, _literal(value))
    if not isinstance(value.func, ast.Name) or value.func.id != "setting":
        raise NotPlain
    names = ("default", "help")
    arguments = dict(zip(names, (_literal(a) for a in value.args), strict=False))
    for keyword in value.keywords:
        if keyword.arg is None:
            raise NotPlain
        arguments[keyword.arg] = _literal(keyword.value)
    return FieldSchema(name, kind, arguments.pop("default", dataclasses.MISSING), **arguments)


def _literal(value: ast.expr | None) -> Any:
    if value is None:
        raise NotPlain
    try:
        return ast.literal_eval(value)
    except ValueError as error:
        raise NotPlain from error


def dedented(doc: str) -> str:
    """Return a docstring without its source indentation."""
    first, _, rest = doc.partition("\n")
    return f"{first.strip()}\n{textwrap.dedent(rest)}".strip()
