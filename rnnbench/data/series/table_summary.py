"""Says in a few lines how a user's table was read, so that a mistake shows before a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["summarise", "write_clocks", "write_names"]

MOST_NAMES = 8
_PLAIN = re.compile(r"[^\s,;'\"]+")


def summarise(title: str, facts: Mapping[str, str]) -> str:
    """Return a title and a line for each fact that there is, its name before it."""
    width = max(map(len, facts))
    lines = [f"  {name:<{width}}  {fact}" for name, fact in facts.items() if fact]
    return "\n".join([f"{title}:", *lines])


def write_names(names: Sequence[str]) -> str:
    """Return names of columns or series between commas: a few, and how many more there are."""
    shown = [n if _PLAIN.fullmatch(n) else repr(n) for n in names[:MOST_NAMES]]
    more = [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    return ", ".join([*shown, *more])


def write_clocks(clocks: Sequence[str], aware: bool) -> str:
    """Return by which clocks times are read, given the name of each series' clock."""
    names = list(dict.fromkeys(clocks))
    if names == [""]:
        return "without a time zone"
    how = "with offsets, read" if aware else "without offsets, read"
    return f"{how} by the clock{'s' * (len(names) > 1)} of {write_names(names)}"
