"""The rooms of the package, their floors and their imports, read from the source.

A room is a package or a file at the root of `rnnbench`. An arrow leads from a room to another one
that it imports, wherever the import stands: at the top of a file, within a function, or for type
checkers. `tests/docs/test_rooms.py` sets the rules for what is read here, and
`docs/architecture.md` prints it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Hashable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import rnnbench

CORE = Path(rnnbench.__file__).parent
Node = TypeVar("Node", bound=Hashable)

# What each room is for, in the words of `docs/architecture.md`.
PURPOSE = {
    "__main__": "`python -m rnnbench`",
    "cli": "commands: their options; what they do is in cli/actions",
    "session": "`rb.run` and all else that Python has; commands call it",
    "docs": "these pages, and what generates parts of them",
    "benchmarks": "measurements: `python -m rnnbench.benchmarks NAME`",
    "report": "boards as text, as a page, as a site, as files",
    "testing": "the laws that a plugin has to obey, public",
    "sweep": "file, search (Optuna), ledger, engines, cluster; the driver",
    "trained": "use of finished runs: load, diagnose, verify",
    "training": "one run: wiring, dry run, step, checkpoints, devices",
    "leaderboard": "from records to rows, boards, comparisons",
    "results": "what runs leave: record, store, database, bundles",
    "stats": "intervals, tests, verdicts: numbers in, numbers out",
    "data": "raw files, text, series, batches, bases of tasks",
    "metrics": "what tasks measure",
    "nn": "building blocks: cells, scans, estimators, models",
    "spec": "what a run is, and its identity",
    "registry": "finding and describing plugins",
    "contract": "what plugins import",
    "files": "whole files, and YAML with line numbers",
    "moved": "old import names",
    "errors": "what a user can mend",
}


def name_of(file: Path) -> str:
    """Return the dotted name of a module of the package."""
    parts = file.relative_to(CORE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files(root: Path) -> list[Path]:
    """Return the Python files below a folder, in order."""
    return sorted(root.rglob("*.py"))


def room(module: str) -> str:
    """Return the room of a module; "" for the package itself."""
    return f"{module}.".split(".")[1]


def imports(path: Path, modules: Collection[str]) -> Iterator[str]:
    """Yield each module that a file imports.

    Args:
        modules: where `from a import b` names one of these, it is a.b that is imported, else a.

    Raises:
        ValueError: an import is relative.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{path}:{node.lineno}: imports are absolute")
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def module_files() -> dict[str, Path]:
    """Return the file of each module of the package, by dotted name."""
    return {name_of(file): file for file in files(CORE)}


def module_graph() -> dict[str, set[str]]:
    """Return the modules of the package that each of its modules imports."""
    known = module_files()
    return {
        name: {m for m in imports(file, known) if m in known} - {name}
        for name, file in known.items()
    }


def room_graph(modules: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """Return the rooms that each room imports; the package's own `__init__` is none."""
    graph: dict[str, set[str]] = {room(module): set() for module in modules if room(module)}
    for module, others in modules.items():
        if room(module):
            graph[room(module)] |= {room(m) for m in others} - {room(module), ""}
    return graph


def circles(graph: Mapping[Node, Collection[Node]]) -> list[list[Node]]:
    """Return the groups of more than one node that lead to each other (Tarjan 1972)."""
    index: dict[Node, int] = {}
    low: dict[Node, int] = {}
    stack: list[Node] = []
    groups: list[list[Node]] = []

    def visit(node: Node) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            place = stack.index(node)
            if len(stack) - place > 1:
                groups.append(sorted(stack[place:], key=str))
            del stack[place:]

    for node in graph:
        if node not in index:
            visit(node)
    return groups


def floors(graph: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Return the rooms floor by floor, the lowest first: each as low as its imports allow.

    Raises:
        ValueError: rooms import each other in a circle, so that no floor is theirs.
    """
    if circles(graph):
        raise ValueError(f"rooms import each other in a circle: {circles(graph)}")
    height: dict[str, int] = {}

    def floor(name: str) -> int:
        if name not in height:
            height[name] = 1 + max((floor(other) for other in graph[name]), default=-1)
        return height[name]

    levels: list[list[str]] = [[] for _ in range(1 + max(map(floor, graph)))]
    for name in sorted(graph):
        levels[height[name]].append(name)
    return levels


def picture(levels: list[list[str]]) -> str:
    """Return the house as drawn text: a band for each floor, the highest first."""
    width = 2 + max(len(name) for names in levels for name in names)
    text = max(len(PURPOSE[name]) for names in levels for name in names)
    rule = f"+----+{'-' * (width + text + 2)}+"
    lines = [rule]
    for height in reversed(range(len(levels))):
        for i, name in enumerate(levels[height]):
            number = str(height) if i == 0 else ""
            lines.append(f"| {number:>2} | {name:{width}}{PURPOSE[name]:{text}} |")
        lines.append(rule)
    return "\n".join(lines)
