"""Decides which runs make a row of a board, and what its parts are called.

Runs of one architecture with the same tricks in the same order make a row, whatever their other
settings are: of these validation chooses. There is one exception. Two cells of a sweep may differ
in settings that their author wrote down, such as `tbptt` with k1 = 1 and with k1 = 10: that is a
comparison, not a search, and makes two rows, told apart by these settings.

A record names its study, that of one cell of a sweep. A setting of the architecture or of a trick
that varies within a study was searched there, one that does not was written down. Where studies
have different values for it that were written down, it divides the row. Runs that were not made
for a sweep have nobody's word for what was tried and what was compared: they divide nothing, and
go where their settings are those of a row.

A search with several objectives ends with several configurations, the best on validation and
compromises beside it. Each of these has a study of its own name, CELL.front-TRIAL, and a row of its
own, told apart by the settings that were searched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rnnbench.results.record import Record
from rnnbench.spec.run_spec import PluginSpec, RunSpec

FRONT = ".front-"  # in the study of a compromise, between its cell and its trial

Setting = tuple[int, str]  # place of the plugin (0: the architecture), name of the setting


class SettingStatus(Enum):
    """A value for a setting of which a group of runs has no single value."""

    SEARCHED = "searched"
    NOT = "not told"  # the plugin had no such setting then


@dataclass(frozen=True)
class Group:
    """The records of one row of a board.

    Attributes:
        parts: what the board calls the architecture, then each trick: its name, with its version
            or the settings that tell it from another of that name.
    """

    parts: tuple[str, ...]
    records: list[Record]

    @property
    def name(self) -> str:
        return " + ".join(self.parts)


def group(records: Iterable[Record]) -> list[Group]:
    """Return the rows of a board, sorted by name."""
    by_plugins: dict[tuple[tuple[str, int], ...], list[Record]] = defaultdict(list)
    for record in records:
        plugins = _plugins_of(record.spec)
        by_plugins[tuple((p.name, p.version) for p in plugins)].append(record)
    versions: dict[str, set[int]] = defaultdict(set)
    for key in by_plugins:
        for name, version in key:
            versions[name].add(version)

    def part(plugin: tuple[str, int], place: int, settings: Sequence[tuple[Setting, Any]]) -> str:
        name, version = plugin
        words = [f"version {version}"] if len(versions[name]) > 1 else []
        words += [
            f"{setting} searched" if value is SettingStatus.SEARCHED else f"{setting}={value}"
            for (at, setting), value in settings
            if at == place and value is not SettingStatus.NOT
        ]
        return f"{name} ({', '.join(words)})" if words else name

    groups = []
    for key, same in by_plugins.items():
        for settings, members in _divide(same):
            parts = tuple(part(plugin, place, settings) for place, plugin in enumerate(key))
            groups.append((key, Group(parts, members)))
    return [g for _, g in sorted(groups, key=lambda item: (item[1].name, item[0]))]


def _plugins_of(spec: RunSpec) -> tuple[PluginSpec, ...]:
    return (spec.architecture, *spec.tricks)


def _divide(
    records: list[Record],
) -> list[tuple[tuple[tuple[Setting, Any], ...], list[Record]]]:
    """Runs of the same plugins, by the settings that were written down differently."""
    studies: dict[str, set[tuple[tuple[tuple[str, Any], ...], ...]]] = defaultdict(set)
    for record in records:
        if record.study is not None:
            studies[record.study].add(tuple(p.settings for p in _plugins_of(record.spec)))
    if len(studies) < 2:
        return [((), records)]
    varied: dict[str, set[Setting]] = {}
    written: dict[Setting, set[Any]] = defaultdict(set)
    for study, configurations in studies.items():
        values: dict[Setting, set[Any]] = defaultdict(set)
        for configuration in configurations:
            for place, settings in enumerate(configuration):
                for name, value in settings:
                    values[place, name].add(value)
        varied[study] = {
            setting for setting, setting_values in values.items() if len(setting_values) > 1
        }
        for setting, setting_values in values.items():
            if len(setting_values) == 1:
                written[setting] |= setting_values
    apart = {setting for setting, setting_values in written.items() if len(setting_values) > 1}
    for study in studies:
        cell, front, _ = study.partition(FRONT)
        apart |= varied.get(cell, set()) if front else set()
    divide = sorted(apart)
    if not divide:
        return [((), records)]
    rows: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        own_settings = [dict(p.settings) for p in _plugins_of(record.spec)]
        searched = varied.get(record.study or "", set())
        values_here = tuple(
            SettingStatus.SEARCHED
            if (place, name) in searched
            else own_settings[place].get(name, SettingStatus.NOT)
            for place, name in divide
        )
        rows[values_here].append(record)
    return [
        (tuple(zip(divide, values_here, strict=True)), members)
        for values_here, members in rows.items()
    ]
