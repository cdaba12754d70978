"""The tasks of a sweep file: what they are with their fixed settings, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable

from rnnbench.results.labels import relabel
from rnnbench.results.record import Record
from rnnbench.results.store import Store
from rnnbench.spec.data_set import LABEL, read_label
from rnnbench.spec.plugin_text import make_plugin_spec
from rnnbench.spec.run_spec import PluginSpec
from rnnbench.sweep.file.sweep import Sweep


def label_data_sets(store: Store, sweep: Sweep, records: Iterable[Record]) -> None:
    """Name the data sets of runs that were made before the file had these labels.

    Args:
        records: the sweep's own.
    """
    of_sweep = list(records)
    for i, entry in enumerate(sweep.tasks):
        if label := str(entry.get(LABEL) or "").strip():
            task = task_spec(sweep, i)
            for data in {r.spec.data for r in of_sweep if r.spec.task == task}:
                relabel(store, task, data, label)


def task_spec(sweep: Sweep, i: int) -> PluginSpec:
    """Return a task of the file with its fixed settings.

    Raises:
        SpecError: a setting cannot be; the message says where it stands.
    """
    from rnnbench.registry.registry import schema

    values = {k: v for k, v in sweep.tasks[i].items() if k != "name"}
    places = {f"task.{k}": sweep.text.at("tasks", i, k) for k in values}
    plugin = schema("tasks", sweep.tasks[i]["name"])
    for group in ("all", plugin.name):
        for name, value in sweep.settings.get(group, {}).items():
            section, _, field = name.partition(".")
            if section == "task" and field in plugin.fields:
                values[field], places[name] = value, sweep.text.at("settings", group, name)
    if LABEL not in plugin.fields and LABEL in values:
        read_label(values.pop(LABEL), f"{places[f'task.{LABEL}']}: ")
    return make_plugin_spec(plugin, values, "task", places)
