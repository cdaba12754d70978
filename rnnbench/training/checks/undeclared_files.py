"""Refuses a task that reads a file which it does not declare: its results would go stale unseen.

A run is known by its settings and by the content of its sources. A file that the task reads beside
them may change, and the finished run would be shown as if it had not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from rnnbench.contract import Refusal, Task
from rnnbench.data.fetching.sources import roots, status
from rnnbench.files.opened_files import watching
from rnnbench.registry.guarded_import import opened_at_import
from rnnbench.registry.registry import discover

MOST = 3  # files that are named

# What tasks have read undeclared in this process: their data are kept and not read again.
_undeclared: dict[Task, dict[Path, None]] = {}


@contextlib.contextmanager
def noting(task: Task) -> Iterator[None]:
    """Note which files a task reads within it that it does not declare now."""
    with watching() as opened:
        yield
    if found := _find_undeclared(task, opened.data()):
        _undeclared.setdefault(task, {}).update(dict.fromkeys(found))


def refuse_undeclared(task: Task) -> None:
    """Refuse a task that read files which it does not declare; call it when its data were read.

    Raises:
        Refusal: which files, and what to write.
    """
    entry = discover()[0]["tasks"].get(task.name)
    if entry is None or entry.distribution != "rnnbench":  # tests hold rnnbench's own to this
        with noting(task):
            again = dataclasses.replace(task)  # type: ignore[type-var]
            _ = again.source, again.target
            for split in ("valid", "test"):
                task.meter(split)
    at_import = _find_undeclared(task, opened_at_import(type(task).__module__))
    paths = list(dict.fromkeys([*_undeclared.get(task, ()), *at_import]))
    if paths:
        raise Refusal(_say_undeclared(task, paths))


def _find_undeclared(task: Task, read: list[Path]) -> list[Path]:
    """Return those of some files that were read which a task does not declare."""
    if not read:
        return []
    declared = {
        Path(os.path.realpath(place.folder / name))
        for source in task.sources()
        if (place := status(source)).folder is not None
        for name in source.files
    }
    folders = [Path(os.path.realpath(root)) for root in roots().values()]
    return [p for p in read if p not in declared and not any(f in p.parents for f in folders)]


def _say_undeclared(task: Task, paths: list[Path]) -> str:
    """Say which files a task reads undeclared, why that is wrong, and what to write."""
    more = f" and {len(paths) - MOST} more" if len(paths) > MOST else ""
    calls = ", ".join(f"own_file({str(p)!r}, {p.stem!r})" for p in paths[:MOST])
    cls = type(task).__name__
    so_far = "*what it returns now, " if task.sources() else ""
    return (
        f"{task.name} reads {', '.join(map(str, paths[:MOST]))}{more}, and does not declare it.\n"
        "  A run is known by the content of what its task declares. Were another file to change, "
        "the finished run would be shown as if it had not.\n"
        f"  Write in {cls}, with `from rnnbench.data import own_file`:\n"
        "      def sources(self):\n"
        f"          return ({so_far}{calls},)\n"
        "  What the task makes for itself belongs in rnnbench.data.prepare, which keeps it."
    )
