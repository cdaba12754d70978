"""Shows progress where somebody looks: in a notebook's cell, or on a terminal; else nowhere.

What is printed to standard output is the user's own: nothing of this goes there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from rnnbench.sweep.progress import Snapshot
    from rnnbench.training.loader import Position

SECONDS = 0.5  # between changes of what a notebook shows

Write = Callable[[str], None]


def in_notebook() -> bool:
    """Tell whether this is a kernel of Jupyter; nothing is imported for it."""
    python = sys.modules.get("IPython")
    shell = python.get_ipython() if python is not None else None
    return shell is not None and hasattr(shell, "kernel")


def cell_writer() -> Write:
    """Return a function that replaces a piece of HTML below the notebook's cell."""
    from IPython.display import HTML, display

    handle: Any = display(HTML(""), display_id=True)

    def write(html: str) -> None:
        handle.update(HTML(html))

    return write


class CellProgress:
    """Shows how a run or a sweep goes, in one piece of HTML that is replaced.

    Args:
        write: see `cell_writer`.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._last = -SECONDS
        self._notes: list[str] = []

    def __enter__(self) -> CellProgress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, at: Position, loss: float, done: float) -> None:
        """Show a pack's mean loss and the part of the budget that is spent."""
        if self._is_due() or done >= 1:
            text = f"step {at.step}, {done:.0%}, loss {loss:.4f}"
            self._write(f'<progress max="1" value="{done:.3f}"></progress> {escape(text)}')

    def show(self, now: Snapshot) -> None:
        """Show the state of a sweep: a bar, a line, and a table of its cells."""
        from rnnbench.report.terminal.sweep_progress import line
        from rnnbench.session.listing import html_table

        left = now.count("left")
        if not self._is_due() and left:
            return
        wanted = sum(c.trials + c.finals for c in now.cells if not c.refused)
        done = 1 - left / wanted if wanted else 1.0
        rows = [
            [c.name, "refused" if c.refused else f"{c.done + c.pruned + c.failed} of {c.trials}",
             f"{c.finals_done} of {c.finals}", "" if c.best is None else f"{c.best:.5g}"]
            for c in now.cells[:24]
        ]  # fmt: skip
        if len(now.cells) > len(rows):
            rows.append([f"... and {len(now.cells) - len(rows)} more cells", "", "", ""])
        header = ("cell", "trials", "final runs", "best on validation")
        self._write(
            f'<progress max="1" value="{done:.3f}"></progress> {escape(line(now))}'
            + html_table(header, rows, ("left", "right", "right", "right"))
            + "".join(f"<pre>{escape(note)}</pre>" for note in self._notes[-10:])
        )

    def note(self, text: str) -> None:
        """Keep a line: on a refusal, a failure, a lost worker, a stop."""
        self._notes.append(text)

    def _is_due(self) -> bool:
        if time.monotonic() - self._last < SECONDS:
            return False
        self._last = time.monotonic()
        return True


class NoProgress:
    """Shows nothing."""

    def __enter__(self) -> NoProgress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, at: Position, loss: float, done: float) -> None:
        """Show nothing of a step."""

    def show(self, now: Snapshot) -> None:
        """Show nothing of a sweep."""

    def note(self, text: str) -> None:
        """Keep nothing."""


def run_progress(asked: bool | None) -> Any:
    """Return what shows how a run goes.

    Args:
        asked: None: where a notebook or a terminal is there to show it.
    """

    def in_terminal(console: Console) -> Any:
        from rnnbench.report.terminal.run_progress import ProgressBar

        return ProgressBar(console, quiet=False)

    return _progress(asked, in_terminal)


def sweep_progress(asked: bool | None) -> Any:
    """Return what shows how a sweep goes, see `run_progress`."""

    def in_terminal(console: Console) -> Any:
        from rnnbench.report.terminal.sweep_progress import TerminalProgress

        return TerminalProgress(console)

    return _progress(asked, in_terminal)


def _progress(asked: bool | None, in_terminal: Callable[[Console], Any]) -> Any:
    if asked is False:
        return NoProgress()
    if in_notebook():
        return CellProgress(cell_writer())
    if not (asked or _on_terminal()):
        return NoProgress()
    from rnnbench.report.terminal.plain_console import plain_console

    return in_terminal(plain_console(stderr=True))


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
