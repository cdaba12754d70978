"""Shows a sweep on the terminal: a live table, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rnnbench.sweep.progress import CellTally, Progress, Snapshot

LINE_SECONDS = 10.0  # between plain lines
NAME_WIDTH = 32  # of a cell, before its name is broken for the sake of the figures
ROWS = 24  # of the live table; cells where something happens come first


class TerminalProgress(Progress):
    """Shows the progress of a sweep within `with`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._last_line_at = -LINE_SECONDS
        self._last_line = ""

    def __enter__(self) -> TerminalProgress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, now: Snapshot) -> None:
        if self._console.is_terminal:
            parts = [table(now, limit=ROWS), *([workers(now)] if now.busy else [])]
            self._live.update(Group(*parts, Text(line(now))), refresh=True)
            return
        ended = not now.count("left")
        if ended or time.monotonic() - self._last_line_at >= LINE_SECONDS:
            self._last_line_at = time.monotonic()
            text = line(now)
            if text != self._last_line:
                self._last_line = text
                self._print(text)

    def note(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def line(now: Snapshot) -> str:
    """Return the state of the whole sweep in one line."""
    ended = sum(now.count(n) for n in ("done", "pruned", "failed"))
    finals = now.count("finals_done") + now.count("finals_failed")
    running = now.count("running") + now.count("finals_running")
    open_cells = [c for c in now.cells if not c.refused]
    parts = [
        f"{sum(not c.left for c in open_cells)} of {len(open_cells)} cells complete",
        f"{ended} of {sum(c.trials for c in open_cells)} trials",
        f"{finals} of {sum(c.finals for c in open_cells)} final runs",
        f"{running} running",
    ]
    parts += [f"{now.count(name)} {name}" for name in ("pruned", "failed") if now.count(name)]
    if now.refused:
        parts.append(f"{len(now.refused)} cells refused")
    if now.paused:
        parts.append("paused")
    if now.outage:
        parts.append(f"hardly any trial is placed ({now.outage['kind']})")
    if gpus := gpus_of(now):
        shares = [share for share, _, _ in gpus.values()]
        parts.append(f"{len(gpus)} GPUs {sum(shares) / len(shares):.0%} busy")
    if now.per_minute is not None:
        parts.append(f"{now.per_minute:.3g} trials/min")
    if now.seconds_left:
        parts.append(f"about {duration(now.seconds_left)} left")
    return ", ".join(parts)


def seed_lines(now: Snapshot) -> list[str]:
    """Return a line for each task on how far results have decided on its seeds."""
    return [text for text in dict.fromkeys(c.seeds for c in now.cells) if text]


def describe_outage(outage: Mapping[str, Any]) -> list[str]:
    """Return lines on why hardly any trial is placed, where, and what to do about it."""
    nodes = ", ".join(f"{node} ({count})" for node, count in outage["nodes"].items())
    return [
        f"{outage['faults']} trials in a row failed alike, and not by their own fault: "
        f"{outage['what']}; on: {nodes}",
        f"What to do: {outage['advice']}.",
    ]


def table(now: Snapshot, limit: int | None = None) -> Table:
    """Return a table with a line for each cell.

    Args:
        limit: number of cells to show: running ones first, then waiting ones; None: all.
    """
    cell_table = Table(box=None, pad_edge=False, header_style="bold")
    longest = max((len(c.name) for c in now.cells), default=0)
    cell_table.add_column("cell", min_width=min(longest, NAME_WIDTH))
    for name in ("trials", "pruned", "failed", "final runs", "best on validation"):
        cell_table.add_column(name, justify="right")
    amounts = _amounts_taken(now)
    for name in amounts:
        cell_table.add_column(name, justify="right")
    cells = list(now.cells)
    if limit is not None and len(cells) > limit:
        cells.sort(key=lambda c: (not (c.running or c.finals_running), not c.left))
    for c in cells[:limit]:
        taken = [column.get(c.study, "") for column in amounts.values()]
        cell_table.add_row(*_cell_row(c), *taken, style="dim" if c.refused else None)
    if len(cells) > len(cells[:limit]):
        cell_table.add_row(f"... and {len(cells) - len(cells[:limit])} more cells")
    return cell_table


def _amounts_taken(now: Snapshot) -> dict[str, dict[str, str]]:
    """Return what the cells have taken by study, in a column for each kind that there is."""
    columns: dict[str, dict[str, str]] = {}
    for study, amounts in now.account.cells():
        for name, value in amounts.items():
            shown = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
            columns.setdefault(name, {})[study] = shown
    return columns


def workers(now: Snapshot, limit: int = 16) -> Table:
    """Return a table of the busy workers: trial, node, memory, GPU."""
    worker_table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", "node", "memory", "GPU"):
        worker_table.add_column(name, justify="left" if name in ("trial", "node") else "right")
    for b in now.busy[:limit]:
        gpus = ", ".join(
            f"{share:.0%}, {used / 1e9:.1f} of {size / 1e9:.0f} GB"
            for share, used, size in b.gpus.values()
        )
        memory = f"{b.memory / 1e9:.2f} GB" if b.memory else "-"
        worker_table.add_row(Text(b.trial), Text(b.node[:24]), Text(memory), Text(gpus or "-"))
    if len(now.busy) > limit:
        worker_table.add_row(f"... and {len(now.busy) - limit} more")
    return worker_table


def gpus_of(now: Snapshot) -> dict[str, Sequence[float]]:
    """Return the figures of each GPU that a busy worker sees, by id."""
    return {name: figures for b in now.busy for name, figures in b.gpus.items()}


def _cell_row(c: CellTally) -> list[Text]:
    """Return the line of a cell in the table."""
    if c.refused:
        why = c.refused.splitlines()[0]
        return [Text(c.name), Text("refused"), Text(), Text(), Text(), Text(why, "dim")]
    ended = c.done + c.pruned + c.failed
    finals = f"{c.finals_done} of {c.finals}" if c.finals else "-"
    if c.finals_failed:
        finals += f" ({c.finals_failed} failed)"
    if c.problem:
        finals = "none possible"
    return [
        Text(c.name),
        Text(f"{ended} of {c.trials}" + (f" (+{c.running})" if c.running else "")),
        Text(str(c.pruned or "")),
        Text(str(c.failed or ""), "red"),
        Text(finals + (f" (+{c.finals_running})" if c.finals_running else "")),
        Text("-" if c.best is None else f"{c.best:.5g}"),
    ]


def duration(seconds: float) -> str:
    """Return a duration in words, such as "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
