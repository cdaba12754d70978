"""Attributions in a terminal: a table of tricks and architectures, in as many parts as it takes."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rnnbench.leaderboard.types import Attribution, Effect
from rnnbench.report import wording
from rnnbench.report.terminal.board import GAP, print_note
from rnnbench.report.wording import visible
from rnnbench.stats import Method
from rnnbench.stats.intervals import STANDARD

LONGEST_NAME = 32  # columns of text; names of more are folded


def legend(method: Method) -> str:
    """What the symbols of a table mean."""
    test = "paired t test" if method.test == "t" else "paired permutation test"
    interval = "95% t interval" if method.interval == "t" else "95% bootstrap interval"
    return (
        f"▲ helps, ▼ hurts, ○ unclear: {test} over the seeds, Holm-adjusted over the table, "
        f"p < 0.05. ±: {interval} of the difference, not adjusted."
    )


def print_attributions(
    found: Sequence[Attribution], console: Console | None = None, method: Method = STANDARD
) -> None:
    """Print which trick helps which cell, fitted to the console's width.

    Args:
        method: of the boards that they are of.
    """
    console = console or Console(highlight=False)
    if not found:
        console.print("No results yet. Start with: rnnbench sweep sweeps/ablation.yaml")
        return
    for attribution in found:
        _print_attribution(attribution, console)
    if any(a.comparisons for a in found):
        console.print()
        print_note(console, legend(method))


def _print_attribution(found: Attribution, console: Console) -> None:
    console.print()
    title = f"{found.task}: which trick helps which cell"
    console.print(Text(visible(title), style="bold"))
    for label, text in found.protocol:
        if label in ("Task", "Data", "Budget"):
            print_note(console, f"{label}: {text}")
    if not found.comparisons:
        print_note(console, "No two rows differ in a trick alone, so there is nothing to compare.")
    else:
        print_note(console, wording.attributed(found))
        for part in _parts(found, console.width):
            console.print(_table(found, part))
        if seeds := _seeds(found):
            print_note(console, seeds)
    for remark in wording.remarks(found):
        print_note(console, remark)


def _seeds(found: Attribution) -> str:
    """How many seeds are behind the differences; "" where there are none."""
    numbers = sorted({len(e.seeds) for c in found.comparisons for e in c.effects if e.seeds})
    if not numbers:
        return ""
    told = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"Over {told} seed{'s' if numbers[-1] > 1 else ''}."


def _parts(found: Attribution, width: int) -> list[range]:
    """The architectures, by their places, in groups that fit beside the names."""
    names = min(LONGEST_NAME, max(len(visible(c.name)) for c in found.comparisons))
    parts: list[range] = []
    left = 0
    for place, architecture in enumerate(found.architectures):
        cells = [len(_cell(c.effects[place])) for c in found.comparisons]
        needed = GAP + max(len(visible(architecture)), *cells)
        if parts and needed <= left:
            parts[-1] = range(parts[-1].start, place + 1)
        else:
            parts.append(range(place, place + 1))
            left = width - names
        left -= needed
    return parts


def _table(found: Attribution, part: range) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("trick", overflow="fold", max_width=LONGEST_NAME)
    for place in part:
        heading = Text(visible(found.architectures[place]))
        table.add_column(heading, justify="right", no_wrap=True)
    for comparison in found.comparisons:
        effects = [comparison.effects[place] for place in part]
        cells = [Text(_cell(e), style=_style(e)) for e in effects]
        table.add_row(Text(visible(comparison.name)), *cells)
    return table


def _cell(effect: Effect) -> str:
    symbol = wording.SYMBOLS.get(effect.verdict)
    told = wording.difference(effect)
    return f"{symbol} {told}" if symbol else told


def _style(effect: Effect) -> str:
    return "bold" if effect.verdict in ("helps", "hurts") else "dim"
