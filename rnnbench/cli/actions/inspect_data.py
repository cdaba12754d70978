"""`rnnbench data inspect`: the card of a task's data, and what is told of it before a run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rnnbench.errors import DataError, SpecError, UserError
from rnnbench.registry.registry import schema
from rnnbench.spec.data_set import LABEL, file_that_is_read, read_label
from rnnbench.spec.plugin_text import make_plugin_spec, split_assignments, split_plugin

if TYPE_CHECKING:
    from rnnbench.contract import DataCard, Task

SECTION = "task."


def inspect_command(task: str, settings: Sequence[str], *, as_json: bool) -> None:
    """Print the card of a task's data with these settings, and what its baselines reach."""
    made, title = _make_task(task, settings)
    from rnnbench.report.terminal.data_card import print_card
    from rnnbench.report.terminal.plain_console import plain_console

    card = card_of(made)
    baselines: dict[str, dict[str, dict[str, float]]] = {}
    problem: UserError | None = None
    try:
        baselines = {split: made.baselines(split) for split in ("valid", "test")}
    except UserError as error:  # the card helps to mend it
        problem = error
    if as_json:
        content = {"task": made.name, "card": card.as_plain(), "baselines": baselines}
        print(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        print_card(title, card, baselines, [m.name for m in made.metrics], plain_console())
    if problem is not None:
        raise problem


def _make_task(text: str, settings: Sequence[str]) -> tuple[Task, str]:
    """Make a task of its name and settings; return it with what its data are called."""
    from rnnbench.spec.instantiate import create

    name, values = split_plugin(text)
    plugin = schema("tasks", name)
    for written, value in split_assignments(settings).items():
        if not written.startswith(SECTION):
            raise SpecError(
                f"{written}={value}: data are read by the settings of their task alone\n"
                f"  Write task.{written.rpartition('.')[2]}={value}, or leave it away; those of "
                f"{name}: rnnbench describe {name}"
            )
        values[written.removeprefix(SECTION)] = value
    label = ""
    if LABEL in values and LABEL not in plugin.fields:
        label = read_label(values.pop(LABEL), "")
    spec = make_plugin_spec(plugin, values, "task", {})
    called = label or file_that_is_read(dict(spec.settings))
    try:
        return create("tasks", spec), f"{called} ({name})" if called else name
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise SpecError(str(error)) from error


def card_of(task: Task) -> DataCard:
    """Return a task's card; where it has none of its own, the sizes of its splits."""
    from rnnbench.contract import DataCard

    if (card := task.card()) is not None:
        return card
    sizes = {split: f"{len(task.data(split, 0)):,} items" for split in ("train", "valid", "test")}
    return DataCard(f"{task.name}: {task.kind.value}", splits=sizes)


def told_before(task: Task, command: Sequence[str] = ()) -> list[str]:
    """Return what is said of a user's own data before a run: how they are read, and doubts.

    Args:
        command: the task's settings as they were typed, for how to see the whole card.
    """
    own = any(source.origin.startswith(("file:", "folder:")) for source in task.sources())
    read = task.what_is_read()
    told = [read] if read else []
    if not own:
        return told
    try:
        card = task.card()
    except (DataError, ValueError):
        return told  # the run itself says what is wrong, and what to do
    if card is None:
        return told
    if not read:
        splits = "; ".join(f"{split} {text}" for split, text in card.splits.items())
        told += [f"data: {card.summary}", f"split: {splits}"]
    doubts = [doubt for doubt in card.doubts if not _is_said(doubt, read)]
    told += [f"doubt: {doubt}" for doubt in doubts[:3]]
    words = ["rnnbench", "data", "inspect", task.name, *command]
    told.append(f"More of these data: {shlex.join(words)}")
    return told


def _is_said(doubt: str, read: str) -> bool:
    """Tell whether what a doubt leads to is what was said before."""
    settings = re.findall(r"task\.\w+=\w+", doubt)
    return bool(settings) and all(setting in read for setting in settings)


def typed_settings(settings: Sequence[tuple[str, Any]], task: str) -> list[str]:
    """Return the settings of a task that differ from its defaults, as they are typed."""
    from rnnbench.leaderboard.differing import write_setting

    fields = schema("tasks", task).fields
    return [
        f"{SECTION}{name}={write_setting(value)}"
        for name, value in settings
        if name in fields and (fields[name].required or fields[name].default != value)
    ]
