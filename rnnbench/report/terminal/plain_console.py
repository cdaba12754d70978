"""The console on which all commands print: what comes from a user is text, and stays as it is."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """Return a console that shows `[red]` and `:smile:` as they stand, in tables too.

    By default rich takes brackets for its markup, which raises an error for a folder called `[/]`
    and leaves a part of other names away, and puts pictures for words between colons.

    What is written to a file goes there in a notebook too, where rich would show it in the cell.

    Args:
        options: further ones of `rich.console.Console`, such as `stderr`.
    """
    if "file" in options:
        options.setdefault("force_jupyter", False)
    return Console(markup=False, emoji=False, highlight=False, **options)
