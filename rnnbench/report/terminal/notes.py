"""Prints remarks below what they are about."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from rnnbench.report.wording import visible


def print_note(console: Console, text: str) -> None:
    """Print a remark below what it is about."""
    style = "dim" if console.is_terminal else ""
    console.print(Padding(Text(visible(text), style=style, overflow="fold"), (0, 0, 0, 1)))
