"""Prints the boards of a task as an index, with a line a board, and how their protocols differ."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rnnbench.leaderboard.differing import what_differs
from rnnbench.leaderboard.types import Board
from rnnbench.report import wording
from rnnbench.report.terminal.notes import print_note
from rnnbench.report.wording import visible
from rnnbench.spec.data_set import file_that_is_read

SHOWN_ID = 6  # characters of a protocol's id, which tell the boards of a task apart
MOST_NAMES = 3  # rows that may be the best, by name


def print_index(boards: Sequence[Board], console: Console) -> None:
    """Print a line for each board of a task, and what to type for one of them."""
    task = boards[0].task
    console.print()
    console.print(Text(visible(f"{task}: {len(boards)} boards"), style="bold"))
    table = _make_table(["board", "data", "rows", "best", "metric", "the best is among"])
    for board, name in zip(boards, short_ids(boards), strict=True):
        first = [row for row in board.rows if row.contender]
        best = wording.interval(first[0].centre) if first else wording.NOTHING
        leaders = ", ".join(row.name for row in first[:MOST_NAMES])
        more = f" and {len(first) - MOST_NAMES} more" if len(first) > MOST_NAMES else ""
        cells = [
            name, board.data_set or wording.NOTHING, str(len(board.ranked)), best,
            board.headline.get("name", wording.NOTHING), leaders + more or "nothing tested yet",
        ]  # fmt: skip
        table.add_row(*(Text(visible(cell)) for cell in cells))
    console.print(table)
    print_differences(boards, console)
    example = boards[0].data_set or short_ids(boards)[0]
    one = f"rnnbench leaderboard {shlex.quote(task)} --board {shlex.quote(example)}"
    print_note(console, f"One in full: {one} (its name, or what stands first). Every one: --all")


def print_differences(boards: Sequence[Board], console: Console) -> None:
    """Print once in what the protocols of a task's boards differ, which are not ranked together.

    The file that is read and the data's version are left out where the names of the data say it.
    """
    found = what_differs(boards)
    names = [board.data_set for board in boards]
    told: set[str] = set()
    if all(names) and len(set(names)) == len(names):
        files = [file_that_is_read(board.task_settings) for board in boards]
        told = {"data"} | {
            name for board, file in zip(boards, files, strict=True)
            for name, value in board.task_settings.items() if file and str(value).endswith(file)
        }  # fmt: skip
    shown = [i for i, fact in enumerate(found.facts) if fact not in told]
    if not shown:
        return
    print_note(console, f"The {len(boards)} boards of {boards[0].task} are not ranked together. "
               "They differ in:")  # fmt: skip
    table = _make_table(["board", *(found.facts[i] for i in shown)])
    for board, name, values in zip(boards, short_ids(boards), found.values, strict=True):
        first = f"{name} {board.data_set}".rstrip()
        table.add_row(*(Text(visible(c)) for c in (first, *(values[i] for i in shown))))
    console.print(table)


def short_ids(boards: Sequence[Board]) -> list[str]:
    """Return the beginnings of the boards' protocol ids, as long as it takes to tell them apart."""
    ids = [board.protocol_id for board in boards]
    length = next(
        (n for n in range(SHOWN_ID, 13) if len({i[:n] for i in ids}) == len(set(ids))), 12
    )
    return [i[:length] for i in ids]


def _make_table(headers: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
