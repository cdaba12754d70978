"""Tells what is installed: `rb.list` and `rb.describe`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Literal

from rnnbench.contract.names import SITES
from rnnbench.docs.authors import ARCHITECTURES, ESTIMATORS, AgainstAuthors
from rnnbench.errors import PluginError
from rnnbench.registry.import_probe import broken_plugins
from rnnbench.registry.registry import did_you_mean, discover, schema
from rnnbench.registry.schema import KINDS, BrokenPlugin, Entry, Schema
from rnnbench.registry.schema_from_source import dedented
from rnnbench.session.advice import in_python
from rnnbench.session.listing import Listing, html_table, shown
from rnnbench.session.ranges import refuse_no_name

FIELDS = ("name", "type", "default", "unit", "low", "high", "search", "help")

PluginKind = Literal["architectures", "tasks", "tricks"]


def installed_plugins(
    kind: str | None = None, site: str | None = None
) -> tuple[list[dict[str, Any]], list[BrokenPlugin]]:
    """Return what is installed, a row each, and what is broken.

    Args:
        site: only tricks that act on it, and architectures and tasks that have it.

    Raises:
        PluginError: there is no such site.
    """
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
            rows.append(plugin_row(item, plugin_schema))
    return rows, broken


def plugins_called(name: str, kind: str | None = None) -> list[tuple[Entry, Schema]]:
    """Return the plugins of a name, of whatever kind.

    Raises:
        PluginError: there is none; names the closest.
    """
    plugins, _ = discover()
    kinds = [k for k in KINDS if kind in (None, k)]
    entries = [plugins[k][name] for k in kinds if name in plugins[k]]
    if not entries:
        everything = [n for k in kinds for n in plugins[k]]
        raise PluginError(
            f"there is no plugin {name!r}{did_you_mean(name, everything)}\n  See: rnnbench list"
        )
    return [(item, schema(item.kind, item.name)) for item in entries]


def plugin_row(item: Entry, plugin_schema: Schema) -> dict[str, Any]:
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


def description_of(item: Entry, plugin_schema: Schema) -> dict[str, Any]:
    """Return all that is known of a plugin, as plain values."""
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
        **plugin_row(item, plugin_schema),
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


@in_python
def list_plugins(kind: PluginKind | None = None, *, site: str | None = None) -> Listing:
    """Return the plugins that are installed: kind, name, distribution and version, help.

    Args:
        kind: "architectures", "tasks" or "tricks"; None: all.
        site: only tricks that act on it, and architectures and tasks that have it.

    Raises:
        PluginError: there is no such kind, or no such site.
    """
    if kind is not None and kind not in KINDS:
        raise PluginError(f"there is no kind {kind!r}; the kinds are {', '.join(KINDS)}")
    rows, broken = installed_plugins(kind, site)
    notes = [f"broken: {b.name or b.distribution}: {b.reason}" for b in broken]
    return Listing(rows, ("kind", "name", "distribution", "help"), notes=notes, empty="no plugin")


class Description:
    """A plugin as it is known without running it.

    Attributes:
        facts: as `rnnbench describe --json` prints them.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)

    @property
    def name(self) -> str:
        return str(self.facts["name"])

    @property
    def fields(self) -> Listing:
        """Return its settings, a row each."""
        return Listing(self.facts["fields"], FIELDS, empty="It has no settings.")

    def _lines(self) -> list[str]:
        facts = self.facts
        lines = [f"recommends: {k}={shown(v)}" for k, v in facts["recommended"].items()]
        if facts["sites"]:
            lines.append(f"acts on: {', '.join(facts['sites'])}")
        return [*lines, f"combines: {facts['combines']}"]

    def _title(self) -> str:
        facts = self.facts
        return f"{self.name}: {facts['kind'][:-1]} of {facts['distribution']} {facts['version']}"

    def __repr__(self) -> str:
        parts = [self._title(), "", self.facts["doc"], "", repr(self.fields), *self._lines()]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        fields = self.fields
        cells = [[shown(row.get(name)) for name in FIELDS] for row in fields]
        table = html_table(FIELDS, cells) if cells else "<p>It has no settings.</p>"
        lines = "".join(f"<p>{escape(text)}</p>" for text in self._lines())
        doc = escape(str(self.facts["doc"]))
        return f"<b>{escape(self._title())}</b><pre>{doc}</pre>{table}{lines}"


@in_python
def describe(name: str, kind: PluginKind | None = None) -> Description:
    """Return what is known of a plugin: its settings with types, defaults and ranges, its source.

    Args:
        kind: of it, where plugins of several kinds have the name.

    Raises:
        PluginError: there is none of this name, or there are several.
    """
    refuse_no_name("name", name)
    found = plugins_called(name, kind)
    if len(found) > 1:
        kinds = " or ".join(f"rb.describe({name!r}, {item.kind!r})" for item, _ in found)
        raise PluginError(f"{name!r} is the name of several plugins: {kinds}")
    return Description(description_of(*found[0]))
