"""`rnnbench data list|describe|fetch|verify`: the raw data of tasks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from rnnbench.data import fetch, status, verify
from rnnbench.errors import PluginError
from rnnbench.registry.import_probe import broken_plugins
from rnnbench.registry.registry import discover, entry, load, schema
from rnnbench.report.terminal.plain_console import plain_console

if TYPE_CHECKING:
    from rnnbench.contract import Source


def sources_of(tasks: Sequence[str]) -> dict[str, tuple[Source, list[str]]]:
    """Return sources by name, with the tasks that read them.

    A task that needs a setting, such as the path of a file, has none yet.

    Raises:
        PluginError: there is no such task, or one that was asked for by name needs a setting.
    """
    for name in tasks:
        entry("tasks", name)
        needed = _required_settings(name)
        if needed:
            raise PluginError(
                f"{name} reads your own data, which task.{needed[0]} names: there is nothing to "
                "fetch or to verify before a run"
            )
    broken = {b.name for b in broken_plugins() if b.kind == "tasks"}
    sources: dict[str, tuple[Source, list[str]]] = {}
    every = [n for n in discover()[0]["tasks"] if n not in broken and not _required_settings(n)]
    for name in tasks or every:
        for source in load("tasks", name)().sources():
            sources.setdefault(source.name, (source, []))[1].append(name)
    return sources


def _required_settings(task: str) -> list[str]:
    """List the settings of a task that have no default."""
    return [name for name, field in schema("tasks", task).fields.items() if field.required]


def describe_sources(tasks: Sequence[str]) -> None:
    """Print all that is known of the sources of some tasks: files, checksums, licence, place."""
    for source, users in sources_of(tasks).values():
        local = status(source)
        size = f"{source.size:,} bytes" if source.size else "not stated"
        print(f"{source.name}, read by {', '.join(users)}")
        rows = {
            "origin": source.origin,
            "size": size,
            "sha256": source.sha256 or "of each file",
            "licence": source.licence or "not stated",
            "citation": source.citation or "not stated",
            "state": local.state + (f" in {local.folder}" if local.folder else ""),
        }
        for name, text in rows.items():
            print(f"  {name:<9} {text}")
        for path, sha256 in source.files.items():
            print(f"  file      {path}  {sha256 or '(in the download)'}")
        for problem in local.problems:
            print(f"  problem   {problem}")


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
                        "state": local.state,
                        "folder": None if local.folder is None else str(local.folder),
                    }
                    for source, tasks, local in rows
                ],
                indent=2,
                default=dict,
            )
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("source", "tasks", "origin", "size", "licence", "state"):
        table.add_column(name, overflow="fold")
    for source, tasks, local in rows:
        size = f"{(source.size or local.size) / 1e6:.1f} MB"
        where = f" in {local.place}" if local.place else ""
        table.add_row(
            source.name, ", ".join(tasks), source.origin, size, source.licence, local.state + where
        )
    plain_console().print(table)


def fetch_sources(tasks: Sequence[str]) -> None:
    """Fetch what is missing or damaged, and say where it is."""
    for source, _ in sources_of(tasks).values():
        print(f"{source.name}: {fetch(source)}")


def verify_sources(tasks: Sequence[str]) -> int:
    """Hash everything again; return 1 where something is damaged or missing."""
    bad = 0
    for source, _ in sources_of(tasks).values():
        local = verify(source)
        bad += local.state != "present"
        print(f"{source.name}: {local.state}" + "".join(f"\n  {p}" for p in local.problems))
    print("all whole" if not bad else f"{bad} missing or damaged: rnnbench data fetch")
    return 1 if bad else 0
