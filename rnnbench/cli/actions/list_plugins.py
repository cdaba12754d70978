"""`rnnbench list` and `rnnbench describe`: plugins as tables or JSON."""

from __future__ import annotations

import json
from dataclasses import MISSING
from typing import Any

from rich.console import Console
from rich.table import Table

from rnnbench.contract.names import SITES
from rnnbench.docs.authors import ARCHITECTURES, ESTIMATORS, AgainstAuthors
from rnnbench.errors import PluginError
from rnnbench.registry.import_probe import broken_plugins
from rnnbench.registry.registry import did_you_mean, discover, schema
from rnnbench.registry.schema import KINDS, Entry, Schema
from rnnbench.registry.schema_from_source import dedented
from rnnbench.report.terminal.plain_console import plain_console


def list_plugins(kind: str | None, site: str | None, as_json: bool) -> None:
    """Print what is installed, and what is broken with its reason."""
    if site is not None and site not in SITES:
        raise PluginError(
            f"there is no site {site!r}{did_you_mean(site, SITES)}\n  Sites: {', '.join(SITES)}"
        )
    plugins, _ = discover()
    broken = [b for b in broken_plugins() if kind in (None, b.kind, "")]
    rows = []
    for item in (e for k in KINDS if kind in (None, k) for e in plugins[k].values()):
        if any((b.kind, b.name, b.distribution) == (item.kind, item.name, item.distribution)
               for b in broken):  # fmt: skip
            continue
        plugin_schema = schema(item.kind, item.name)
        if site is None or site in sites_of(item, plugin_schema):
            rows.append(_plugin_row(item, plugin_schema))
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


def _plugin_row(item: Entry, plugin_schema: Schema) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "name": item.name,
        "distribution": item.distribution,
        "version": item.version,
        "plugin_version": plugin_schema.version,
        "sites": list(plugin_schema.sites),
        "task_kind": plugin_schema.task_kind,
        "help": plugin_schema.help,
    }


def sites_of(item: Entry, plugin_schema: Schema) -> tuple[str, ...]:
    """Return the sites that a trick acts on, or that an architecture or a task offers."""
    if item.kind == "tricks":
        return plugin_schema.sites
    always = ("model", "batch", "loss", "gradient", "estimator", "optimizer", "evaluation")
    if item.kind == "tasks":
        decodes = plugin_schema.task_kind in ("vector-to-sequence", "unaligned")
        return (*always, "cell", "feed") if decodes else (*always, "cell")
    return (*always, "feed", "cell") if _has_cell(item) else (*always, "feed")


def _has_cell(item: Entry) -> bool:
    """Tell whether its models have a recurrent cell: one is wired, on the meta device."""
    import torch

    from rnnbench.contract import Cell, Refusal
    from rnnbench.registry.registry import load
    from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, TOYS
    from rnnbench.testing.law import tiny
    from rnnbench.training.wiring import wire

    architecture = tiny(load(item.kind, item.name))
    for toy in (*TOYS.values(), *MORE_TOYS.values()):
        try:
            with torch.device("meta"):
                model = wire(architecture, toy)
        except Refusal:
            continue
        return any(isinstance(m, Cell) for m in model.modules())
    return False


def describe_plugin(name: str, as_json: bool) -> None:
    """Print all that is known of a plugin of this name, of whatever kind."""
    plugins, _ = discover()
    entries = [plugins[kind][name] for kind in KINDS if name in plugins[kind]]
    if not entries:
        everything = [n for kind in KINDS for n in plugins[kind]]
        raise PluginError(
            f"there is no plugin {name!r}{did_you_mean(name, everything)}\n  See: rnnbench list"
        )
    described = [(item, schema(item.kind, item.name)) for item in entries]
    if as_json:
        print(json.dumps([_as_dict(i, s) for i, s in described], indent=2))
        return
    for item, plugin_schema in described:
        _print_description(plain_console(), item, plugin_schema)


def _as_dict(item: Entry, plugin_schema: Schema) -> dict[str, Any]:
    fields = [
        {
            "name": f.name,
            "type": f.type_name,
            "default": None if f.required else f.default,
            "required": f.required,
            "unit": f.unit,
            "low": f.low,
            "high": f.high,
            "search": f.search,
            "help": f.help,
            "plugin": f.plugin,
        }
        for f in plugin_schema.fields.values()
    ]
    against = against_authors(item)
    return {
        **_plugin_row(item, plugin_schema),
        "doc": dedented(plugin_schema.doc),
        "source": plugin_schema.source,
        "fields": fields,
        "recommended": dict(plugin_schema.recommended),
        "combines": combines(item, plugin_schema),
        "authors_code": None if against is None else against._asdict(),
    }


def against_authors(item: Entry) -> AgainstAuthors | None:
    """Return what one of rnnbench's own plugins was compared with, where it was."""
    if item.distribution != "rnnbench":
        return None
    return {"architectures": ARCHITECTURES, "tricks": ESTIMATORS}.get(item.kind, {}).get(item.name)


def combines(item: Entry, plugin_schema: Schema) -> str:
    """Say what a plugin can be combined with; `rnnbench check` settles a case."""
    if item.kind == "tricks":
        sites = set(plugin_schema.sites)
        if "cell" in sites:
            return "architectures with a recurrent cell: rnnbench list architectures --site cell"
        if "feed" in sites:
            return "tasks whose model decodes: rnnbench list tasks --site feed"
        return "any architecture and task that its sites reach: " + ", ".join(plugin_schema.sites)
    if item.kind == "tasks":
        return "any architecture that reads its layout; tricks: rnnbench list tricks"
    return "any task whose layout it reads; tricks: rnnbench list tricks"


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
