"""`rnnbench new`: a plugin's package, with code that trains as it is and a test that holds it."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from rnnbench import __version__
from rnnbench.errors import UserError
from rnnbench.registry.registry import discover
from rnnbench.registry.schema import KINDS

LONGEST = 32  # characters of a name: with more, lines of the generated code would be too long
PART = re.compile(r"[a-z][a-z0-9]*")
TRY = {  # a run of a second that shows the plugin at work
    "architecture": "digits {name} task.step=row architecture.hidden=32",
    "task": "{name} gru architecture.hidden=32",
    "trick": "digits gru --trick {name} task.step=row architecture.hidden=32",
}


class ScaffoldError(UserError, ValueError):
    """A name that cannot be given, or a folder that is there already."""


def create_plugin(kind: str, name: str, into: Path) -> list[Path]:
    """Write the package of a new plugin: all of it or nothing, and over nothing.

    Args:
        kind: "architecture", "task" or "trick".
        name: in kebab case; of the plugin, and of the new folder in `into`.

    Returns:
        The files written.

    Raises:
        ScaffoldError: the name is malformed or taken, or the folder exists.
    """
    check_name(name)
    folder = into / name
    if os.path.lexists(folder):
        raise ScaffoldError(
            f"{folder} exists; nothing was written\n  Choose another name, or --into another folder"
        )
    texts = render(kind, name)
    staged = into / f".{name}.{os.getpid()}.partial"
    try:
        for path, text in texts.items():
            file = staged / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        os.rename(staged, folder)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return [folder / path for path in texts]


def next_commands(kind: str, name: str, folder: Path) -> list[str]:
    """Return what to type after `create_plugin`: install, hold against the laws, run, test."""
    return [
        f"pip install -e {shlex.quote(str(folder))}",
        f"rnnbench check-plugin {name}",
        f"rnnbench run {TRY[kind].format(name=name)} budget.steps=200",
        f"pytest {shlex.quote(str(folder))}",
    ]


def check_name(name: str) -> None:
    """Raise ScaffoldError where a plugin cannot be called so, or another one is."""
    parts = name.split("-")
    if not all(PART.fullmatch(part) for part in parts) or len(name) > LONGEST:
        raise ScaffoldError(
            f"{name!r} is no name for a plugin: words of a-z and 0-9 that begin with a letter, "
            f"joined by '-', at most {LONGEST} characters{_suggest(name)}"
        )
    for word, following in itertools.pairwise(parts):
        if len(word) == 1 and not re.match("[a-z]{2}", following):
            # A class called ABCell would give itself the name "ab-cell".
            raise ScaffoldError(
                f"{name!r}: the class's name could not tell {word!r} from {following!r}; "
                f"did you mean {name.replace(f'{word}-{following}', word + following, 1)!r}?"
            )
    if parts[0] in ("rnnbench", "test"):
        why = {
            "rnnbench": "the prefix is added to the names of distribution and module",
            "test": "pytest would take its class for a test",
        }[parts[0]]
        raise ScaffoldError(f"{name!r}: {why}; leave {parts[0]!r} out")
    plugins, broken = discover()
    for kind in KINDS:
        if name in plugins[kind]:
            item = plugins[kind][name]
            raise ScaffoldError(
                f"{name!r} is taken: {kind[:-1]} {name} of {item.distribution} {item.version}\n"
                f"  See: rnnbench describe {name}"
            )
    owner = next((b.distribution for b in broken if b.name == name), None)
    if owner is not None:
        raise ScaffoldError(f"{name!r} is taken by {owner}, whose plugin is broken")
    if importlib.util.find_spec(module_name(name)) is not None:
        raise ScaffoldError(f"{name!r} is taken: there is a module {module_name(name)} already")


def module_name(name: str) -> str:
    return "rnnbench_" + name.replace("-", "_")


def class_name(name: str) -> str:
    """Return the class name that `contract.plugin.kebab` calls by this name."""
    return "".join(part.capitalize() for part in name.split("-"))


def render(kind: str, name: str) -> Mapping[str, str]:
    """Return the package's files, by their paths in its folder."""
    module = module_name(name)
    environment = Environment(
        loader=PackageLoader("rnnbench.registry", "scaffold_templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # Python and Markdown, from a name that was checked
    )
    known = {
        "kind": kind,
        "name": name,
        "module": module,
        "cls": class_name(name),
        "rnnbench": __version__,
        "commands": next_commands(kind, name, Path(name)),
    }

    def text(template: str) -> str:
        return environment.get_template(template).render(known)

    texts = {
        "pyproject.toml": text("pyproject.toml.j2"),
        "README.md": text("README.md.j2"),
        f"{module}.py": text(f"{kind}.py.j2"),
        f"tests/test_{name.replace('-', '_')}.py": text("test.py.j2"),
    }
    _check_shadowing(name, texts[f"{module}.py"])
    return texts


def _check_shadowing(name: str, text: str) -> None:
    """Refuse a name whose class would hide one that the module imports, such as `batch`."""
    tree = ast.parse(text)
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in imported:
            raise ScaffoldError(
                f"{name!r}: its class would be called {node.name}, as is one of rnnbench's own\n"
                "  Choose another name"
            )


def _suggest(name: str) -> str:
    """Return "; did you mean 'my-cell'?" where a small change would do, else ""."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
    words = re.sub(r"[^a-z0-9]+", "-", words)
    words = re.sub(r"-(?=[0-9])", "", words).strip("-")[:LONGEST].strip("-")
    close = words != name and all(PART.fullmatch(part) for part in words.split("-"))
    return f"; did you mean {words!r}?" if close else ""
