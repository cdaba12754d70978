"""Prints the card of a data set, with pictures out of block characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rnnbench.contract.data_card import DataCard, Picture
from rnnbench.report import wording
from rnnbench.report.terminal.notes import print_note
from rnnbench.report.wording import visible

BLOCKS = "▁▂▃▄▅▆▇█"


def print_card(
    title: str,
    card: DataCard,
    baselines: Mapping[str, Mapping[str, Mapping[str, float]]],
    metrics: Sequence[str],
    console: Console,
) -> None:
    """Print a card, and what trivial baselines reach on validation and test.

    Args:
        metrics: those of the task, the headline first.
    """
    console.print(Text(visible(title), style="bold"))
    console.print(Text(visible(card.summary), overflow="fold"))
    for heading, lines in (("What was read", card.facts), ("How it is split", card.splits)):
        if lines:
            _print_lines(heading, lines, console)
    if any(baselines.values()):
        _print_baselines(baselines, metrics, console)
    for picture in card.pictures:
        console.print()
        console.print(Text(visible(picture.title)))
        console.print(Text("  " + draw(picture)))
        if any(picture.ends):
            first, last = picture.ends
            gap = max(1, len(picture.values) - len(first) - len(last))
            print_note(console, " " + first + " " * gap + last)
    console.print()
    if not card.doubts:
        console.print("Nothing looks doubtful.")
    for doubt in card.doubts:
        console.print(Padding(Text(visible(f"doubt: {doubt}."), overflow="fold"), (0, 0, 0, 1)))


def draw(picture: Picture) -> str:
    """Return a picture as a line of blocks, the lowest for the least; blank where nothing is."""
    known = [v for v in picture.values if v is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    if picture.form == "bars":
        low = 0.0
    span = high - low

    def block(value: float | None) -> str:
        if value is None or (picture.form == "bars" and value == 0):
            return " "
        share = (value - low) / span if span else 0.0
        return BLOCKS[min(len(BLOCKS) - 1, int(share * len(BLOCKS)))]

    return "".join(map(block, picture.values))


def _print_lines(heading: str, lines: Mapping[str, str], console: Console) -> None:
    console.print()
    console.print(Text(heading, style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in lines.items():
        table.add_row(Text(f"  {visible(name)}"), Text(visible(text)))
    console.print(table)


def _print_baselines(
    baselines: Mapping[str, Mapping[str, Mapping[str, float]]],
    metrics: Sequence[str],
    console: Console,
) -> None:
    console.print()
    console.print(Text("What trivial baselines reach", style="bold"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("baseline", overflow="fold")
    shown = [(split, metric) for metric in metrics[:2] for split in baselines]
    for split, metric in shown:
        table.add_column(f"{metric} ({split})", justify="right")
    for name in dict.fromkeys(n for of_split in baselines.values() for n in of_split):
        figures = [baselines[split].get(name, {}).get(metric) for split, metric in shown]
        table.add_row(Text(visible(name)), *(Text(wording.number(f)) for f in figures))
    console.print(table)
