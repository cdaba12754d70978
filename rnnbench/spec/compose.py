"""Composes a RunSpec from defaults, files and the command line; names each mistake with its place.

Later layers win: core's defaults, what the task recommends, a file, the command line. Values are
checked by OmegaConf against the plugins' dataclasses. torch is not imported; what needs it (the
width that a budget of parameters gives, the version of the data) follows in `training.resolve`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.errors import PluginError, SpecError
from rnnbench.registry.registry import did_you_mean, schema
from rnnbench.registry.schema import Schema
from rnnbench.spec.data_set import LABEL, read_label
from rnnbench.spec.fill import at, field_names, fill
from rnnbench.spec.plugin_text import Plugin, make_plugin_spec, split_plugin
from rnnbench.spec.run_spec import Budget, Optimizer, RunSpec
from rnnbench.spec.seeds import complaint

SECTIONS = ("task", "architecture", "tricks", "optimizer", "budget")


def compose(
    task: Plugin,
    architecture: Plugin,
    tricks: Sequence[Plugin] = (),
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    test: bool = True,
    places: Mapping[str, str] | None = None,
) -> RunSpec:
    """Check everything that can be known without importing a plugin, and make the spec.

    Args:
        settings: by dotted name: "task.length", "architecture.hidden", "tricks.zoneout.rate",
            "optimizer.lr", "budget.steps"; and "task.label", see `spec.data_set`.
        places: where a dotted name was written ("sweep.yaml:12"), for messages.

    Returns:
        A spec without its data version: see `training.resolve`.

    Raises:
        SpecError: an unknown name, a wrong type, a value out of range, contradictory budgets.
    """
    places = places or {}
    if problem := complaint([seed]):
        raise SpecError(problem)
    task_name, task_own = _read(task, "task", places)
    architecture_name, architecture_own = _read(architecture, "architecture", places)
    trick_list = [_read(t, "tricks", places) for t in tricks]
    names = [n for n, _ in trick_list]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise SpecError(f"trick {twice!r} is listed twice")
    schemas: dict[str, Schema] = {
        "task": _schema("tasks", task_name, places.get("task")),
        "architecture": _schema("architectures", architecture_name, places.get("architecture")),
        **{f"tricks.{n}": _schema("tricks", n, places.get("tricks")) for n in names},
    }
    values: dict[str, dict[str, Any]] = {
        "task": dict(task_own),
        "architecture": dict(architecture_own),
        "optimizer": {},
        "budget": {},
        **{f"tricks.{n}": dict(own) for n, own in trick_list},
    }
    fields: dict[str, list[str]] = {s: list(found.fields) for s, found in schemas.items()}
    fields |= {"optimizer": field_names(Optimizer), "budget": field_names(Budget)}
    layers = [(schemas["task"].recommended, {}), (settings or {}, places)]
    for layer, layer_places in layers:
        for dotted, value in layer.items():
            place = layer_places.get(dotted)
            section, field = _locate(dotted, fields, place)
            if section == "budget":  # a later layer's budget replaces, not joins, an earlier one's
                _replace_budget(values["budget"], field, dict(layer))
            values[section][field] = value
    label = ""
    if LABEL in values["task"] and LABEL not in schemas["task"].fields:
        place = places.get(f"task.{LABEL}") or places.get("task")
        label = read_label(values["task"].pop(LABEL), at(place))
    _refuse_misspelt_label(task_name, values["task"], schemas["task"], places)
    optimizer = fill(Optimizer, values["optimizer"], "optimizer", places)
    budget = fill(Budget, values["budget"], "budget", places)
    _check_budget(budget)
    if budget.parameters is not None:
        _check_width(schemas["architecture"], values["architecture"], places)
    plugins = {
        section: make_plugin_spec(schemas[section], values[section], section, places)
        for section in schemas
    }
    return RunSpec(
        task=plugins["task"],
        architecture=plugins["architecture"],
        tricks=tuple(plugins[f"tricks.{n}"] for n in names),
        optimizer=optimizer,
        budget=budget,
        seed=seed,
        test=test,
        label=label,
    )


def _refuse_misspelt_label(
    task: str, written: Mapping[str, Any], known: Schema, places: Mapping[str, str]
) -> None:
    """Refuse what is no field of a task, and looks like its label."""
    for name in written:
        if name not in known.fields and difflib.get_close_matches(name, [LABEL, *known.fields])[
            :1
        ] == [LABEL]:
            place = at(places.get(f"task.{name}") or places.get("task"))
            raise SpecError(f"{place}task {task} has no field {name!r}; did you mean task.{LABEL}?")


def _read(plugin: Plugin, section: str, places: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    try:
        return split_plugin(plugin)
    except SpecError as error:
        raise SpecError(at(places.get(section)) + str(error)) from error


def _schema(kind: str, name: str, place: str | None) -> Schema:
    try:
        return schema(kind, name)
    except PluginError as error:
        raise SpecError(at(place) + str(error)) from error


def _locate(dotted: str, fields: Mapping[str, Sequence[str]], place: str | None) -> tuple[str, str]:
    """Split a dotted name into its section and its field.

    Args:
        fields: the fields of each section of this run.
    """
    section, _, field = dotted.rpartition(".")
    if section in fields:
        return section, field
    if section.startswith("tricks.") or section == "tricks":
        tricks = [s.removeprefix("tricks.") for s in fields if s.startswith("tricks.")]
        has = f"the tricks {', '.join(tricks)}" if tricks else "no tricks"
        raise SpecError(
            f"{at(place)}{dotted}: this run has {has}"
            f"{did_you_mean(section.removeprefix('tricks.'), tricks)}\n"
            f"  Write tricks.NAME.FIELD=VALUE, and list the trick: --trick NAME"
        )
    close = [f"{s}.{dotted}" for s, names in fields.items() if dotted in names]
    if not close:
        sections = difflib.get_close_matches(section, SECTIONS, n=1)
        close = [f"{s}.{field or '...'}" for s in sections]
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise SpecError(
        f"{at(place)}{dotted}: there is no section {section or dotted!r}{hint}\n"
        f"  Sections: {', '.join(SECTIONS)}; and trainer, in `rnnbench run`"
    )


UNITS = ("steps", "epochs", "tokens", "seconds")


def _replace_budget(budget: dict[str, Any], field: str, layer: dict[str, Any]) -> None:
    if field not in UNITS:
        return
    for unit in UNITS:
        if unit != field and f"budget.{unit}" not in layer:
            budget.pop(unit, None)


def _check_budget(budget: Budget) -> None:
    budgets = {u: getattr(budget, u) for u in UNITS if getattr(budget, u) is not None}
    if len(budgets) != 1:
        shown = " and ".join(f"budget.{k}={v}" for k, v in budgets.items()) or "none"
        raise SpecError(
            f"a run has one budget, of {', '.join(UNITS)}; given: {shown}\n"
            "  Set one, such as budget.steps=1000, and the others to null."
        )


def _check_width(
    architecture: Schema, settings: Mapping[str, Any], places: Mapping[str, str]
) -> None:
    """Refuse a width beside a budget of parameters, from which the width follows."""
    place = at(places.get("budget.parameters") or places.get("budget"))
    width = architecture.width
    if width is None:
        raise SpecError(
            f"{place}budget.parameters: {architecture.name} has no field that sets its size\n"
            "  Leave budget.parameters away, or declare the field: setting(..., width=True)."
        )
    if width in settings:
        raise SpecError(
            f"{place}budget.parameters and architecture.{width}={settings[width]} contradict each "
            f"other: {width} follows from the number of parameters\n  Drop one of them."
        )
