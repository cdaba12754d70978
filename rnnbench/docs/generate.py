"""The generated parts of the documentation, from the code that they describe.

A page below `rnnbench/docs` has such a part between `<!-- generated: NAME -->` and `<!-- end -->`;
the rest of it is written by hand. `python -m rnnbench.docs.generate` renews them all, and
`tests/docs/test_docs.py` fails where one differs from the code.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rnnbench.docs import authors, rooms
from rnnbench.registry.registry import discover, schema
from rnnbench.registry.schema import KINDS, FieldSchema
from rnnbench.results.record import FAILED, FINAL, Status
from rnnbench.spec.run_spec import Budget, Optimizer, Trainer

DOCS = Path(__file__).parent
COMMAND = "python -m rnnbench.docs.generate"
BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.S)
STATUS = {
    Status.DONE: "trained to the end of its budget, and every metric was computed",
    Status.PRUNED: "stopped by the search, since it did not look worth its budget",
    Status.NAN: "a loss, a gradient or a figure is not finite",
    Status.DIVERGED: "the training loss passed 10,000 times its first value",
    Status.OOM: "out of memory",
    Status.CRASHED: "an error in the code, or the process died",
    Status.TIMEOUT: "took longer than it was allowed",
    Status.INTERRUPTED: "by the user, by pre-emption, or by a fault of the infrastructure",
}


def fill(page: str) -> str:
    """The page with its generated parts made anew.

    Raises:
        KeyError: it asks for a part that is not known.
    """
    return BLOCK.sub(lambda m: f"{m[1]}\n{BLOCKS[m[2]]().strip()}\n\n{m[3]}", page)


def plugins() -> str:
    """Every plugin that comes with rnnbench, and what a run sets besides."""
    parts = []
    for kind in KINDS:
        parts.append(f"## {kind.capitalize()}")
        for item in discover()[0][kind].values():
            if item.distribution != "rnnbench":
                continue
            found = schema(kind, item.name)
            parts += [f"### {item.name}", found.help]
            if found.task_kind:
                parts.append(f"Kind: {found.task_kind}.")
            if found.sites:
                parts.append(f"Acts on: {', '.join(found.sites)}.")
            parts.append(_fields(found.fields.values()))
            if found.recommended:
                told = ", ".join(f"`{k}={v}`" for k, v in found.recommended.items())
                parts.append(f"Recommends: {told}.")
            parts.append(f"Source: {found.source}")
    parts.append("## Settings of every run")
    for cls in (Optimizer, Budget, Trainer):
        doc = inspect.getdoc(cls) or ""
        parts += [f"### {cls.__name__.lower()}", doc, _fields(_schemas(cls))]
    return "\n\n".join(parts)


def commands() -> str:
    """`--help` of every command, as it is printed."""
    return "\n\n".join(
        f"## {' '.join(['rnnbench', *words])}\n\n```text\n{text}\n```" for words, text in _helps([])
    )


def _helps(words: list[str]) -> Iterator[tuple[list[str], str]]:
    done = subprocess.run(
        [sys.executable, "-m", "rnnbench", *words, "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    yield words, "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
    _, _, listed = done.stdout.partition("\nCommands:\n")
    for line in listed.split("\n\n")[0].splitlines():
        if name := re.match(r"  (\S+)", line):
            yield from _helps([*words, name[1]])


def laws() -> str:
    """The laws of each kind of plugin, with where to look when one is broken."""
    from rnnbench import testing

    parts = []
    for name in testing.__all__:
        cls = getattr(testing, name)
        if isinstance(getattr(cls, "laws", None), testing.Laws):
            rows = [(f"`{w.name}`", w.statement, w.mend) for w in cls.laws.all]
            parts += [f"## {name}", _table(("law", "what holds", "to mend"), rows)]
    return "\n\n".join(parts)


def sites() -> str:
    """List where a trick can act, and which of rnnbench's own do."""
    from rnnbench.contract import SITES, Trick

    users: dict[str, list[str]] = {site: [] for site in SITES}
    for item in discover()[0]["tricks"].values():
        for site in schema("tricks", item.name).sites if item.distribution == "rnnbench" else ():
            users[site].append(f"`{item.name}`")
    rows = []
    for site in SITES:
        method = getattr(Trick, site)
        takes = ", ".join(list(inspect.signature(method).parameters)[1:])
        rows.append((f"`{site}({takes})`", _first_line(method), ", ".join(users[site]) or "–"))
    return _table(("site", "what it does", "used by"), rows)


def contract() -> str:
    """List what `rnnbench.contract` exports, by the first line of its docstring."""
    from rnnbench import contract

    known = {name: getattr(contract, name) for name in contract.__all__}
    ours = {n: t for n, t in known.items() if getattr(t, "__module__", "").startswith("rnnbench")}
    return _table(
        ("name", "what it is"), [(f"`{name}`", _first_line(ours[name])) for name in sorted(ours)]
    )


def sweep_file() -> str:
    """A whole sweep file and what holds for it: the docstring of its reader."""
    text = (DOCS.parent / "sweep" / "file" / "sweep.py").read_text("utf-8")
    doc = inspect.cleandoc(ast.get_docstring(ast.parse(text)) or "")
    example = re.search(r"(?m)(^    .*\n|^\n(?=    ))+", doc)
    if example is None:
        raise ValueError("the docstring of rnnbench.sweep.file.sweep has no indented example")
    yaml = textwrap.dedent(example[0]).strip("\n")
    return f"```yaml\n{yaml}\n```\n\n{doc[example.end() :].strip()}"


def sweep_options() -> str:
    """Samplers, pruners and rules for stopping, with their options."""
    from rnnbench.sweep.file.search_options import ABOUT, PRUNERS, REQUIRED, SAMPLERS, STOPS

    parts = []
    for title, known in (("sampler", SAMPLERS), ("pruner", PRUNERS), ("stop", STOPS)):
        rows = []
        for name, options in known.items():
            if title != "stop" or name != "none":
                rows.append((f"`{name}`", "", "", ABOUT[name]))
            for option, o in options.items():
                default = "required" if o.default is REQUIRED else _cell(o.default, "none")
                default = f"{o.default:.3g}" if isinstance(o.default, float) else default
                told = f"{o.help}: {', '.join(o.words)}" if o.words else o.help
                rows.append((f"`{name}`", f"`{option}`", default, told))
        parts.append(_table((title, "option", "default", "what it is"), rows))
    return "\n\n".join(parts)


def sweep_objectives() -> str:
    """List what a search can aim for beside validation, and constrain."""
    from rnnbench.sweep.file.search_options import OBJECTIVES

    short = {cost: name for name, cost in OBJECTIVES.items() if name != cost}
    rows = [
        (f"`{cost}`", f"`{short[cost]}`" if cost in short else "")
        for cost in dict.fromkeys(OBJECTIVES.values())
        if cost != "validation"
    ]
    return _table(("cost", "also called"), rows)


def statuses() -> str:
    """How a run can end, and what follows from it."""
    rows = [
        (
            f"`{status}`",
            STATUS[status],
            "yes" if status in FAILED else "no",
            "no" if status in FINAL else "yes",
        )
        for status in Status
    ]
    return _table(("status", "what happened", "counts as a failure", "run again if asked"), rows)


def house() -> str:
    """The rooms floor by floor, drawn, and which rooms each of them imports."""
    modules = rooms.module_graph()
    graph = rooms.room_graph(modules)
    levels = rooms.floors(graph)
    arrows = sum(map(len, graph.values()))
    counts = Counter(map(rooms.room, modules))
    between = sum(rooms.room(m) != rooms.room(o) for m in modules for o in modules[m])
    circles = len(rooms.circles(modules))
    numbers = (
        f"**{len(graph)} rooms on {len(levels)} floors, with {arrows} arrows between them and "
        f"{circles or 'no'} circle{'' if circles == 1 else 's'} among their {len(modules)} "
        f"modules.** An arrow leads from a room to another that it imports; {between} imports of "
        "single modules are behind them."
    )
    rows = [
        (f"`{name}`", str(counts[name]), ", ".join(f"`{other}`" for other in sorted(graph[name])))
        for names in reversed(levels)
        for name in names
    ]
    return "\n\n".join(
        [
            numbers,
            f"```text\n{rooms.picture(levels)}\n```",
            _table(("room", "modules", "imports"), rows),
        ]
    )


def against_architectures() -> str:
    """Every architecture against its authors' code."""
    return _against("architecture", authors.ARCHITECTURES)


def against_estimators() -> str:
    """Every estimator against its paper."""
    return _against("estimator", authors.ESTIMATORS)


def _against(kind: str, compared: dict[str, authors.AgainstAuthors]) -> str:
    header = (kind, "compared with", "equal", "other, and why", "held by")
    return _table(header, authors.rows(compared))


def _schemas(cls: Any) -> list[FieldSchema]:
    """The fields of core's own dataclasses, as those of a plugin."""
    import typing

    hints = typing.get_type_hints(cls)
    return [
        FieldSchema(f.name, hints[f.name], f.default, **f.metadata) for f in dataclasses.fields(cls)
    ]


def _fields(known: Iterable[FieldSchema]) -> str:
    rows = []
    for f in known:
        bounds = "" if f.low is None and f.high is None else f"{_cell(f.low)}..{_cell(f.high)}"
        search = ", ".join(map(str, f.search)) if f.search else ""
        default = "required" if f.required else _cell(f.default, "null")
        rows.append((f"`{f.name}`", f.type_name, default, f.unit or "", bounds, search, f.help))
    if not rows:
        return "It has no settings."
    return _table(("field", "type", "default", "unit", "range", "search", "help"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *([c.replace("|", "\\|") for c in r] for r in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any, none: str = "") -> str:
    return none if value is None else str(value)


def _first_line(thing: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


BLOCKS: dict[str, Callable[[], str]] = {
    "plugins": plugins,
    "commands": commands,
    "laws": laws,
    "sites": sites,
    "contract": contract,
    "sweep-file": sweep_file,
    "sweep-options": sweep_options,
    "sweep-objectives": sweep_objectives,
    "statuses": statuses,
    "rooms": house,
    "against-architectures": against_architectures,
    "against-estimators": against_estimators,
}


def main() -> None:
    """Renew the generated parts of every page."""
    for page in sorted(DOCS.rglob("*.md")):
        before = page.read_text("utf-8")
        after = fill(before)
        if after != before:
            page.write_text(after, "utf-8")
            print(f"renewed: {page}")


if __name__ == "__main__":
    main()
