"""Shows how a run goes: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rnnbench.training.loader import Position


class ProgressBar:
    """A bar with loss and time left on a terminal; elsewhere a line every ten seconds."""

    def __init__(self, console: Console, *, quiet: bool):
        self.console, self.quiet = console, quiet
        self.bar = Progress(
            TextColumn("step {task.fields[step]}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%", markup=False),
            TextColumn("loss {task.fields[loss]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
            console=console,
        )
        self.last = 0.0

    def __enter__(self) -> ProgressBar:
        if self.console.is_terminal and not self.quiet:
            self.bar.start()
            self.id = self.bar.add_task("train", total=1.0, step=0, loss="-")
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal and not self.quiet:
            self.bar.stop()

    def __call__(self, at: Position, loss: float, done: float) -> None:
        """Show a pack's mean loss and the part of the budget that is spent."""
        if self.quiet:
            return
        if self.console.is_terminal:
            self.bar.update(self.id, completed=done, step=at.step, loss=f"{loss:.4f}")
        elif time.monotonic() - self.last > 10 or done >= 1:
            self.last = time.monotonic()
            print(f"step {at.step} ({done:.0%}) loss {loss:.4f}", file=sys.stderr)
