"""Prints attributions: a table of tricks and architectures, in as many parts as it takes."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rnnbench.leaderboard.types import Attribution, Effect
from rnnbench.leaderboard.verdicts.method import STANDARD, BoardMethod
from rnnbench.report import wording
from rnnbench.report.terminal.board import GAP
from rnnbench.report.terminal.notes import print_note
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.report.wording import visible

LONGEST_NAME = 32  # columns of text; names of more are folded


def legend(method: BoardMethod) -> str:
    """Explain the symbols of a table."""
    interval = "95% t interval" if method.interval == "t" else "95% bootstrap interval"
    if method.test != "moderated":
        test = "paired t test" if method.test == "t" else "paired permutation test"
        return (
            f"▲ helps, ▼ hurts, ○ open: {test} over the seeds, Holm-adjusted over the table, "
            f"p < 0.05. ±: {interval} of the difference, not adjusted."
        )
    return (
        "▲ helps, ▼ hurts, = equal, ○ open: the board's verdict on the two rows, which holds for "
        f"all its pairs together. ±: {interval} of this difference alone, seed by seed."
    )


def print_attributions(
    attributions: Sequence[Attribution],
    console: Console | None = None,
    method: BoardMethod = STANDARD,
) -> None:
    """Print which trick helps which cell, fitted to the console's width.

    Args:
        method: of the boards that they are of.
    """
    console = console or plain_console()
    if not attributions:
        console.print("No results yet. Start with: rnnbench sweep sweeps/ablation.yaml")
        return
    for attribution in attributions:
        _print_attribution(attribution, console)
    if any(a.comparisons for a in attributions):
        console.print()
        print_note(console, legend(method))


def _print_attribution(attribution: Attribution, console: Console) -> None:
    console.print()
    title = f"{attribution.task}: which trick helps which cell"
    console.print(Text(visible(title), style="bold"))
    for label, text in attribution.protocol:
        if label in ("Task", "Data", "Budget"):
            print_note(console, f"{label}: {text}")
    if not attribution.comparisons:
        print_note(console, "No two rows differ in a trick alone, so there is nothing to compare.")
    else:
        print_note(console, wording.attributed(attribution))
        for part in _split_columns(attribution, console.width):
            console.print(_make_table(attribution, part))
        if seeds := _say_seeds(attribution):
            print_note(console, seeds)
    for remark in wording.remarks(attribution):
        print_note(console, remark)


def _say_seeds(attribution: Attribution) -> str:
    """Say how many seeds are behind the differences; "" where there are none."""
    numbers = sorted({len(e.seeds) for c in attribution.comparisons for e in c.effects if e.seeds})
    if not numbers:
        return ""
    range_of_seeds = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"Over {range_of_seeds} seed{'s' if numbers[-1] > 1 else ''}."


def _split_columns(attribution: Attribution, width: int) -> list[range]:
    """Group the architectures, by their places, so that each group fits beside the names."""
    names = min(LONGEST_NAME, max(len(visible(c.name)) for c in attribution.comparisons))
    parts: list[range] = []
    room = 0
    for place, architecture in enumerate(attribution.architectures):
        cells = [len(_cell_text(c.effects[place])) for c in attribution.comparisons]
        needed = GAP + max(len(visible(architecture)), *cells)
        if parts and needed <= room:
            parts[-1] = range(parts[-1].start, place + 1)
        else:
            parts.append(range(place, place + 1))
            room = width - names
        room -= needed
    return parts


def _make_table(attribution: Attribution, part: range) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("trick", overflow="fold", max_width=LONGEST_NAME)
    for place in part:
        heading = Text(visible(attribution.architectures[place]))
        table.add_column(heading, justify="right", no_wrap=True)
    for comparison in attribution.comparisons:
        effects = [comparison.effects[place] for place in part]
        cells = [Text(_cell_text(e), style=_cell_style(e)) for e in effects]
        table.add_row(Text(visible(comparison.name)), *cells)
    return table


def _cell_text(effect: Effect) -> str:
    symbol = wording.SYMBOLS.get(effect.verdict)
    text = wording.difference(effect)
    return f"{symbol} {text}" if symbol else text


def _cell_style(effect: Effect) -> str:
    return "bold" if effect.verdict in ("helps", "hurts") else "dim"
