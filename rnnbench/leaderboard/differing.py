"""Tells how boards of one task differ: once, as a table, instead of pair by pair."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnnbench.leaderboard.types import Board
from rnnbench.registry.registry import discover
from rnnbench.registry.schema_from_source import read_source

__all__ = ["Differences", "changed_settings", "what_differs", "write_setting"]

_OTHER = {"Data": "data", "Budget": "budget", "Ranked by": "ranked by", "Evaluation": "evaluation"}


@dataclass(frozen=True)
class Differences:
    """The facts in which boards of one task differ.

    Attributes:
        facts: what differs, such as "horizon" or "budget"; () where nothing is known to.
        values: [board][fact]: in words.
    """

    facts: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]


def changed_settings(board: Board) -> dict[str, Any]:
    """Return the settings of a board's task that differ from the defaults of today.

    All of them, where the task is not installed here or only running it would tell its defaults.
    """
    defaults = _defaults(board.task)
    return {
        name: value
        for name, value in board.task_settings.items()
        if name not in defaults or defaults[name] != _as_tuple(value)
    }


def what_differs(boards: Sequence[Board]) -> Differences:
    """Return in what the protocols of several boards of one task differ."""
    defaults = _defaults(boards[0].task) if boards else {}
    facts: dict[str, list[str]] = {}
    names = sorted({name for board in boards for name in board.task_settings})
    for name in names:
        given = [b.task_settings.get(name, defaults.get(name)) for b in boards]
        facts[name] = [write_setting(value) for value in given]
    facts["version"] = [_version(board) for board in boards]
    for label, name in _OTHER.items():
        facts[name] = [dict(board.protocol).get(label, "") for board in boards]
    telling = [name for name, values in facts.items() if len(set(values)) > 1]
    rows = tuple(tuple(facts[name][i] for name in telling) for i in range(len(boards)))
    return Differences(tuple(telling), rows)


def write_setting(value: Any) -> str:
    """Return a setting's value as it is typed."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(map(write_setting, value)) or "none"
    return "null" if value is None else "none" if value == "" else str(value)


def _version(board: Board) -> str:
    """Return the version of a board's task, from what its protocol says."""
    return dict(board.protocol).get("Task", "").partition(", version ")[2].partition(":")[0]


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@functools.cache
def _defaults(task: str) -> Mapping[str, Any]:
    """Return the defaults of a task's settings, as its source says them; nothing is imported."""
    entry = discover()[0]["tasks"].get(task)
    source = None if entry is None else read_source(entry)
    if source is None:
        return {}
    return {name: f.default for name, f in source.fields.items() if not f.required}
