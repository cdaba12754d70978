"""`rnnbench list` and `rnnbench describe`: plugins as tables or JSON."""

from __future__ import annotations

import json
from dataclasses import MISSING
from typing import Any

from rich.console import Console
from rich.table import Table

from rnnbench.registry.schema import Entry, Schema
from rnnbench.registry.schema_from_source import dedented
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.session.plugins import (
    against_authors,
    combines,
    description_of,
    installed_plugins,
    plugins_called,
)


def list_plugins(kind: str | None, site: str | None, as_json: bool) -> None:
    """Print what is installed, and what is broken with its reason."""
    rows, broken = installed_plugins(kind, site)
    if as_json:
        print(json.dumps({"plugins": rows, "broken": [vars(b) for b in broken]}, indent=2))
        return
    console = plain_console()
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        heading = f"{row['kind']} of {row['distribution']} {row['version']}"
        groups.setdefault(heading, []).append(row)
    for heading, group in groups.items():
        console.print(heading, style="bold")
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
        for i in range(3):
            table.add_column(no_wrap=i < 2)
        for row in group:
            table.add_row(row["name"], ", ".join(row["sites"]) or row["task_kind"], row["help"])
        console.print(table)
    for b in broken:
        what = f"{b.kind[:-1]} {b.name} of {b.distribution}" if b.name else b.distribution
        console.print(f"broken: {what}: {b.reason}", style="red")


def describe_plugin(name: str, as_json: bool) -> None:
    """Print all that is known of a plugin of this name, of whatever kind."""
    described = plugins_called(name)
    if as_json:
        print(json.dumps([description_of(i, s) for i, s in described], indent=2))
        return
    for item, plugin_schema in described:
        _print_description(plain_console(), item, plugin_schema)


def _print_description(console: Console, item: Entry, plugin_schema: Schema) -> None:
    console.print(
        f"{item.name}  {item.kind[:-1]} of {item.distribution} {item.version}"
        f" (plugin version {plugin_schema.version})"
    )
    console.print(dedented(plugin_schema.doc) + "\n")
    against = against_authors(item)
    if against is not None:
        console.print(against.sentences() + "\n")
    if plugin_schema.fields:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("field", "type", "default", "unit", "range", "search", "help"):
            table.add_column(name, overflow="fold", no_wrap=name == "field")
        for f in plugin_schema.fields.values():
            bounds = (
                "" if f.low is None and f.high is None else f"{_as_text(f.low)}..{_as_text(f.high)}"
            )
            default = "required" if f.default is MISSING else _as_text(f.default, "null")
            search = ", ".join(map(str, f.search)) if f.search else ""
            table.add_row(f.name, f.type_name, default, f.unit or "", bounds, search, f.help)
        console.print(table)
    else:
        console.print("It has no settings.")
    if plugin_schema.sites:
        console.print(f"acts on:    {', '.join(plugin_schema.sites)}")
    if plugin_schema.task_kind:
        console.print(f"kind:       {plugin_schema.task_kind}")
    for name, value in plugin_schema.recommended.items():
        console.print(f"recommends: {name}={value}")
    console.print(f"combines:   {combines(item, plugin_schema)}", soft_wrap=True)


def _as_text(value: Any, none: str = "") -> str:
    return none if value is None else str(value)
