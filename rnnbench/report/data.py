"""`rnnbench data list|fetch|verify`: the raw data of tasks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from rnnbench.data import fetch, status, verify
from rnnbench.probe import broken_plugins
from rnnbench.registry import entry, load, scan

if TYPE_CHECKING:
    from rnnbench.contract import Source


def sources_of(tasks: Sequence[str]) -> dict[str, tuple[Source, list[str]]]:
    """Sources by name with the tasks that read them; a task that needs a setting has none yet."""
    for name in tasks:
        entry("tasks", name)
    broken = {b.name for b in broken_plugins() if b.kind == "tasks"}
    found: dict[str, tuple[Source, list[str]]] = {}
    for name in tasks or [n for n in scan()[0]["tasks"] if n not in broken]:
        for source in load("tasks", name)().sources():
            found.setdefault(source.name, (source, []))[1].append(name)
    return found


def list_sources(as_json: bool) -> None:
    """Print every source: where it comes from, its size and licence, and whether it is here."""
    rows = [(source, tasks, status(source)) for source, tasks in sources_of(()).values()]
    if as_json:
        print(
            json.dumps(
                [
                    {
                        **dataclasses.asdict(source),
                        "tasks": tasks,
                        "state": found.state,
                        "folder": None if found.folder is None else str(found.folder),
                    }
                    for source, tasks, found in rows
                ],
                indent=2,
                default=dict,
            )
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("source", "tasks", "origin", "size", "licence", "state"):
        table.add_column(name, overflow="fold")
    for source, tasks, found in rows:
        size = f"{(source.size or found.size) / 1e6:.1f} MB"
        where = f" in {found.place}" if found.place else ""
        table.add_row(
            source.name, ", ".join(tasks), source.origin, size, source.licence, found.state + where
        )
    Console().print(table)


def fetch_sources(tasks: Sequence[str]) -> None:
    """Fetch what is missing or damaged, and say where it is."""
    for source, _ in sources_of(tasks).values():
        print(f"{source.name}: {fetch(source)}")


def verify_sources(tasks: Sequence[str]) -> int:
    """Hash everything again; 1 where something is damaged or missing."""
    bad = 0
    for source, _ in sources_of(tasks).values():
        found = verify(source)
        bad += found.state != "present"
        print(f"{source.name}: {found.state}" + "".join(f"\n  {p}" for p in found.problems))
    print("all whole" if not bad else f"{bad} missing or damaged: rnnbench data fetch")
    return 1 if bad else 0
