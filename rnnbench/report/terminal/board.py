"""Prints boards as tables in a terminal: as many columns as fit, and no word broken."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rnnbench.leaderboard.pairwise import ReadItems
from rnnbench.leaderboard.trick_effects import attribute
from rnnbench.leaderboard.types import Board, Row
from rnnbench.report import wording
from rnnbench.report.sentences import headline_claims, legend
from rnnbench.report.terminal.board_index import print_differences, print_index
from rnnbench.report.terminal.notes import print_note
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.report.wording import visible

FEW_BOARDS = 3  # of a task, which are printed whole without being asked for
GAP = 3  # between columns
COMFORT = 32  # columns of text that names of rows should have before figures are added


@dataclass(frozen=True)
class Column:
    """A column of figures; those that come first in `COLUMNS` stay longest."""

    header: str
    place: int  # from left to right
    cell: Callable[[Row], str]


COLUMNS = (
    Column("rank", 0, wording.rank),
    Column("test", 2, lambda row: wording.interval(row.centre) if row.centre else ""),
    Column("seeds", 3, lambda row: str(row.test.n) if row.test and row.test.n else ""),
    Column("failed", 5, lambda row: wording.failures(row) if row.runs else ""),
    Column("over baseline", 4, lambda row: wording.margin(row.margin) if row.margin else ""),
    Column("parameters", 7, lambda row: _say_cost(row, "parameters", wording.count)),
    Column("train time", 9, lambda row: _say_cost(row, "train_seconds", wording.duration)),
    Column("path", 10, lambda row: row.path),
    Column("validation", 6, lambda row: wording.interval(row.valid) if row.valid else ""),
    Column("tokens", 8, lambda row: _say_cost(row, "tokens", wording.count)),
)
NAME_PLACE = 1


def print_boards(
    boards: Sequence[Board], console: Console | None = None, items: ReadItems | None = None,
    *, whole: bool = False,
) -> None:  # fmt: skip
    """Print the boards, fitted to the console's width; of a task with many an index.

    Args:
        whole: print every board, however many there are.
        items: see `rnnbench.leaderboard.pairwise.judge`.
    """
    console = console or plain_console()
    if not boards:
        console.print("No results yet. Start with: rnnbench run TASK ARCHITECTURE")
        return
    by_task: dict[str, list[Board]] = {}
    for board in boards:
        by_task.setdefault(board.task, []).append(board)
    listed = 0
    for of_task in by_task.values():
        if whole or len(of_task) <= FEW_BOARDS:
            for board in of_task:
                _print_board(board, console, items)
            if len(of_task) > 1:
                print_differences(of_task, console)
        else:
            listed += 1
            print_index(of_task, console)
    console.print()
    if listed < len(by_task):
        print_note(console, legend(boards))
    if any(attribute(board).telling for board in boards):
        print_note(console, "Which trick helps which cell: rnnbench leaderboard --attribution")


def render(boards: Sequence[Board], width: int = 80) -> str:
    """Return the boards as plain text, no line longer than `width` unless one word is."""
    out = io.StringIO()
    print_boards(boards, plain_console(file=out, width=width, color_system=None))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _print_board(board: Board, console: Console, items: ReadItems | None) -> None:
    console.print()
    title = f"{board.title}: {wording.headline(board)}"
    console.print(Text(visible(title), style="bold"))
    for label, text in wording.protocol(board):
        if label != "Ranked by":  # the title says it
            print_note(console, f"{label}: {text}")
    for label, text in wording.compared(board):
        print_note(console, f"{label}: {text}.")
    for text in headline_claims(board, items):
        console.print(Padding(Text(visible(f"→ {text}."), overflow="fold"), (0, 0, 0, 1)))
    console.print(_make_table(board, console.width))
    for row in board.rows:
        for mark in row.marks:
            print_note(console, f"{row.name}: {mark}.")
        for failure in row.failures:
            failed = f"{failure.count} of {row.runs} runs failed ({failure.status})"
            print_note(console, f"{row.name}: {failed}: {'; '.join(failure.reasons)}")
        if row.interrupted:
            print_note(console, f"{row.name}: {row.interrupted} interrupted, to be run again.")
    for note in board.notes:
        print_note(console, f"Note: {note}")


def _make_table(board: Board, width: int) -> Table:
    names = [name_of_row(row) for row in board.rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    shown = _choose_columns(board.rows, names, width)
    for column in shown:
        if column is None:
            table.add_column("architecture + tricks", ratio=None, overflow="fold")
        else:
            table.add_column(column.header, justify="right", no_wrap=True)
    for row, name in zip(board.rows, names, strict=True):
        style = "bold" if row.contender else "italic" if row.kind == "baseline" else ""
        cells = [Text(name if c is None else visible(c.cell(row))) for c in shown]
        table.add_row(*cells, style=style)
    return table


def _choose_columns(rows: Sequence[Row], names: list[str], width: int) -> list[Column | None]:
    """Return columns from left to right (None: the names), as many as leave the names room."""
    longest = max((len(name) for name in names), default=0)
    word = max((len(word) for name in names for word in name.split()), default=0)
    room = width - max(word, min(longest, COMFORT))
    chosen: list[Column] = []
    for column in COLUMNS:
        room -= GAP + max([len(column.header), *(len(column.cell(row)) for row in rows)])
        if room < 0 and len(chosen) >= 2:
            break
        chosen.append(column)
    by_place: list[tuple[int, Column | None]] = [(c.place, c) for c in chosen]
    return [column for _, column in sorted([*by_place, (NAME_PLACE, None)], key=lambda p: p[0])]


def name_of_row(row: Row) -> str:
    """Return what a row is called, with what it is where that is no ranked row."""
    suffix = {"baseline": " (baseline)", "untested": " (no test yet)", "failed": " (failed)"}
    return visible(row.name) + suffix.get(row.kind, "")


def _say_cost(row: Row, name: str, say: Callable[[float | None], str]) -> str:
    return say(row.costs[name]) if name in row.costs else ""
