"""Says a board's protocol and provenance in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rnnbench.results.record import Record
from rnnbench.spec.run_spec import Budget, PluginSpec, RunSpec


def protocol_in_words(
    spec: RunSpec, headline: Mapping[str, Any], selection: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Say what every row of a board has in common, as (label, text) pairs."""
    direction = "higher" if headline.get("higher_is_better") else "lower"
    metric = f"{headline['name']} ({direction} is better)" if headline else "not known yet"
    chosen = (
        f"checkpoint and configuration are chosen by {selection['metric']} on validation; "
        if selection
        else ""
    )
    return (
        ("Task", plugin_in_words(spec.task)),
        ("Data", f"version {spec.data}" if spec.data else "made by the task itself"),
        ("Budget", budget_in_words(spec.budget)),
        ("Ranked by", metric),
        ("Evaluation", f"{chosen}each seed then meets the test split once"),
    )


def plugin_in_words(plugin: PluginSpec, settings: bool = True) -> str:
    """Return a plugin as "char-lm, version 1: length=100, text=ptb"."""
    settings_text = (
        ", ".join(f"{name}={value}" for name, value in plugin.settings) if settings else ""
    )
    return f"{plugin.name}, version {plugin.version}" + (
        f": {settings_text}" if settings_text else ""
    )


def budget_in_words(budget: Budget) -> str:
    """Return a budget as "2,000 optimiser steps; validated every 100 steps"."""
    limits = [
        f"{value:,g} {unit}" if isinstance(value, float) else f"{value:,} {unit}"
        for value, unit in (
            (budget.steps, "optimiser steps"),
            (budget.epochs, "epochs"),
            (budget.tokens, "training tokens"),
            (budget.seconds, "seconds of training"),
        )
        if value is not None
    ]
    parts = [" and ".join(limits) or "no limit stated"]
    parts.append(f"validated every {budget.validate_every:,} steps")
    if budget.parameters is not None:
        parts.append(f"about {budget.parameters:,} parameters, by the architecture's width")
    if budget.patience is not None:
        parts.append(f"stopped after {budget.patience} validations without a new best")
    return "; ".join(parts)


def provenance_in_words(records: Sequence[Record]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """List the distinct code, packages and machines behind the records, and when they ran."""
    code: set[str] = set()
    packages: set[str] = set()
    machines: set[str] = set()
    for record in records:
        provenance = record.provenance
        for name, distribution in provenance.get("distributions", {}).items():
            code.add(_code_in_words(name, distribution))
        versions = {"python": provenance.get("python"), **provenance.get("packages", {})}
        packages.update(f"{name} {version}" for name, version in versions.items() if version)
        machines.add(machine_in_words(record))
    days = sorted(record.ended[:10] for record in records if record.ended)
    when = () if not days else (days[0],) if days[0] == days[-1] else (f"{days[0]} to {days[-1]}",)
    parts: Iterable[tuple[str, Iterable[str]]] = (
        ("Code", code),
        ("Packages", packages),
        ("Machines", machines - {""}),
        ("Ended", when),
    )
    return tuple((label, tuple(sorted(values))) for label, values in parts if values)


def machine_in_words(record: Record) -> str:
    """Return what a run computed on, as "NVIDIA H100 80GB" or "AMD EPYC, 2 cores"; "" if
    unknown."""
    machine = record.provenance.get("machine", {})
    device, cores = machine.get("device"), machine.get("cores")
    if device and device != "cpu":
        return str(device)
    if not machine.get("cpu"):
        return ""
    return machine["cpu"] + (f", {cores} core{'s' if cores != 1 else ''}" if cores else "")


def _code_in_words(name: str, distribution: Mapping[str, Any]) -> str:
    commit = distribution.get("commit")
    if not commit:
        return f"{name} {distribution.get('version')}"
    modified = ", modified" if distribution["dirty"] else ""
    return f"{name} {distribution.get('version')} ({commit[:12]}{modified})"
